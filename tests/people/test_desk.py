"""Runs that wait for people: what the caller gets, what a person decides, how the run goes on, and what never happens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.core.approval import Verdict
from orchestrator.core.errors import ApprovalClosed, ToolFailed
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Request
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.people.parts import dead, desked
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
PERSON = {"queue": "desk", "say": "wait: {{ ticket }}"}
AMOUNT = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}


@pytest.fixture
def anyio_backend() -> str:
    """The store works in threads, which virtual time knows nothing of."""
    return "asyncio"


def person(**people: Any) -> Wanted:
    """An agent that is a person, without tickets."""
    return Wanted([agent_spec("desk", models=[], human=PERSON)], bound={}, people=people)


def shop(gives: Any = "paid", approval: str = "always") -> FakeTool:
    """A tool whose calls a person must allow."""
    return FakeTool("shop", {"pay": gives, "look": "5 left"}, AMOUNT, approval=approval)


def by_rule(tool: FakeTool, **fields: Any) -> Wanted:
    """An agent that pays by a rule."""
    pay = rule("done: {{ result }}", call="shop.pay", arguments={"amount": "{{ n }}"}, extract={"n": "([0-9]+)"})
    return Wanted([agent_spec("a", models=[], tools=["shop"], reflex=[pay], **fields)], [tool], bound={})


def by_model(tool: FakeTool, **fields: Any) -> Wanted:
    """An agent whose model pays."""
    return Wanted([agent_spec("a", tools=["shop"], **fields)], [tool])


def paying(*amounts: int, say: str = "it said: {result}") -> Script:
    """A model that wants these payments at once, and then says what came of it."""
    calls = tuple(("shop_pay", {"amount": amount}) for amount in amounts)
    return Script([Rule("pay", say=say, calls=calls)])


def kinds(found: Mapping[str, Any]) -> list[str]:
    """The kinds of a stored run's steps."""
    return [step["kind"] for step in found["steps"]]


# ---- questions ------------------------------------------------------------------------------------------------------


async def test_a_question_waits_and_its_answer_becomes_the_runs(tmp_path: Path) -> None:
    """The caller is told at once; the person sees the request, the talk before it and the reason."""
    async with desked(tmp_path, person()) as it:
        result = await it.served.run("help me", history=(Message("user", "hi"), Message("assistant", "hello")))
        assert (result.status, result.served_by, result.text) == ("waiting", "person", f"wait: {result.approval}")
        asked = await it.desk.find(result.approval)
        assert (asked.text, asked.talk, asked.queue) == ("help me", "user: hi\nassistant: hello", "desk")
        it.clock.now += 60
        found = await it.after(result, "answer", "we will")
    assert (found["status"], found["text"], found["served_by"], found["agent"]) == (
        "completed",
        "we will",
        "person",
        "desk",
    )
    assert found["steps"][-1]["detail"]["by"] == "ana"
    assert [event.fields["state"] for event in it.events("approval.decided")] == ["answered"]
    assert [event.fields["result"].status for event in it.events("run.finished")] == ["waiting", "completed"]


async def test_a_question_that_a_person_refuses_fails_with_the_reason(tmp_path: Path) -> None:
    """ORC540."""
    async with desked(tmp_path, person()) as it:
        found = await it.after(await it.served.run("help me"), "deny", "not ours")
    assert found["status"] == "failed"
    assert (found["error"]["code"], found["error"]["message"]) == ("ORC540", "ana refused the question: not ours")


async def test_the_answer_is_a_turn_of_the_session(tmp_path: Path) -> None:
    """The next request of it sees the question, the promise and the answer: the two answers as one."""
    wanted = Wanted([agent_spec("a", escalate_to="desk"), agent_spec("desk", models=[], human=PERSON)])
    async with desked(tmp_path, wanted) as it:
        result = await it.served.run("help me", session="s", agent="desk")
        await it.after(result, "answer", "at three")
        await it.served.run("when?", session="s", agent="a", id="run_2")
        sent = it.served.sent()
    assert sent[1:] == [("user", "help me"), ("assistant", f"wait: {result.approval}\n\nat three"), ("user", "when?")]


async def test_a_person_sees_the_request_that_an_answer_to_the_router_meant(tmp_path: Path) -> None:
    """And history and session have what was typed."""
    front = router_spec("front", {"desk": "zzz", "b": "yyy"})
    parts: list[Any] = [
        front,
        agent_spec("desk", models=[], human=PERSON),
        agent_spec("b", models=[], reflex=[rule("hello")]),
    ]
    async with desked(tmp_path, Wanted(parts, bound={})) as it:
        choices = await it.served.run("help me", session="s")
        result = await it.served.run("desk", session="s", id="run_2")
        assert (choices.status, result.status) == ("unsure", "waiting")
        assert (await it.desk.find(result.approval)).text == "help me"
        await it.after(result, "answer", "at three")
        run = it.stores.runs.find("run_2")
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
    assert run is not None and run["request"] == "desk"
    assert turns == ["help me", choices.text, "desk", result.text, "at three"]


async def test_an_answer_waits_for_the_request_that_holds_its_session(tmp_path: Path) -> None:
    """The turns stay whole."""
    slow = anyio.Event()

    async def look(*_: Any) -> str:
        await slow.wait()
        return "seen"

    tool = FakeTool("shop", {"look": look})
    looker = agent_spec("a", models=[], tools=["shop"], reflex=[rule("{{ result }}", call="shop.look")])
    wanted = Wanted([looker, agent_spec("desk", models=[], human=PERSON)], [tool], bound={})
    async with desked(tmp_path, wanted) as it, anyio.create_task_group() as tasks:
        result = await it.served.run("help me", session="s", agent="desk")
        tasks.start_soon(lambda: it.served.run("look", session="s", id="run_2"))
        while not tool.calls:
            await anyio.lowlevel.checkpoint()
        await it.decide(result, "answer", "at three")
        slow.set()
        await it.end_of(result.id)
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
    assert turns == ["help me", result.text, "look", "seen", "at three"]


async def test_a_restricted_question_makes_its_session_restricted(tmp_path: Path) -> None:
    """Before it is answered."""
    async with desked(tmp_path, person()) as it:
        result = await it.served.run("help me", session="s", data_class="restricted")
        assert it.stores.sessions.is_restricted("shop", "s")
        assert (await it.desk.find(result.approval)).data_class == "restricted"
        assert (await it.served.run("more", session="s", id="run_2")).data_class == "restricted"


async def test_what_nobody_decides_in_time_fails_and_was_not_done(tmp_path: Path) -> None:
    """ORC541; a verdict that comes later is refused."""
    tool = shop()
    async with desked(tmp_path, replace(by_rule(tool), people={"expires": 0.05})) as it:
        result = await it.served.run("pay 5")
        it.clock.now = (await it.desk.find(result.approval)).expires
        it.desk.wake()
        found = await it.end_of(result.id)
        with pytest.raises(ApprovalClosed, match="is expired already"):
            await it.decide(result, "approve")
    assert (found["error"]["code"], found["status"], tool.calls) == ("ORC541", "failed", [])
    assert [event.fields["state"] for event in it.events("approval.decided")] == ["expired"]


async def test_a_full_queue_fails_the_run_or_escalates(tmp_path: Path) -> None:
    """ORC542; to another agent where the person has one."""
    async with desked(tmp_path, person(most_waiting=1)) as it:
        await it.served.run("one")
        full = await it.served.run("two", id="run_2")
    assert full.error is not None and (full.error["code"], full.error["kind"]) == ("ORC542", "DeskFull")
    busy = agent_spec("desk", models=[], human=PERSON, escalate_to="b", escalate_when=["overloaded"])
    wanted = Wanted([busy, agent_spec("b", models=[], reflex=[rule("call us")])], bound={}, people={"most_waiting": 1})
    async with desked(tmp_path, wanted) as it:
        assert (await it.served.run("three", id="run_3")).text == "call us"


async def test_without_a_desk_the_ticket_is_all(tmp_path: Path) -> None:
    """As in a deployment of one process; without tickets the run says what to do."""
    async with serving(person()) as served:
        result = await served.run("help me")
    assert result.error is not None and "no tickets tool" in result.error["message"]


async def test_a_ticket_is_opened_past_the_approval_that_its_tool_needs(tmp_path: Path) -> None:
    """It is the engine that opens it; its number is what the user is told."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1"}}, approval="always")
    tickets.parameters = {"type": "object", "properties": {"subject": {}, "body": {}}}
    human = {"queue": "q", "say": "{{ ticket }} {{ approval }}"}
    wanted = Wanted([agent_spec("desk", models=[], tools=["tickets"], human=human)], [tickets], bound={})
    async with desked(tmp_path, wanted) as it:
        result = await it.served.run("help me")
    assert result.text == f"T-1 {result.approval}"
    assert len(tickets.calls) == 1


# ---- calls that a person must allow ---------------------------------------------------------------------------------


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
    assert (name, arguments, context.call_id) == ("shop.pay", {"amount": 5}, "run_1:1")
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
    assert [each[2].call_id for each in tool.calls] == ["run_1:1", "run_1:2"]
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


async def test_what_was_streamed_before_stays_the_beginning_of_the_answer(tmp_path: Path) -> None:
    """The caller hears why it ends there."""
    heard: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "run.delta":
            heard.append(event.fields["text"])

    async with desked(tmp_path, by_model(shop()), simulated(["m"], paying(5))) as it:
        result = await it.served.run("pay it", listen)
    assert "".join(heard) == result.text
    assert result.approval in result.text


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


# ---- what has changed meanwhile -------------------------------------------------------------------------------------


async def test_a_swapped_argument_after_the_approval_is_refused(tmp_path: Path) -> None:
    """Also by who can write into the database: the engine computes the digest of what it is about to call."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5)), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
        held = dict((await it.desk.find(result.approval)).held)
        (asked,) = held["at"]["wish"]["tool_calls"]
        asked["function"]["arguments"] = json.dumps({"amount": 5_000})
        with it.stores.people._file.transaction() as connection:
            connection.execute("UPDATE approval SET held = ?", (json.dumps(held),))
    async with desked(tmp_path, by_model(tool)) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], tool.calls) == ("ORC543", [])
    assert "other arguments than those that were approved" in found["error"]["message"]


@pytest.mark.parametrize("act", ["approve", "deny"])
async def test_a_manifest_that_changed_its_rule_calls_nothing(tmp_path: Path, act: str) -> None:
    """Not even where the tool needs no approval any more."""
    tool, changed = shop(), shop(approval="never")
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, act)
    wanted = by_rule(changed)
    spec = wanted.parts[0]
    spec["reflex"][0]["arguments"] = {"amount": 9}  # type: ignore[typeddict-item]
    async with desked(tmp_path, wanted) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], changed.calls) == ("ORC543", [])


async def test_a_refusal_holds_where_the_manifest_lets_the_call_pass_by_now(tmp_path: Path) -> None:
    """A person said no to this call."""
    tool, free = shop(), shop(approval="never")
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "deny")
    async with desked(tmp_path, by_rule(free)) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], free.calls) == ("ORC540", [])


async def test_a_rule_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    """With what happened."""
    async with desked(tmp_path, by_rule(shop()), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
    wanted = Wanted([agent_spec("a", models=[], reflex=[rule("hello")])], bound={})
    async with desked(tmp_path, wanted) as it:
        found = await it.end_of(result.id)
    assert found["error"]["message"] == "rule 1 of agent.a is not what it was"


async def test_a_desk_that_opens_again_lets_the_run_go_on(tmp_path: Path) -> None:
    """Whether the verdict came before or after."""
    for number, works in enumerate([False, True]):
        tool, run = shop(), f"run_{number}"
        async with desked(tmp_path, by_rule(tool), works=False) as it:
            result = await it.served.run("pay 5", id=run)
            if not works:
                await it.decide(result, "approve")
        async with desked(tmp_path, by_rule(tool)) as it:
            if works:
                await it.decide(result, "approve")
            assert (await it.end_of(run))["text"] == "done: paid"
        assert len(tool.calls) == 1


async def test_a_call_that_was_cut_off_is_not_made_again(tmp_path: Path) -> None:
    """Nobody knows whether it was made: the run says so."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
        await it.desk.begin(result.approval)
    async with desked(tmp_path, by_rule(tool)) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], tool.calls) == ("ORC543", [])
    assert "it may have been done, or not" in found["error"]["message"]


@pytest.mark.parametrize(
    "outcome", [{"value": "paid once", "text": ""}, {"error": {"message": "closed", "cure": "later"}}]
)
async def test_a_run_goes_on_from_what_its_call_gave(tmp_path: Path, outcome: dict[str, Any]) -> None:
    """Where the runtime ended just after the call."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
        await it.desk.begin(result.approval)
        await it.desk.record(result.approval, outcome)
    async with desked(tmp_path, by_rule(tool)) as it:
        found = await it.end_of(result.id)
    told = found["text"] if "value" in outcome else found["error"]["message"]
    assert (told, tool.calls) == ("done: paid once" if "value" in outcome else "closed", [])


async def test_a_run_that_another_version_kept_ends_and_says_so(tmp_path: Path) -> None:
    """It keeps nothing else back."""
    async with desked(tmp_path, person(), works=False) as it:
        first = await it.served.run("one")
        second = await it.served.run("two", id="run_2")
        await it.decide(first, "answer", "yes")
        await it.decide(second, "answer", "yes")
        with it.stores.people._file.transaction() as connection:
            connection.execute("UPDATE approval SET held = '{}' WHERE id = ?", (first.approval,))
    async with desked(tmp_path, person()) as it:
        assert (await it.end_of("run_2"))["text"] == "yes"
        assert (await it.end_of("run_1"))["text"] == "yes"  # an answer needs nothing of what was kept


async def test_a_model_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """After a start, model servers come later than the runtime: nothing is called and nothing lost meanwhile."""
    tool, server = shop(), simulated(["m"], paying(5))
    async with desked(tmp_path, by_model(tool), server, works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
    async with desked(tmp_path, replace(by_model(tool), bound={})) as it:
        while result.approval not in it.desk._rest:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        waits = await it.desk.result_of("run_1")
        assert waits is not None and (waits["status"], tool.calls) == ("waiting", [])
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        assert (await it.end_of("run_1"))["text"] == 'it said: "paid"'


async def test_a_model_that_never_comes_ends_the_run(tmp_path: Path) -> None:
    """Ten minutes after the verdict."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5)), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
    async with desked(tmp_path, replace(by_model(tool), bound={}), works=False) as it:
        it.clock.now += 601
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.desk.run)
            found = await it.end_of("run_1")
            tasks.cancel_scope.cancel()
    assert (found["error"]["kind"], tool.calls) == ("NoModel", [])


async def test_a_caller_that_goes_away_leaves_what_waits(tmp_path: Path) -> None:
    """The run is kept as waiting, and not as cancelled."""
    async with desked(tmp_path, person()) as it:
        kept = anyio.Event()

        def listen(event: Event) -> None:
            if event.kind == "approval.asked":
                kept.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.served.engine.run, Request("help me", id="run_1"), listen)
            await kept.wait()
            tasks.cancel_scope.cancel()
        waits = await it.desk.result_of("run_1")
        assert waits is not None and waits["status"] == "waiting"
        assert {event.fields["result"].status for event in it.events("run.finished")} == {"waiting"}


async def test_two_who_decide_at_once_have_one_outcome(tmp_path: Path) -> None:
    """The call is made once, or not at all."""
    tool, lost = shop(), []
    async with desked(tmp_path, by_rule(tool)) as it:
        result = await it.served.run("pay 5")

        async def decide(act: str) -> None:
            try:
                await it.decide(result, act, by=act)
            except ApprovalClosed as error:
                lost.append(error.message)

        async with anyio.create_task_group() as tasks:
            for act in ("approve", "deny", "approve"):
                tasks.start_soon(decide, act)
        found = await it.end_of("run_1")
    assert len(lost) == 2
    assert len(tool.calls) == (found["status"] == "completed")


# ---- telling people -------------------------------------------------------------------------------------------------


async def test_people_are_told_by_each_channel_once(tmp_path: Path) -> None:
    """An event says so."""
    async with desked(tmp_path, person(notify={"webhook": {}, "email": {}})) as it:
        await it.served.run("help me")
        while len(it.events("approval.notified")) < 2:  # noqa: ASYNC110
            await anyio.sleep(0.01)
    assert sorted(notice.channel for notice in it.told) == ["email", "webhook"]


async def test_a_dead_webhook_stops_nothing_and_is_tried_again(tmp_path: Path) -> None:
    """With a rest; the deployment's trouble tells why; the verdict ends it."""
    async with desked(tmp_path, person(notify={"webhook": {}}), tell=dead) as it:
        result = await it.served.run("help me")
        while not it.events("approval.notified"):  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert await it.desk.trouble() == {"shop": {"pending": 1, "untold": 1, "error": "the webhook answered 500"}}
        it.clock.now += 20
        it.desk.wake()
        while len(it.events("approval.notified")) < 2:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert [notice.tries for notice in it.told] == [0, 1]
        assert (await it.after(result, "answer", "yes"))["text"] == "yes"
        assert await it.desk.trouble() == {}


async def test_a_verdict_of_an_unknown_id_changes_nothing(tmp_path: Path) -> None:
    """It is told."""
    async with desked(tmp_path, person()) as it:
        with pytest.raises(Exception, match="nothing waits for a person under"):
            await it.desk.decide("apv_x", Verdict("answer", "ana", "x"))


# ---- a stop in the middle -------------------------------------------------------------------------------------------


async def test_a_stop_while_a_run_goes_on_leaves_it_for_the_next_start(tmp_path: Path) -> None:
    """After the approved call, while the model speaks: the call is not made again."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5)), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
    stuck = simulated(["m"], paying(5))
    stuck.arm("hang-before")
    async with desked(tmp_path, by_model(tool), stuck) as it:
        while not tool.calls or (await it.desk.find(result.approval)).outcome is None:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        it.served.engine.cancel("the runtime stops")
        await it.served.engine.drained()
        waits = await it.desk.result_of("run_1")
        assert waits is not None and waits["status"] == "waiting"
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        assert (await it.end_of("run_1"))["text"] == 'it said: "paid"'
    assert len(tool.calls) == 1
