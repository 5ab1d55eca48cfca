"""What a person refused in a run stays refused in it, whoever wants it next; and who comes next is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.denial import denial_of
from orchestrator.core.request import Request, Result
from orchestrator.serve.run import Run
from orchestrator.serve.steps.refused import refused_before
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.people.parts import PERSON, Desked, by_model, desked, kinds, paying, shop
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, rule

pytestmark = pytest.mark.anyio
NO = "never, it is fraud"
GATE: dict[str, Any] = {"escalate_to": "b", "escalate_when": ["abstains"], "gate": {"abstains": {}}}


def two(tool: FakeTool, **second: Any) -> Wanted:
    """An agent that goes up to another when it does not know."""
    parts = [agent_spec("a", tools=["shop"], **GATE), agent_spec("b", **{"models": ["n"], "tools": ["shop"], **second})]
    models = {"m": model_spec(), "n": model_spec("n")}
    return Wanted(parts, [tool], models=models, bound={"m": ("m@1",), "n": ("m@2",)})


def unsure() -> SimulatedEndpoint:
    """A model that wants to pay 900, and does not know what to say then."""
    return simulated(["m"], paying(900, say="UNKNOWN"))


def above(*amounts: int) -> SimulatedEndpoint:
    """The model of the agent above."""
    return simulated(["m"], paying(*amounts, say="b was told: {result}"))


async def again(it: Desked, tool: FakeTool) -> dict[str, Any]:
    """How a run ends whose agents want the same call one after the other."""
    result = await it.served.run("pay it")
    found = dict(await it.after(result, "deny", NO))
    assert tool.calls == []
    return found


async def test_the_agent_above_is_told_at_once_and_nobody_is_asked_again(tmp_path: Path) -> None:
    """The same function with the same arguments: no new approval."""
    tool = shop()
    async with desked(tmp_path, two(tool), unsure(), above(900)) as it:
        found = await again(it, tool)
        assert len(await it.desk.newest("shop", 9, closed=True)) == 1
    assert (found["status"], found["agent"]) == ("completed", "b")
    assert found["text"].startswith(
        f"b was told: error: ana refused shop.pay with these arguments before, in this run: {NO}. "
    )
    assert kinds(found) == ["model", "person", "tool", "model", "doubt", "escalate", "model", "tool", "model"]


async def test_the_agent_above_is_told_before_it_begins(tmp_path: Path) -> None:
    """With who refused what, and in which words."""
    tool = shop()
    async with desked(tmp_path, two(tool), unsure(), above(900)) as it:
        await again(it, tool)
        system = it.served.servers[1].records[0].asked.messages[0]["content"]
    assert 'It had said: "UNKNOWN".' in system
    assert f'In this request ana refused shop.pay({{"amount": 900}}): {NO}. Do not ask for that again.' in system


async def test_a_model_that_calls_again_is_told_again_and_nobody_is_asked(tmp_path: Path) -> None:
    """Its caps end it."""
    tool, script = shop(), Script([Rule("pay", calls=(("shop_pay", {"amount": 900}),), always=True)])
    async with desked(tmp_path, by_model(tool), simulated(["m"], script)) as it:
        found = await again(it, tool)
        (asked,) = await it.desk.newest("shop", 9, closed=True)
    assert (found["error"]["code"], asked.state) == ("ORC506", "denied")
    refused = [step["detail"]["fault"] for step in found["steps"] if step["kind"] == "tool"]
    assert len(refused) > 2 and all(NO in each for each in refused)


async def test_the_same_call_twice_in_one_wish_is_asked_for_once(tmp_path: Path) -> None:
    """A no to the first is a no to the second; the model may write its arguments in another way."""
    tool = shop()
    calls = tuple(("shop_pay", arguments) for arguments in ({"amount": 900}, {"amount": "900"}))
    script = Script([Rule("pay", say="it said: {result}", calls=calls)])
    async with desked(tmp_path, by_model(tool), simulated(["m"], script)) as it:
        found = await again(it, tool)
    assert found["text"].startswith("it said: error: ana refused shop.pay with these arguments before, in this run")


async def test_another_call_asks_anew_and_the_person_is_told_of_the_no(tmp_path: Path) -> None:
    """By whom it was said, to what, and in which words; the call may be right this time."""
    tool = shop()
    async with desked(tmp_path, two(tool), unsure(), above(800)) as it:
        found = await again(it, tool)
        assert found["status"] == "waiting"
        asked = await it.desk.find(found["approval"])
        assert asked.call is not None and asked.call.arguments == {"amount": 800}
        assert asked.why.startswith(f'before, in this run, ana refused shop.pay({{"amount": 900}}): {NO}; ')
        ended = await it.after(Result.from_json(found), "approve")
    assert (ended["text"], [each[1] for each in tool.calls]) == ('b was told: "paid"', [{"amount": 800}])


async def test_a_no_without_a_name_or_a_word_is_told_too(tmp_path: Path) -> None:
    tool = shop()
    async with desked(tmp_path, two(tool), unsure(), above(800)) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "deny", by="")
        found = await it.end_of(result.id, result.approval)
        asked = await it.desk.find(found["approval"])
    assert asked.why.startswith('before, in this run, a person refused shop.pay({"amount": 900}); ')


async def test_a_no_is_known_after_restarts(tmp_path: Path) -> None:
    """Of the run that waited for it, and of the one that waited for something else since."""
    tool = shop()
    async with desked(tmp_path, two(tool), unsure(), above(800, 900), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "deny", NO)
    async with desked(tmp_path, two(tool), unsure(), above(800, 900)) as it:
        second = Result.from_json(await it.end_of(result.id, result.approval))
    async with desked(tmp_path, two(tool), unsure(), above(800, 900)) as it:
        found = await it.after(second, "approve")
        assert len(await it.desk.newest("shop", 9, closed=True)) == 2
    assert found["text"].startswith(
        f"b was told: error: ana refused shop.pay with these arguments before, in this run: {NO}"
    )
    assert [each[1] for each in tool.calls] == [{"amount": 800}]


async def test_a_no_holds_where_the_manifest_lets_the_call_pass_by_now(tmp_path: Path) -> None:
    """Also for the agent above."""
    tool, free = shop(), shop(approval="never")
    async with desked(tmp_path, two(tool), unsure(), above(900), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "deny", NO)
    async with desked(tmp_path, two(free), unsure(), above(900)) as it:
        found = await it.end_of(result.id)
    assert (free.calls, NO in found["text"]) == ([], True)


async def test_a_rule_above_ends_the_run(tmp_path: Path) -> None:
    """A rule has nothing else to say, and nobody takes over from it."""
    tool = shop()
    pay = rule("done", call="shop.pay", arguments={"amount": 900})
    wanted = two(tool, models=[], reflex=[pay], escalate_to="c", escalate_when=["error", "tool_failed"])
    wanted.parts = [*wanted.parts, agent_spec("c", models=[], reflex=[rule("the third one")])]
    async with desked(tmp_path, wanted, unsure(), above()) as it:
        found = await again(it, tool)
    assert found["error"]["code"] == "ORC540"
    assert found["error"]["message"] == f"ana refused shop.pay with these arguments before, in this run: {NO}"


async def test_a_person_above_is_told(tmp_path: Path) -> None:
    """In the question, and in the ticket."""
    tool = shop()
    tickets = FakeTool("tickets", {"create": {"id": "T-1"}}, {"properties": {"subject": {}, "body": {}}})
    wanted = two(tool, models=[], human=PERSON, tools=["tickets"])
    wanted.tools = [tool, tickets]
    async with desked(tmp_path, wanted, unsure(), above()) as it:
        found = await again(it, tool)
        asked = await it.desk.find(found["approval"])
    assert asked.kind == "question"
    told = f'ana refused shop.pay({{"amount": 900}}): {NO}'
    assert told in asked.why and f"refused in this run: {told}" in tickets.calls[0][1]["body"]


async def test_another_run_asks_anew(tmp_path: Path) -> None:
    """Also the next of the session: what a person refused once may be right another time."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(900))) as it:
        await it.after(await it.served.run("pay it", session="s"), "deny", NO)
        later = await it.served.run("pay it", session="s", id="run_2")
        asked = await it.desk.find(later.approval)
    assert (later.status, NO in asked.why) == ("waiting", False)


async def test_a_part_of_a_request_begins_with_what_was_refused_before(tmp_path: Path) -> None:
    """It is a run inside of the run."""
    async with desked(tmp_path, by_model(shop())) as it:
        run = Run(Request("pay it"), it.served.engine.deployment, it.served.loop, lambda _: None, None)
        run.denials = (denial_of("shop.pay", {"amount": 900}, "ana", NO),)
        assert run.part("it", "a", None).denials == run.denials


async def test_of_many_refusals_the_newest_are_told_and_the_others_are_counted(tmp_path: Path) -> None:
    """And of each no more than there is room for: small models have small windows."""
    async with desked(tmp_path, by_model(shop())) as it:
        run = Run(Request("pay it"), it.served.engine.deployment, it.served.loop, lambda _: None, None)
        run.denials = tuple(denial_of("shop.pay", {"why": f"{n}" * 1_000}, "ana", f"{n}!" * 2_000) for n in range(10))
        told = refused_before(run)
    assert (told[0], len(told), told[-1][:30]) == (
        "2 calls more were refused before",
        9,
        'ana refused shop.pay({"why": "',
    )
    assert max(map(len, told)) < 1_500 and told[-1].endswith("9!")
