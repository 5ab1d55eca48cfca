"""Calls that a person must allow: they wait, are made once with exactly their arguments, or are not made."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import ToolFailed
from orchestrator.core.event import Event
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Said, Script
from tests.people.parts import by_model, by_rule, desked, kinds, paying, shop
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, rule, serving

pytestmark = pytest.mark.anyio


async def test_a_rules_call_waits_and_is_made_once_it_is_approved(tmp_path: Path) -> None:
    """With exactly the arguments that were shown, and by the same id of a call as without waiting."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool)) as it:
        result = await it.served.run("pay 5")
        assert (result.status, tool.calls) == ("waiting", [])
        asked = (await it.desk.find(result.approval)).call
        assert asked is not None
        assert (asked.function, asked.arguments, asked.source) == ("shop.pay", {"amount": 5}, "rule 1 of agent.a")
        found = await it.after(result, "approve")
    assert (found["status"], found["text"], kinds(found)) == ("completed", "done: paid", ["person", "tool", "reflex"])
    ((name, arguments, context),) = tool.calls
    assert (name, arguments, context.call_id.partition(":")[2]) == ("shop.pay", {"amount": 5}, "1")
    assert found["path"] == ["agent.a"]


async def test_writes_asks_for_what_changes_something_only(tmp_path: Path) -> None:
    """A function that reads is called at once."""
    tool = shop(approval="writes")
    read = FakeTool("shop", {"look": "5 left"}, approval="writes")
    look = rule("{{ result }}", call="shop.look")

    class Reader(FakeTool):
        @property
        def functions(self) -> Any:
            return tuple(replace(each, effect="read") for each in read.functions)

    wanted = Wanted(
        [agent_spec("a", models=[], tools=["shop"], reflex=[look])], [Reader("shop", {}, approval="writes")], bound={}
    )
    async with desked(tmp_path, wanted) as it:
        assert (await it.served.run("look")).text == "5 left"
    async with desked(tmp_path, by_rule(tool)) as it:
        assert (await it.served.run("pay 5", id="run_2")).status == "waiting"


async def test_a_refused_call_of_a_rule_is_not_made_and_not_escalated(tmp_path: Path) -> None:
    """Nothing goes past a person who said no."""
    tool = shop()
    wanted = by_rule(tool, escalate_to="b", escalate_when=["error", "tool_failed"])
    wanted = replace(wanted, parts=[*wanted.parts, agent_spec("b", models=[], reflex=[rule("the other one")])])
    async with desked(tmp_path, wanted) as it:
        found = await it.after(await it.served.run("pay 5"), "deny", "too much")
    assert (found["error"]["message"], tool.calls) == ("ana refused shop.pay: too much", [])


async def test_a_models_call_waits_with_its_conversation_and_goes_on(tmp_path: Path) -> None:
    """The model is asked again with the very conversation that it left; nothing before is done again."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        result = await it.served.run("pay it")
        asked = (await it.desk.find(result.approval)).call
        assert asked is not None and asked.source == "the model m@1 of agent.a"
        found = await it.after(result, "approve")
        sent = it.served.sent()
        assert len(it.served.server.records) == 2
    assert (found["text"], kinds(found)) == ('it said: "paid"', ["model", "person", "tool", "model"])
    assert [role for role, _ in sent] == ["system", "user", "assistant", "tool"]
    assert found["usage"]["model_calls"] == 2
    times = found["timings_ms"]
    assert sum(times[name] for name in ("queue", "model", "tool", "engine")) == pytest.approx(times["total"], abs=0.01)


async def test_a_model_is_told_of_a_refusal(tmp_path: Path) -> None:
    """And answers the user; the call is never made."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        found = await it.after(await it.served.run("pay it"), "deny", "too much")
    assert found["status"] == "completed"
    assert found["text"].startswith("it said: error: ana refused shop.pay: too much. Do not call it again")
    assert tool.calls == []


async def test_each_of_several_calls_needs_its_own_approval(tmp_path: Path) -> None:
    """The run waits again, and the first call is not made again."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5, 6))) as it:
        result = await it.served.run("pay it", session="s")
        second = await it.after(result, "approve")
        assert (second["status"], second["approval"] != result.approval) == ("waiting", True)
        again = replace(result, approval=second["approval"])
        found = await it.after(again, "approve")
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
    assert (found["status"], [each[1]["amount"] for each in tool.calls]) == ("completed", [5, 6])
    runs, numbers = zip(*(each[2].call_id.split(":") for each in tool.calls), strict=True)
    assert (len(set(runs)), numbers) == (1, ("1", "2"))
    assert kinds(found) == ["model", "person", "tool", "person", "tool", "model"]
    assert turns == ["pay it", result.text, second["text"], found["text"]]


async def test_an_approval_is_for_one_call_only(tmp_path: Path) -> None:
    """A model that calls again, with the same arguments, waits again."""
    tool = shop()
    script = Script([Rule("pay", calls=(("shop_pay", {"amount": 5}),), always=True)])
    async with desked(tmp_path, by_model(tool), simulated(["m"], script)) as it:
        result = await it.served.run("pay it")
        second = await it.after(result, "approve")
    assert (second["status"], len(tool.calls)) == ("waiting", 1)


class Speaks(Script):
    """A model that says what it does before it calls a function."""

    def answer(self, asked: Asked, chance: random.Random) -> Said:
        said = super().answer(asked, chance)
        return replace(said, text="I pay it.") if said.calls else said


async def test_what_was_streamed_before_stays_the_beginning_of_the_answer(tmp_path: Path) -> None:
    """The caller hears why it ends there."""
    heard: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "run.delta":
            heard.append(event.fields["text"])

    async with desked(tmp_path, by_model(shop()), simulated(["m"], Speaks(paying(5).rules))) as it:
        result = await it.served.run("pay it", listen)
    assert "".join(heard) == result.text
    assert result.text.startswith("I pay it.\n\n") and result.approval in result.text


async def test_nothing_is_promised_that_could_not_be_kept(tmp_path: Path) -> None:
    """Where no more may wait, the caller hears what the model said, and then the fault."""
    heard: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "run.delta":
            heard.append(event.fields["text"])

    wanted = replace(by_model(shop()), people={"most_waiting": 1})
    async with desked(tmp_path, wanted, simulated(["m"], Speaks(paying(5).rules))) as it:
        assert (await it.served.run("pay it")).status == "waiting"
        result = await it.served.run("pay it", listen, id="run_2")
    assert result.error is not None and result.error["code"] == "ORC542"
    assert "".join(heard) == result.text == "I pay it."


async def test_what_the_manifest_says_is_what_the_user_is_told(tmp_path: Path) -> None:
    """A template over the approval, the function and the text."""
    wanted = replace(by_rule(shop()), people={"say": "{{ function }} for {{ text }}: {{ approval }}", "queue": "lead"})
    async with desked(tmp_path, wanted) as it:
        result = await it.served.run("pay 5")
        assert result.text == f"shop.pay for pay 5: {result.approval}"
        assert (await it.desk.find(result.approval)).queue == "lead"


async def test_without_a_desk_a_guarded_call_is_not_made() -> None:
    """The engine fails closed, and says where people are."""
    tool = shop()
    async with serving(by_rule(tool)) as served:
        result = await served.run("pay 5")
    assert result.error is not None and "nobody can be asked here" in result.error["message"]
    assert tool.calls == []


async def test_a_call_that_fails_after_its_approval_is_told_as_ever(tmp_path: Path) -> None:
    """It was made: the approval is used."""

    def fail(*_: Any) -> Any:
        raise ToolFailed("the bank is closed")

    async with desked(tmp_path, by_rule(shop(fail))) as it:
        result = await it.served.run("pay 5")
        found = await it.after(result, "approve")
        approval = await it.desk.find(result.approval)
    assert (found["error"]["message"], approval.begun is not None) == ("the bank is closed", True)


async def test_a_call_that_waits_is_gone_on_with_by_its_agent_whatever_its_conversation_decides(tmp_path: Path) -> None:
    """Never in the middle of a call: two answers of the agent were not kept while it waited, so that new requests stay above."""
    tool = shop()
    gate: dict[str, Any] = {"escalate_to": "b", "escalate_when": ["abstains"], "gate": {"abstains": {}}}
    wanted = by_model(tool, **gate)
    wanted.parts = [*wanted.parts, agent_spec("b", models=[], reflex=[rule("the other one")])]
    script = Script([Rule("pay", say="it is {result}", calls=(("shop_pay", {"amount": 1}),)), Rule("", say="UNKNOWN")])
    async with desked(tmp_path, wanted, simulated(["m"], script)) as it:
        waits = await it.served.run("pay", session="s", id="run_1")
        assert waits.status == "waiting"
        for number in (2, 3):
            await it.served.run("hard", session="s", id=f"run_{number}")
        found = await it.after(waits, "approve")
        asked = len(it.served.server.records)
        later = await it.served.run("hard", session="s", id="run_4")
        assert len(it.served.server.records) == asked
    assert (found["agent"], found["text"], len(tool.calls)) == ("a", 'it is "paid"', 1)
    assert (later.agent, later.text) == ("b", "the other one")
