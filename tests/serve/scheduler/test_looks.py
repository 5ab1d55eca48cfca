"""Before silent calls count as stalled, their server is looked at: one that only works for others is not left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from orchestrator.core.errors import (
    BadRequest,
    DeadlinePassed,
    ModelError,
    RateLimited,
    ServerBusy,
    ServerFailed,
    Stalled,
    Unreachable,
)
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.watch import Word
from orchestrator.ports.provider import Capability, ChatCall, Choice, Support, Target
from orchestrator.serve.loop import Ask, Loop
from tests.serve.scheduler.fakes import Say, ScriptedProvider, endpoint
from tests.serve.scheduler.machine import Machine, spec

STREAMS = {Capability.STREAM: Support.YES, Capability.STREAM_USAGE: Support.YES}
CALL = ChatCall(Target("", "", ""), (Message("user", "hello"),), request_id="run_1")


def looks(m: Machine) -> list[float]:
    """When somebody looked."""
    at, times = 0.0, []
    for line in m.lines:
        if not line.startswith("    "):
            at = float(line.split()[0])
        elif "look at" in line:
            times.append(at)
    return times


def stops(m: Machine) -> list[str]:
    """What was stopped, and why."""
    return [line.strip() for line in m.lines if "cancel" in line]


def seen(m: Machine, *words: Word, every: float = 60.0, first: float = 45.0) -> None:
    """Each look ends a second after it began, with the next of these."""
    for number, word in enumerate(words):
        m.until(first + every * number + 1)
        m.looked("a", word)


# -- a server that works for others ----------------------------------------------------------------------------------


def test_a_call_waits_for_a_server_that_only_works_for_others() -> None:
    """It is the only one: nothing is held against it, and it is looked at again each minute. As soon as it is seen to do
    nothing any more, it counts as hung."""
    m = Machine(spec("a"))
    m.submit("a", streaming=True, within=1000.0)
    seen(m, "works", "works", "works")
    assert (looks(m), stops(m), m.state("a")) == ([45, 105, 165], [], "unknown")
    m.until(226)
    m.looked("a", "silent")
    m.until(227)
    assert stops(m) == ["cancel 1: Stalled: a made no progress for 226 s"]
    assert m.state("a") == "stalled"


def test_where_another_server_can_answer_a_call_moves_there_from_a_busy_one() -> None:
    """After its minute; the busy one keeps its place, and nothing is counted."""
    m = Machine(spec("a"), spec("b"))
    call = m.submit("a", "b", streaming=True)
    seen(m, "works")
    m.until(60)
    assert stops(m) == ["cancel 1: Stalled: a made no progress for 60 s: it works for others"]
    m.finish(call, Stalled("a made no progress"))
    assert m.lines[-1] == "    start 1 on b (fallback)"
    one = m.scheduler.lanes["a"].endpoint
    assert (one.breaker.failures, one.takes_calls) == (0, True)


def test_a_call_that_may_not_be_repeated_is_not_moved_from_a_busy_server() -> None:
    """It may have begun there."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b", streaming=True, idempotent=False, within=200.0)
    seen(m, "works")
    m.until(100)
    assert stops(m) == []


def test_a_call_that_a_working_server_has_lost_is_stopped_and_the_server_kept() -> None:
    """Who came later had a token at once: this call does not wait for its turn."""
    m = Machine(spec("a"))
    call = m.submit("a", streaming=True)
    seen(m, "answers")
    m.until(60)
    assert stops(m) == ["cancel 1: Stalled: a made no progress for 60 s"]
    m.finish(call, Stalled("a made no progress"))
    one = m.scheduler.lanes["a"].endpoint
    assert (one.breaker.failures, one.breaker.state) == (1, "closed")


def test_an_answer_that_stops_in_its_middle_on_a_working_server_is_stopped_and_the_server_kept() -> None:
    """The text that came cannot be continued elsewhere."""
    m = Machine(spec("a"))
    call = m.submit("a", streaming=True, within=500.0)
    m.commit(call)
    seen(m, "works")
    m.until(60)
    assert stops(m) == ["cancel 1: Stalled: a made no progress for 60 s"]
    m.finish(call, Stalled("a made no progress"))
    assert m.lines[-1].strip().startswith("fail 1: Stalled")
    assert m.scheduler.lanes["a"].endpoint.breaker.state == "closed"


def test_what_was_seen_during_an_earlier_silence_says_nothing_of_this_one() -> None:
    """It worked then; a token came, and now it hangs."""
    m = Machine(spec("a"))
    call = m.submit("a", streaming=True, within=500.0)
    seen(m, "works")
    m.until(50)
    m.token(call)
    m.until(109)
    assert stops(m) == []
    m.until(110)
    assert m.state("a") == "stalled"


def test_a_look_that_begins_late_has_its_time() -> None:
    """The process was held up for some seconds: the verdict waits for what somebody sees."""
    m = Machine(spec("a"))
    m.submit("a", streaming=True)
    m.until(44)
    m.now = 49.0
    m.scheduler.on_tick(m.now)
    m.until(63)
    assert stops(m) == []
    m.until(64)
    assert stops(m) == ["cancel 1: Stalled: a made no progress for 64 s"]


def test_in_the_cloud_nobody_looks() -> None:
    """It costs money; the minute holds."""
    m = Machine(spec("a", zone="cloud"))
    m.submit("a", streaming=True)
    m.until(60)
    assert (looks(m), len(stops(m))) == ([], 1)


# -- answers that come in one piece ----------------------------------------------------------------------------------


def test_an_answer_in_one_piece_ends_where_its_server_is_seen_to_hang() -> None:
    """Not at its deadline: after its minute it goes on elsewhere, and the server is left."""
    m = Machine(spec("a"), spec("b"))
    call = m.submit("a", "b")
    seen(m, "hangs")
    m.until(60)
    assert (stops(m), m.state("a")) == (["cancel 1: Stalled: a made no progress for 60 s"], "stalled")
    m.finish(call, Stalled("a made no progress"))
    assert m.lines[-1] == "    start 1 on b (fallback)"


@pytest.mark.parametrize("word", ["works", "answers", "silent"])
def test_an_answer_in_one_piece_goes_on_while_nothing_shows_that_its_server_hangs(word: Word) -> None:
    """Nobody knows how long answers take there, and without a token for who looked it may be busy with this one."""
    m = Machine(spec("a"), spec("b"))
    m.submit("a", "b", within=250.0)
    seen(m, word, word)
    m.until(249)
    assert (stops(m), looks(m)) == ([], [45, 105, 165])


@pytest.mark.parametrize(("word", "state"), [("silent", "stalled"), ("answers", "unknown")])
def test_at_a_deadline_the_server_is_left_at_once_that_gave_nobody_a_token(word: Word, state: str) -> None:
    """So that not five calls have to wait for theirs."""
    m = Machine(spec("a"))
    call = m.submit("a", within=100.0)
    seen(m, word)
    m.until(100)
    m.finish(call, DeadlinePassed("the deadline passed before the model had answered"))
    assert m.state("a") == state


def test_who_may_wait_behind_an_answer_in_one_piece_has_its_time() -> None:
    """The server has one slot, which nobody knows, and writes for two minutes: who looks gets no token either."""
    m = Machine(spec("a", slots=2))
    m.submit("a", within=300.0)
    m.submit("a", streaming=True, within=300.0)
    seen(m, "silent", "silent")
    m.until(120)
    assert stops(m) == []
    m.finish(1)
    m.until(179)
    assert (stops(m), m.state("a")) == ([], "ready")
    m.until(180)
    assert stops(m) == ["cancel 2: Stalled: a made no progress for 60 s"]


def test_a_stalled_server_that_answers_a_call_after_all_is_well_at_once() -> None:
    """The other one was at work, though nobody saw it."""
    m = Machine(spec("a", slots=2))
    m.submit("a", streaming=True, within=500.0)
    m.until(50)
    m.submit("a", streaming=True, within=500.0)
    m.until(60)
    assert m.state("a") == "stalled"
    m.finish(2)
    one = m.scheduler.lanes["a"].endpoint
    assert (m.state("a"), one.takes_calls, one.capacity) == ("ready", True, 2)


# -- who looks, and asks in pieces: the loop ---------------------------------------------------------------------------


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that happens."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@dataclass
class TellingProvider(ScriptedProvider):
    """A server that tells how far it is: each time the next of these, and then the last one for ever."""

    told: list[bool | ModelError | None] = field(default_factory=lambda: [True])
    asked_at: list[float] = field(default_factory=list)

    async def at_work(self, target: Target, within: float) -> bool | None:
        self.asked_at.append(anyio.current_time())
        await anyio.sleep(min(1.0, within))
        word = self.told[min(len(self.asked_at), len(self.told)) - 1]
        if isinstance(word, ModelError):
            raise word
        return word


def streams(name: str, provider: ScriptedProvider, slots: int = 1) -> EndpointSpec:
    """An endpoint whose answers can all come in pieces."""
    return replace(endpoint(name, provider, slots), capabilities=STREAMS)


@asynccontextmanager
async def serving(*specs: EndpointSpec) -> AsyncIterator[Loop]:
    loop = Loop(None, jitter=lambda: 0.5)
    loop.set_endpoints({spec.id: spec for spec in specs})
    async with anyio.create_task_group() as group:
        await group.start(loop.run)
        yield loop
        assert all(view.in_flight == 0 for view in loop.snapshot())
        group.cancel_scope.cancel()


def ask(*names: str, within: float = 120.0, **fields: Any) -> Ask:
    return Ask(replace(CALL, **fields), names, anyio.current_time() + within)


def states(loop: Loop) -> Mapping[str, str]:
    return {view.id: view.state for view in loop.snapshot()}


@pytest.mark.anyio
async def test_a_whole_answer_that_hangs_goes_on_elsewhere_after_a_minute() -> None:
    """It is asked for in pieces, so that its silence shows; the next one goes elsewhere at once."""
    hung, good = ScriptedProvider([Say("", hang=True)]), ScriptedProvider()
    async with serving(streams("a", hung), streams("b", good)) as loop:
        assert (await loop.chat(ask("a", "b"))).message.content == "yes"
        assert anyio.current_time() == pytest.approx(60.0)
        assert states(loop)["a"] == "stalled"
        assert (await loop.chat(ask("a", "b"))).message.content == "yes"
        assert anyio.current_time() == pytest.approx(60.0)


@pytest.mark.anyio
async def test_a_whole_answer_that_breaks_off_is_asked_for_again_and_leaves_nothing_of_the_first() -> None:
    """Nobody has seen a piece of it."""
    first = ScriptedProvider([Say("ye", then=ServerFailed("HTTP 500"))] * 3)
    async with serving(streams("a", first), streams("b", ScriptedProvider([Say("no")]))) as loop:
        assert (await loop.chat(ask("a", "b"))).message.content == "no"
        with pytest.raises(ServerFailed) as told:
            await loop.chat(ask("a"))
    assert told.value.partial == ""


@dataclass
class WholeProvider(ScriptedProvider):
    """Notes which answers are wanted in one piece."""

    whole: int = 0

    async def chat(self, call: ChatCall) -> Any:
        self.whole += 1
        return await super().chat(call)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("able", "fields", "whole"),
    [
        (STREAMS, {}, 0),
        ({**STREAMS, Capability.STREAM_USAGE: Support.UNKNOWN}, {}, 1),
        ({}, {}, 1),
        (STREAMS, {"top_logprobs": 3}, 1),
        (STREAMS, {"choice": Choice("choose", {}, {"yes": "agree"}, "answer")}, 1),
    ],
    ids=["can all", "counts may be lost", "nothing known", "probabilities", "a choice"],
)
async def test_an_answer_is_asked_for_in_pieces_where_nothing_is_lost_by_it(
    able: Mapping[Capability, Support], fields: Mapping[str, Any], whole: int
) -> None:
    """Counts of tokens, probabilities, choices that are made without writing."""
    provider = WholeProvider()
    async with serving(replace(endpoint("a", provider), capabilities=able)) as loop:
        assert (await loop.chat(ask("a", **fields))).message.content == "yes"
    assert (provider.whole, len(provider.calls), provider.outcomes) == (whole, 1, ["finished"])


@pytest.mark.anyio
async def test_a_stream_behind_a_long_whole_answer_is_no_stall() -> None:
    """The server writes one answer at a time, which nobody knows: the first one's pieces show that it works."""
    provider = ScriptedProvider([Say("x" * 50, gap=4.0), Say("late", after=205.0)])
    answers: list[str] = []
    async with serving(streams("a", provider, slots=2)) as loop, anyio.create_task_group() as group:

        async def long() -> None:
            answers.append((await loop.chat(ask("a", within=500.0))).message.content)

        group.start_soon(long)
        await anyio.wait_all_tasks_blocked()
        answers.extend([delta.text async for delta in loop.stream(ask("a", within=500.0)) if delta.reply is None])
    assert answers == ["x" * 50, *"late"]


@pytest.mark.anyio
async def test_a_call_is_answered_by_a_server_that_was_busy_with_anothers_queue() -> None:
    """Its own turn comes after 100 s; meanwhile the server tells that it works."""
    busy = TellingProvider([Say("at last", after=100.0)])
    async with serving(streams("a", busy)) as loop:
        assert (await loop.chat(ask("a"))).message.content == "at last"
        assert states(loop) == {"a": "ready"}
    assert (busy.asked_at, len(busy.calls)) == ([45.0], 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("told", "token", "ended", "left"),
    [
        ([True], Say(), 100, False),
        ([False], Say(), 60, True),
        ([None], Say(), 60, False),
        ([Unreachable("nobody there")], Say(), 60, False),
        ([None], ServerBusy("full"), 100, False),
        ([None], RateLimited("too many"), 100, False),
        ([None], BadRequest("no such field"), 60, False),
        ([None], Unreachable("nobody there"), 60, True),
        ([None], Say("", hang=True), 60, True),
    ],
    ids=["works", "does not", "a token", "a fault, then a token", "full", "limited", "refuses", "gone", "hangs"],
)
async def test_a_server_is_asked_what_it_does_and_else_for_a_token(
    told: list[bool | ModelError | None], token: Say | ModelError, ended: float, left: bool
) -> None:
    """Whether it is left, and whether its silent call is ended before its deadline, follows from what is seen."""
    provider = TellingProvider([Say("", hang=True), token], told=told)
    async with serving(streams("a", provider)) as loop:
        with pytest.raises((Stalled, DeadlinePassed)):
            await loop.chat(ask("a", within=100.0))
        assert anyio.current_time() == pytest.approx(ended)
        assert (states(loop)["a"] == "stalled") is left
    assert len(provider.asked_at) >= 1
