"""Requests whose model is away wait on the disk and are answered once it is back: what is told, in which order, for how long."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.approval import Verdict
from orchestrator.core.errors import DeliveryClosed, NoSuchDelivery
from orchestrator.core.message import Message
from orchestrator.serve.lanes import MOST_AT_ONCE, TRIES_AT_THE_HEAD, Lane, Work, due
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.outbox.parts import delivery, far, kept
from tests.people.parts import person
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio


def away(requests: int) -> SimulatedEndpoint:
    """A server that cannot be reached by the first requests."""
    return simulated(["m"], faults=[f"reset@1-{requests}"])


async def test_a_request_waits_and_its_answer_becomes_the_runs(tmp_path: Path) -> None:
    """The caller is told at once; the story has when it was forwarded."""
    async with kept(tmp_path, far(), away(6)) as it:
        result = await it.served.run("explain it")
        assert (result.status, result.served_by, result.agent) == ("waiting", "outbox", "far")
        assert result.approval.startswith("dlv_") and result.approval in result.text and result.error is None
        found = await it.end_of(result.id)
        delivery, audit = await it.forwarder.find(result.approval)
    assert (found["status"], found["text"], found["agent"], found["path"]) == (
        "completed", "explain it", "far", ["agent.far"],
    )  # fmt: skip
    forwarded = next(step for step in found["steps"] if step["kind"] == "forward")
    assert forwarded["detail"]["delivery"] == result.approval and forwarded["detail"]["tries"] == delivery.tries
    assert delivery.state == "delivered" and delivery.held == {} and delivery.tries > 1
    assert [entry.what for entry in audit] == ["deferred", *["tried"] * delivery.tries, "delivered"]
    assert [event.fields["result"].status for event in it.events("run.finished")] == ["waiting", "completed"]
    assert len(it.events("delivery.tried")) == delivery.tries - 1 and it.trouble == []


async def test_the_session_has_the_promise_and_the_answer(tmp_path: Path) -> None:
    """And the model is asked with the conversation as it was, without the promise."""
    async with kept(tmp_path, far(), away(6)) as it:
        result = await it.served.run("explain it", session="s")
        await it.end_of(result.id)
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
        sent = [each.asked.text for each in it.served.server.records]
    assert turns == ["explain it", result.text, "explain it"]  # the model echoes
    assert all(result.text not in text for text in sent)


async def test_history_of_the_request_goes_with_it(tmp_path: Path) -> None:
    """As the caller gave it."""
    history = (Message("user", "hi"), Message("assistant", "hello"))
    async with kept(tmp_path, far(), away(6)) as it:
        result = await it.served.run("explain it", history=history)
        await it.end_of(result.id)
        assert it.served.sent()[1:] == [("user", "hi"), ("assistant", "hello"), ("user", "explain it")]


async def test_who_takes_over_comes_before_waiting(tmp_path: Path) -> None:
    """Only where nobody does, the last one's request waits; it knows what was tried."""
    front = agent_spec("front", models=[], reflex=[rule("", call="shop.find")], escalate_to="far")
    tool = FakeTool("shop", {"find": fails})
    wanted = Wanted([{**front, "tools": ["shop"]}, *far().parts], [tool])
    async with kept(tmp_path, wanted, away(6)) as it:
        result = await it.served.run("explain it")
        assert (result.status, result.agent, result.path) == ("waiting", "far", ("agent.front", "agent.far"))
        found = await it.end_of(result.id)
        asked = it.served.server.records[-1].asked
    assert found["status"] == "completed" and "broken" in "".join(each["content"] for each in asked.messages)


def fails(*_: Any) -> Any:
    raise RuntimeError("broken")


async def test_nothing_waits_where_the_manifest_does_not_say_so(tmp_path: Path) -> None:
    """And nothing where no disk is: a deployment of one process."""
    async with kept(tmp_path, Wanted([agent_spec("far")]), away(99)) as it:
        result = await it.served.run("explain it")
        assert (result.status, await it.waiting()) == ("failed", 0)
    async with serving(far(), away(99)) as served:
        assert (await served.run("explain it")).status == "failed"


async def test_a_fault_that_a_repeat_would_meet_again_does_not_wait(tmp_path: Path) -> None:
    """What the server refuses, it refuses tomorrow."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["bad-request@*"])) as it:
        result = await it.served.run("explain it")
        assert result.error is not None and await it.waiting() == 0


async def test_a_fault_when_it_is_forwarded_ends_it(tmp_path: Path) -> None:
    """What is wrong with the request itself is told, not tried for ever."""
    server = simulated(["m"], faults=["reset@1-3", "bad-request@4-99"])
    async with kept(tmp_path, far(), server) as it:
        result = await it.served.run("explain it")
        found = await it.end_of(result.id)
        delivery, audit = await it.forwarder.find(result.approval)
    assert (found["status"], found["error"]["kind"], delivery.state) == ("failed", "BadRequest", "failed")
    assert audit[-1].what == "failed"


@pytest.mark.parametrize("fault", ["unavailable", "server-error", "html-error", "error-in-stream", "drop-mid"])
async def test_a_target_that_comes_back_with_errors_of_its_own_is_waited_for(tmp_path: Path, fault: str) -> None:
    """A cloud after an outage, or the gateway in front of it: 5xx is the target's trouble, not the request's."""
    server = simulated(["m"], faults=["reset@1-3", f"{fault}@4-15"])
    async with kept(tmp_path, far(), server) as it:
        result = await it.served.run("explain it")
        found = await it.end_of(result.id)
        delivery, audit = await it.forwarder.find(result.approval)
        finished = [each for each in it.served.server.records if each.outcome == "finished"]
    assert (found["status"], found["text"], delivery.state) == ("completed", "explain it", "delivered")
    assert len(finished) == 1 and delivery.tries > 2
    assert [entry.what for entry in audit] == ["deferred", *["tried"] * delivery.tries, "delivered"]


@pytest.mark.parametrize("fault", ["unavailable", "server-error", "html-error", "drop-mid"])
async def test_a_target_that_answers_nothing_but_errors_of_its_own_is_away(tmp_path: Path, fault: str) -> None:
    """A new request is kept for it, as for one that nobody reaches, and its caller hears so within seconds."""
    async with kept(tmp_path, far(), simulated(["m"], faults=[f"{fault}@1-9"])) as it:
        result = await it.served.run("explain it")
        assert result.status == "waiting" and result.timings["total"] < 5_000
        delivery, _ = await it.forwarder.find(result.approval)
        assert delivery.away != ""
        assert (await it.end_of(result.id))["status"] == "completed"


@pytest.mark.parametrize("fault", ["rate-limit-bare", "rate-limit:60s", "overloaded", "queue-full"])
async def test_who_may_be_kept_does_not_stand_in_line_for_what_a_server_asks_for(tmp_path: Path, fault: str) -> None:
    """Its time is two minutes, and it hears within seconds that its request is kept; the outbox waits in its place."""
    async with kept(tmp_path, far(), simulated(["m"], faults=[f"{fault}@1-30"])) as it:
        result = await it.served.run("explain it")
        assert (
            result.status == "waiting" and result.timings["total"] < 10_000
        )  # before it is written: the disk's time is real
        assert (await it.end_of(result.id))["status"] == "completed"


async def test_who_may_be_kept_waits_out_a_short_pause(tmp_path: Path) -> None:
    """A second is no reason to be told to come back later."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["rate-limit:1s@1"])) as it:
        assert (await it.served.run("explain it")).status == "completed"


async def test_who_may_be_kept_waits_for_a_model_that_is_loaded(tmp_path: Path) -> None:
    """It comes, and soon: nobody is away."""
    async with kept(tmp_path, far(), simulated(["m"], faults=["loading@1-7"])) as it:
        assert (await it.served.run("explain it")).status == "completed"


async def test_who_may_not_be_kept_waits_as_long_as_he_may(tmp_path: Path) -> None:
    """Nothing else would answer him."""
    async with kept(tmp_path, Wanted([agent_spec("far")]), simulated(["m"], faults=["rate-limit:20s@1-3"])) as it:
        assert (await it.served.run("explain it")).status == "completed"


async def test_a_restricted_request_never_waits_for_the_cloud(tmp_path: Path) -> None:
    """It would wait in vain: what it may not reach today it may not reach tomorrow."""
    wanted = Wanted(far().parts, cloud=["m@1"])
    async with kept(tmp_path, wanted, away(99)) as it:
        result = await it.served.run("explain it", data_class="restricted")
        assert result.error is not None and result.error["kind"] == "KeptNear"
        assert await it.waiting() == 0


async def test_it_expires_and_says_so(tmp_path: Path) -> None:
    """ORC544, with the last reason."""
    async with kept(tmp_path, far(kept={"expires": 50.0}), away(10**6)) as it:
        result = await it.served.run("explain it")
        it.clock.now += 51
        it.forwarder.wake()
        found = await it.end_of(result.id)
        delivery, audit = await it.forwarder.find(result.approval)
    assert (found["error"]["code"], delivery.state, audit[-1].what) == ("ORC544", "expired", "expired")
    assert "could not be reached in time" in found["error"]["message"]


async def test_it_can_be_taken_back_once(tmp_path: Path) -> None:
    """ORC546; who is late is told what became of it."""
    async with kept(tmp_path, far(), away(10**6)) as it:
        result = await it.served.run("explain it")
        ended = await it.forwarder.cancel(result.approval, "ana")
        assert (ended.state, ended.by) == ("cancelled", "ana")
        found = await it.end_of(result.id)
        assert (found["error"]["code"], "by ana" in found["error"]["message"]) == ("ORC546", True)
        with pytest.raises(DeliveryClosed, match="cancelled already"):
            await it.forwarder.cancel(result.approval, "bob")
        with pytest.raises(NoSuchDelivery):
            await it.forwarder.cancel("dlv_nothing", "bob")


async def test_no_more_wait_than_may(tmp_path: Path) -> None:
    """ORC545, and nothing of it is kept."""
    async with kept(tmp_path, far(kept={"most_waiting": 2}), away(10**6)) as it:
        results = [await it.served.run(f"explain {number}") for number in range(3)]
        assert [result.status for result in results] == ["waiting", "waiting", "failed"]
        error = results[2].error or {}
        assert (error["code"], error["retry_after"]) == ("ORC545", 60.0)
        assert await it.waiting() == 2


async def test_one_finds_out_that_the_target_is_back_and_the_others_follow(tmp_path: Path) -> None:
    """Of twenty that wait, the oldest is tried; after some tries the next, as the fault may be the request's own."""
    async with kept(tmp_path, far(), away(100), works=False) as it:
        ids = [(await it.served.run(f"number {number}", id=f"run_{number:02}")).id for number in range(20)]
        async with it.forwarding():
            for run in ids:
                await it.end_of(run)
        tried = [event.run for event in it.events("delivery.tried")]
        told = [event.run for event in it.events("run.finished") if event.fields["result"].status == "completed"]
    assert tried[:TRIES_AT_THE_HEAD] == [ids[0]] * min(len(tried), TRIES_AT_THE_HEAD) and len(set(tried)) < 5
    assert sorted(told) == ids


async def test_the_one_that_somebody_names_is_tried_and_no_other(tmp_path: Path) -> None:
    """Though its target rests and older ones of its lane wait; after that, the oldest is tried again."""
    async with kept(tmp_path, far(), away(10**6), works=False) as it:
        waiting = [await it.served.run(f"number {number}") for number in range(3)]
        async with it.forwarding():
            assert await it.forwarder.retry("", waiting[2].approval) == 1
            while len(it.events("delivery.tried")) < TRIES_AT_THE_HEAD:  # noqa: ASYNC110 - the store gives no sign
                await anyio.sleep(1)  # of virtual time
        tried = [event.run for event in it.events("delivery.tried")]
    assert tried[:TRIES_AT_THE_HEAD] == [waiting[2].id] + [waiting[0].id] * (TRIES_AT_THE_HEAD - 1)


async def test_only_lanes_of_what_is_hurried_are_tried_at_once(tmp_path: Path) -> None:
    """A name hurries its own delivery, a deployment its lanes; what else rests goes on resting."""
    async with kept(tmp_path, far(), away(10**6), works=False) as it:
        result = await it.served.run("explain it")
        lanes = it.forwarder._work.lanes
        far_lane, other = lanes[("shop", "far")], lanes.setdefault(("other", "far"), Lane(until=inf))
        far_lane.until = inf
        assert await it.forwarder.retry("", result.approval) == 1
        assert (far_lane.until, other.until) == (inf, inf)
        assert await it.forwarder.retry("shop", "") == 1
        assert (far_lane.until, other.until) == (0.0, inf)
        assert await it.forwarder.retry("other", "") == 0


async def test_traffic_to_a_target_that_is_away_puts_off_no_try(tmp_path: Path) -> None:
    """Each request that comes meanwhile finds it away too; that is no reason to wait longer."""
    async with kept(tmp_path, far(), away(10**6)) as it:
        await it.served.run("first", id="run_first")
        for number in range(40):
            await anyio.sleep(3)  # of virtual time
            await it.served.run(f"number {number}")
        tries = (await it.forwarder.newest("", 100, closed=False))[-1].tries
    assert tries >= 3


async def test_a_call_has_the_same_key_when_it_is_tried_again(tmp_path: Path) -> None:
    """Each call of the run one of its own; a call of a request that did not wait has none."""
    script = Script([Rule("far", say="done", calls=(("shop_find", {}),))])
    wanted = Wanted(far(tools=["shop"]).parts, [FakeTool("shop", {"find": "found"})])
    async with kept(tmp_path, wanted, simulated(["m"], script, faults=["reset@1-9"])) as it:
        run = await it.served.run("far away")
        await it.end_of(run.id)
        keys = [record.asked.key for record in it.served.server.records]
    first, second = dict.fromkeys(key for key in keys if key)
    assert keys[0] == "" and keys[-2:] == [first, second]
    assert first.removesuffix("-1") == second.removesuffix("-2")


async def test_a_person_may_be_asked_after_the_wait(tmp_path: Path) -> None:
    """What waited for its model waits for a person then: one thing at a time, and the delivery is done."""
    wanted = Wanted([*far(escalate_to="desk", escalate_when=["schema_invalid", "error"]).parts, *person().parts])
    async with kept(tmp_path, wanted, away(10**6)) as it:
        asked = await it.served.run("explain it", agent="far")
        assert asked.approval.startswith("apv_"), "who takes over comes first"
    tool = FakeTool("shop", {"pay": "paid"}, approval="always")
    script = Script([Rule("pay", say="it said: {result}", calls=(("shop_pay", {}),))])
    wanted = Wanted(far(tools=["shop"]).parts, [tool])
    async with kept(tmp_path, wanted, simulated(["m"], script, faults=["reset@1-9"])) as it:
        run = await it.served.run("pay it", session="s")
        found = await it.end_of(run.id, run.approval)
        delivery, _ = await it.forwarder.find(run.approval)
        assert (delivery.state, delivery.held, await it.waiting()) == ("delivered", {}, 0)
        approval = await it.desk.find(found["approval"])
        digest = approval.call.digest if approval.call else ""
        await it.desk.decide(approval.id, Verdict("approve", "ana", "", digest))
        ended = await it.end_of(run.id)
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
    assert (ended["text"], [name for name, *_ in tool.calls]) == ('it said: "paid"', ["shop.pay"])
    assert [step["kind"] for step in ended["steps"]][-4:] == ["model", "person", "tool", "model"]
    assert turns[0] == "pay it" and turns[-1] == 'it said: "paid"' and len(turns) == 4


async def test_a_part_of_a_request_waits_as_a_run_of_its_own(tmp_path: Path) -> None:
    """The other part is answered at once."""
    front = router_spec("front", {"far": "explain", "near": "hours"}) | {"several": True}
    near = agent_spec("near", models=[], reflex=[rule("nine to six")])
    wanted = Wanted([front, *far().parts, near])
    async with kept(tmp_path, wanted, away(9)) as it:
        result = await it.served.run("explain the drill, and what are your hours?", session="s")
        parts = {part.agent: part for part in result.parts}
        assert (parts["near"].text, parts["far"].status) == ("nine to six", "waiting"), result.text
        found = await it.end_of(parts["far"].run)
        turns = [each.content for each in it.stores.sessions.load("shop", "s")]
    assert (found["status"], found["agent"]) == ("completed", "far") and found["id"] != result.id
    assert turns[1:] == [result.text, found["text"]]


async def test_what_may_not_be_sent_any_more_ends_and_holds_up_nobody(tmp_path: Path) -> None:
    """Its session has become restricted while it waited: it would wait in vain."""
    near = agent_spec("near", models=[], reflex=[rule("noted")])
    wanted = Wanted([*far().parts, near], cloud=["m@1"])
    async with kept(tmp_path, wanted, away(9), works=False) as it:
        first = await it.served.run("one", session="s")
        await it.served.run("my illness", session="s", agent="near", data_class="restricted")
        second = await it.served.run("two")
        async with it.forwarding():
            assert (await it.end_of(first.id))["error"]["kind"] == "KeptNear"
            assert (await it.end_of(second.id))["status"] == "completed"


@given(
    lanes=st.dictionaries(st.sampled_from("ab"), st.tuples(st.booleans(), st.sampled_from([0.0, 5.0])), max_size=2),
    agents=st.lists(st.sampled_from("ab"), max_size=30),
    busy=st.sets(st.integers(0, 29)),
    named=st.sets(st.integers(0, 29), max_size=2),
)
def test_what_is_due_is_bounded_and_in_order(
    lanes: dict[str, tuple[bool, float]], agents: list[str], busy: set[int], named: set[int]
) -> None:
    """Those that somebody named first; of each lane as many as may be under way, the oldest first; nothing of a lane that rests."""
    known = {("shop", name): Lane(0, is_open, until) for name, (is_open, until) in lanes.items()}
    waiting = [delivery(number, agent=name) for number, name in enumerate(agents)]
    in_work = {each.id for number, each in enumerate(waiting) if number in busy}
    names = {delivery(number).id for number in named}
    chosen = due(waiting, Work(known, in_work, names), now=1.0)
    hurried = [each for each in waiting if each.id in names - in_work]
    assert chosen[: len(hurried)] == hurried
    chosen, waiting = chosen[len(hurried) :], [each for each in waiting if each not in hurried]
    assert [each.id for each in chosen] == sorted(each.id for each in chosen)
    assert not in_work.intersection(each.id for each in chosen)
    for name in "ab":
        lane = known.get(("shop", name), Lane())
        free = [each for each in waiting if each.agent == name and each.id not in in_work]
        running = sum(each.agent == name and each.id in in_work for each in waiting)
        running += sum(each.agent == name for each in hurried)
        room = max(0, (MOST_AT_ONCE if lane.open else 1) - running)
        expected = [] if lane.until > 1.0 else free[:room]
        assert [each for each in chosen if each.agent == name] == expected
