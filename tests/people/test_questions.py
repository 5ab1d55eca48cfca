"""Questions to people: what the caller gets, how the answer comes back, who is told, and what nobody decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.core.approval import Verdict
from orchestrator.core.errors import ApprovalClosed, StateUnusable
from orchestrator.core.failpoint import arm, disarm
from orchestrator.core.message import Message
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.people.parts import PERSON, by_rule, dead, desked, person, shop
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio


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


async def test_turns_that_no_disk_took_are_stored_with_what_waits(tmp_path: Path) -> None:
    """In their order, and once."""
    wanted = Wanted(
        [agent_spec("desk", models=[], human=PERSON), agent_spec("a", models=[], reflex=[rule("hi")])], bound={}
    )
    async with desked(tmp_path, wanted) as it:
        with it.stores.people._file.transaction() as connection:
            connection.execute("CREATE TRIGGER full BEFORE INSERT ON turn BEGIN SELECT RAISE(ABORT, 'full'); END")
        lost = await it.served.run("hello", session="s", agent="a")
        assert (lost.text, len(lost.notes)) == ("hi", 1)
        with it.stores.people._file.transaction() as connection:
            connection.execute("DROP TRIGGER full")
        result = await it.served.run("help me", session="s", agent="desk")
        await it.after(result, "answer", "at three")
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
    assert turns == ["hello", "hi", "help me", result.text, "at three"]


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


async def test_a_full_queue_opens_no_ticket(tmp_path: Path) -> None:
    """For nobody would look into it with the question."""
    tickets = FakeTool("tickets", {"create": {"number": "T-1"}})
    tickets.parameters = {"type": "object", "properties": {"subject": {}, "body": {}}}
    desk = agent_spec("desk", models=[], tools=["tickets"], human=PERSON)
    async with desked(tmp_path, Wanted([desk], [tickets], bound={}, people={"most_waiting": 1})) as it:
        results = [await it.served.run("one", id=f"run_{number}") for number in range(3)]
    assert [result.status for result in results] == ["waiting", "failed", "failed"]
    assert len(tickets.calls) == 1


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


async def test_people_are_told_by_each_channel_once(tmp_path: Path) -> None:
    """An event says so."""
    async with desked(tmp_path, person(notify={"webhook": {}, "email": {}})) as it:
        await it.served.run("help me")
        while len(it.events("approval.notified")) < 2:  # noqa: ASYNC110 - it gives no sign of it
            await anyio.sleep(0.01)  # the disk is real, and so is its time
    assert sorted(notice.channel for notice in it.told) == ["email", "webhook"]


async def test_a_dead_webhook_stops_nothing_and_is_tried_again(tmp_path: Path) -> None:
    """With a rest; the deployment's trouble tells why; the verdict ends it."""
    async with desked(tmp_path, person(notify={"webhook": {}}), tell=dead) as it:
        result = await it.served.run("help me")
        while not it.events("approval.notified"):  # noqa: ASYNC110 - it gives no sign of it
            await anyio.sleep(0.01)  # the disk is real, and so is its time
        assert await it.desk.trouble() == {"shop": {"pending": 1, "untold": 1, "error": "the webhook answered 500"}}
        it.clock.now += 20
        it.desk.wake()
        while len(it.events("approval.notified")) < 2:  # noqa: ASYNC110 - it gives no sign of it
            await anyio.sleep(0.01)  # the disk is real, and so is its time
        assert [notice.tries for notice in it.told] == [0, 1]
        assert (await it.after(result, "answer", "yes"))["text"] == "yes"
        assert await it.desk.trouble() == {}


async def test_a_verdict_of_an_unknown_id_changes_nothing(tmp_path: Path) -> None:
    """It is told."""
    async with desked(tmp_path, person()) as it:
        with pytest.raises(Exception, match="nothing waits for a person under"):
            await it.desk.decide("apv_x", Verdict("answer", "ana", "x"))


async def test_a_channel_that_does_not_answer_holds_up_no_other(tmp_path: Path) -> None:
    """Nor the people who decide."""
    stuck = anyio.Event()
    wanted = person(notify={"webhook": {}, "email": {}})
    async with desked(tmp_path, wanted, stuck=stuck) as it:
        result = await it.served.run("help me")
        while not it.events("approval.notified"):  # noqa: ASYNC110 - it gives no sign of it
            await anyio.sleep(0.01)  # the disk is real, and so is its time
        assert [event.fields["channel"] for event in it.events("approval.notified")] == ["email"]
        assert (await it.after(result, "answer", "yes"))["text"] == "yes"
        stuck.set()


async def test_a_notice_that_cannot_be_noted_is_not_sent_again_for_that(tmp_path: Path) -> None:
    """A full disk is no reason to write to people every few seconds."""
    full = [True]

    def fail() -> None:
        if full:
            raise StateUnusable("the disk is full")

    arm("people.before-told", 1, fail)
    try:
        async with desked(tmp_path, person(notify={"webhook": {}})) as it:
            await it.served.run("help me")
            while len(it.trouble) < 2:
                it.desk.wake()
                await anyio.sleep(0.01)  # the disk is real, and so is its time
            full.clear()
            it.desk.wake()
            while not it.events("approval.notified"):  # noqa: ASYNC110 - it gives no sign of it
                await anyio.sleep(0.01)  # the disk is real, and so is its time
    finally:
        disarm()
    assert len(it.told) == 1
    assert it.trouble[0] == "notices to people cannot be kept: the disk is full"


async def test_a_person_sees_what_the_model_had_said_and_why_it_goes_up(tmp_path: Path) -> None:
    """The conversation, the failed attempt with what it called, and the reason."""
    small = agent_spec("a", escalate_to="desk", escalate_when=["self_check"], gate={"self_check": {}}, tools=["stock"])
    wanted = Wanted([small, agent_spec("desk", models=[], human=PERSON)], [FakeTool("stock", {"look": "none"})])
    script = Script([Rule('"answer"', value={"right": "no"}), Rule("", say="ten", calls=(("stock_look", {}),))])
    async with desked(tmp_path, wanted, simulated(["m"], script)) as it:
        result = await it.served.run("how many", history=(Message("user", "hi"), Message("assistant", "hello")))
        asked = await it.desk.find(result.approval)
    assert (asked.text, asked.talk) == ("how many", "user: hi\nassistant: hello")
    assert (
        "agent.a handed over: self_check: m@1 says no to whether it is right (0.05): 5% sure, 50% is needed"
        in asked.why
    )
    assert asked.why.endswith('agent.a: It had said: "ten". It has called already: stock.look (ok).')
