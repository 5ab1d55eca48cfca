"""The loop with scripted providers on virtual time: the same on trio (its MockClock) and, where no time passes, on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import fields, replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from trio.testing import MockClock

from orchestrator.core.errors import (
    BrokenReply,
    DeadlinePassed,
    ModelError,
    NoModel,
    QueueFull,
    Refused,
    RunCancelled,
    RunError,
    ServerBusy,
    ServerFailed,
    Stalled,
    Unreachable,
)
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.ports.provider import ChatCall, Delta, Identity, Secret, Sign, Target
from orchestrator.serve.loop import Ask, CallTrace, Loop
from orchestrator.serve.scheduler_limits import EARLY_BREAKS, SchedulerLimits
from tests.serve.scheduler.fakes import Say, ScriptedProvider, endpoint

pytestmark = pytest.mark.anyio

CALL = ChatCall(Target("", "", ""), (Message("user", "hello"),), request_id="run_1")
BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that happens."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


@asynccontextmanager
async def serving(
    endpoints: Mapping[str, ScriptedProvider],
    limits: SchedulerLimits | None = None,
    events: list[Event] | None = None,
    slots: int = 1,
) -> AsyncIterator[Loop]:
    loop = Loop(limits, jitter=lambda: 0.5, on_event=None if events is None else events.append)
    loop.set_endpoints({name: endpoint(name, provider, slots) for name, provider in endpoints.items()})
    async with anyio.create_task_group() as group:
        await group.start(loop.run)
        yield loop
        assert all(view.in_flight == view.waiting == 0 for view in loop.snapshot())
        assert not loop._callers
        group.cancel_scope.cancel()


def ask(*candidates: str, within: float = 120.0, **more: Any) -> Ask:
    return Ask(CALL, candidates, anyio.current_time() + within, **more)


async def _text(loop: Loop, one: Ask) -> str:
    return "".join([delta.text async for delta in loop.stream(one)])


async def _listen(loop: Loop, one: Ask, seen: list[str], pause: float = 0.0) -> None:
    """Note the pieces as they come, and take some time for each."""
    async for delta in loop.stream(one):
        seen.append(delta.text)
        await anyio.sleep(pause)


async def _fault(loop: Loop, one: Ask) -> RunError:
    with pytest.raises(RunError) as caught:
        await loop.chat(one)
    return caught.value


def _way(trace: CallTrace) -> list[tuple[str, str, str]]:
    return [(attempt.endpoint, attempt.kind, attempt.outcome) for attempt in trace.attempts]


@BOTH
async def test_an_answer_comes_with_the_trace_of_its_way() -> None:
    """The endpoint, one good attempt, and no waiting."""
    async with serving({"a": ScriptedProvider()}) as loop:
        one = ask("a")
        reply = await loop.chat(one)
    assert reply.message.content == "yes"
    assert (one.trace.endpoint, _way(one.trace)) == ("a", [("a", "first", "ok")])


@BOTH
async def test_a_stream_gives_its_pieces_and_the_whole_reply_last() -> None:
    """Character by character here."""
    async with serving({"a": ScriptedProvider()}) as loop:
        pieces = [delta async for delta in loop.stream(ask("a"))]
    assert [piece.text for piece in pieces] == ["y", "e", "s", ""]
    assert pieces[-1].reply is not None
    assert pieces[-1].reply.message.content == "yes"


@BOTH
async def test_a_crowd_shares_the_slots_and_everyone_is_answered() -> None:
    """Fifty calls on three slots: never more than three at once."""
    provider = ScriptedProvider()
    replies: list[str] = []
    async with serving({"a": provider}, slots=3) as loop, anyio.create_task_group() as group:

        async def one() -> None:
            replies.append((await loop.chat(ask("a"))).message.content)

        for _ in range(50):
            group.start_soon(one)
    assert replies == ["yes"] * 50
    assert provider.most_in_flight == 3


@BOTH
async def test_a_provider_gets_every_field_of_the_call_with_its_own_target() -> None:
    """Nothing that a call asks for is lost on the way; the time-out is what is left, and a little."""
    provider = ScriptedProvider()
    full = ChatCall(
        Target("", "", ""),
        (Message("user", "hello"),),
        tool_choice="auto",
        schema={"type": "object"},
        schema_name="route",
        temperature=0.5,
        max_tokens=7,
        seed=3,
        top_logprobs=2,
        stop=("x",),
        extra={"top_p": 0.9},
        request_id="run_2",
    )
    async with serving({"a": provider}) as loop:
        await loop.chat(Ask(full, ("a",), anyio.current_time() + 10.0))
    got = provider.calls[0]
    kept = [f.name for f in fields(ChatCall) if f.name not in ("target", "timeout")]
    assert {name: getattr(got, name) for name in kept} == {name: getattr(full, name) for name in kept}
    assert got.target.api_base == "http://a/v1"
    assert 9.0 < got.timeout <= 10.5


async def test_retries_come_after_a_quarter_and_a_half_second_then_the_next_endpoint() -> None:
    """The backoff is kept to the moment; every attempt is in the trace and told as an event."""
    bad, good = ScriptedProvider([ServerFailed("HTTP 500")]), ScriptedProvider()
    events: list[Event] = []
    async with serving({"a": bad, "b": good}, events=events) as loop:
        start = anyio.current_time()
        one = ask("a", "b")
        await loop.chat(one)
    assert [at - start for at in bad.began_at] == pytest.approx([0.0, 0.25, 0.75])
    assert _way(one.trace) == [
        ("a", "first", "ServerFailed"),
        ("a", "retry", "ServerFailed"),
        ("a", "retry", "ServerFailed"),
        ("b", "fallback", "ok"),
    ]
    assert one.trace.queue_ms == pytest.approx(750.0)
    told = [(event.kind, event.run) for event in events if event.kind != "endpoint.state"]
    assert told == [("run.retry", "run_1")] * 2 + [("run.fallback", "run_1")]


async def test_the_last_fault_is_raised_when_all_have_failed() -> None:
    """The very exception of the provider, with its message."""
    async with serving({"a": ScriptedProvider([Unreachable("refused")])}) as loop:
        fault = await _fault(loop, ask("a"))
    assert (type(fault), fault.message) == (Unreachable, "refused")


async def test_cancelling_the_caller_cancels_the_provider_and_frees_the_slot() -> None:
    """Whoever waits gets the slot at once."""
    provider = ScriptedProvider([Say(after=100.0), Say()])
    async with serving({"a": provider}) as loop:
        with anyio.move_on_after(5) as scope:
            await loop.chat(ask("a"))
        assert scope.cancelled_caught
        assert provider.outcomes == ["cancelled"]
        await loop.chat(ask("a"))
    assert anyio.current_time() >= 5


@BOTH
async def test_cancelling_reaches_whole_replies_and_streams_alike() -> None:
    """Both calls hang; their group is cancelled."""
    provider = ScriptedProvider([Say(after=1000.0)])
    async with serving({"a": provider}, slots=2) as loop:
        async with anyio.create_task_group() as group:
            group.start_soon(loop.chat, ask("a"))
            group.start_soon(_text, loop, ask("a"))
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert provider.outcomes == ["cancelled", "cancelled"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelling_the_task_by_asyncio_itself_is_passed_on() -> None:
    """Servers cancel tasks without a scope of anyio."""
    provider = ScriptedProvider([Say(after=1000.0), Say()])
    async with serving({"a": provider}) as loop:
        task = asyncio.create_task(loop.chat(ask("a")))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert provider.outcomes == ["cancelled"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_deadline_cancels_on_asyncio_as_well() -> None:
    """In real time, and a short one."""
    provider = ScriptedProvider([Say(after=1000.0)])
    async with serving({"a": provider}, slots=2) as loop:
        assert isinstance(await _fault(loop, ask("a", within=0.02)), DeadlinePassed)
        with pytest.raises(DeadlinePassed):
            await _text(loop, ask("a", within=0.02))
    assert provider.outcomes == ["cancelled", "cancelled"]


async def test_cancelling_a_call_that_waits_leaves_the_line() -> None:
    """It is never sent."""
    provider = ScriptedProvider([Say(after=10.0)])
    async with serving({"a": provider}) as loop, anyio.create_task_group() as group:
        group.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(1):
            await loop.chat(ask("a"))
    assert len(provider.calls) == 1


async def test_cancelling_a_call_in_backoff_leaves_nothing_behind() -> None:
    """Its retry never comes."""
    provider = ScriptedProvider([ServerFailed("HTTP 500")])
    async with serving({"a": provider}) as loop:
        with anyio.move_on_after(0.1):
            await loop.chat(ask("a"))
        await anyio.sleep(10)
    assert len(provider.calls) == 1


async def test_a_slot_given_to_a_caller_that_is_just_cancelled_goes_on_to_the_next() -> None:
    """The first call ends in the very moment in which the second is cancelled."""
    provider = ScriptedProvider([Say(after=10.0), Say()])
    async with serving({"a": provider}) as loop, anyio.create_task_group() as group:
        group.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()

        async def hasty() -> None:
            with anyio.move_on_at(deadline):
                await loop.chat(ask("a"))

        deadline = anyio.current_time() + 10.0
        group.start_soon(hasty)
        await anyio.wait_all_tasks_blocked()
        await loop.chat(ask("a"))


async def test_a_deadline_cancels_the_running_call() -> None:
    """To the moment; the provider sees a cancellation."""
    provider = ScriptedProvider([Say(after=100.0)])
    async with serving({"a": provider}) as loop:
        start = anyio.current_time()
        fault = await _fault(loop, ask("a", within=3.0))
        assert anyio.current_time() - start == pytest.approx(3.0)
    assert isinstance(fault, DeadlinePassed)
    assert provider.outcomes == ["cancelled"]


async def test_a_deadline_ends_the_wait_for_a_slot() -> None:
    """The call was never sent."""
    provider = ScriptedProvider([Say(after=100.0)])
    async with serving({"a": provider}) as loop, anyio.create_task_group() as group:
        group.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()
        start = anyio.current_time()
        fault = await _fault(loop, ask("a", within=2.0))
        assert anyio.current_time() - start == pytest.approx(2.0)
        assert len(provider.calls) == 1
    assert isinstance(fault, DeadlinePassed)


async def test_a_hung_stream_is_stopped_after_a_minute_and_another_endpoint_answers() -> None:
    """The forward-progress rule: no token for 60 s; the endpoint is left alone afterwards."""
    hung, good = ScriptedProvider([Say("", hang=True)]), ScriptedProvider()
    async with serving({"a": hung, "b": good}) as loop:
        start = anyio.current_time()
        one = ask("a", "b")
        assert await _text(loop, one) == "yes"
        assert anyio.current_time() - start == pytest.approx(60.0)
        assert _way(one.trace) == [("a", "first", "Stalled"), ("b", "fallback", "ok")]
        assert loop.snapshot()[0].state == "stalled"
    assert hung.began_at == [0.0, 45.0], "the call, and who looked whether it works for anybody"
    assert hung.outcomes == ["cancelled", "cancelled"]


async def test_a_stream_that_waits_behind_a_slow_one_is_no_stall() -> None:
    """The server writes one answer, a piece in 30 s, and begins the other only after two minutes."""
    provider = ScriptedProvider([Say("abcdef", gap=30.0), Say("late", after=130.0)])
    answers: list[str] = []
    async with serving({"a": provider}, slots=2) as loop, anyio.create_task_group() as group:

        async def one() -> None:
            answers.append(await _text(loop, ask("a", within=1000.0)))

        group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(one)
    assert answers == ["late", "abcdef"]


@pytest.mark.parametrize("sign", ["reading", "writing"])
async def test_a_stream_that_shows_no_text_for_long_but_works_is_no_stall(sign: Sign) -> None:
    """The server reads a long prompt, or its model thinks for four minutes: it says so, and nobody is shown that."""
    slow, other = ScriptedProvider([Say("yes", signs=(sign,) * 8)]), ScriptedProvider()
    seen: list[str] = []
    async with serving({"a": slow, "b": other}) as loop:
        start = anyio.current_time()
        await _listen(loop, ask("a", "b", within=1000.0), seen)
        assert anyio.current_time() - start == pytest.approx(240.0)
        assert loop.snapshot()[0].state == "ready"
    assert seen == ["y", "e", "s", ""]
    assert not other.calls


async def test_what_calls_of_a_length_need_is_learned_from_those_before() -> None:
    """A long prompt and a long answer keep their server after others have shown how slow it is; one that has shown nothing is
    left after a minute."""
    slow = ScriptedProvider([Say("x" * 400, after=20.0), Say("x" * 4000, after=190.0)])
    hung, good = ScriptedProvider([Say("", hang=True)]), ScriptedProvider()
    short, long = (replace(CALL, messages=(Message("user", "word " * words),)) for words in (800, 8000))
    async with serving({"a": slow, "b": hung, "c": good}) as loop:
        assert len(await _text(loop, replace(ask("a", within=1000.0), call=short))) == 400
        assert len(await _text(loop, replace(ask("a", "c", within=1000.0), call=long))) == 4000
        one = replace(ask("b", "c", within=1000.0), call=long)
        began = anyio.current_time()
        assert await _text(loop, one) == "yes"
        assert anyio.current_time() - began == pytest.approx(60.0)
        assert loop._scheduler.lanes["a"].endpoint.speed.writing(1000) == pytest.approx(1000 * 20 / 400), (
            "the slower one"
        )
    assert len(slow.calls) == 2


async def test_a_stream_that_thinks_and_then_hangs_is_stopped_a_minute_after_its_last_sign() -> None:
    """It was alive; now it is not."""
    hung, good = ScriptedProvider([Say("", hang=True, signs=("writing",) * 3)]), ScriptedProvider()
    async with serving({"a": hung, "b": good}) as loop:
        start = anyio.current_time()
        assert await _text(loop, ask("a", "b", within=1000.0)) == "yes"
        assert anyio.current_time() - start == pytest.approx(150.0)


async def test_a_stream_that_hangs_after_its_first_text_fails_with_what_it_said() -> None:
    """It is committed: no other endpoint is asked."""
    hung, good = ScriptedProvider([Say("Hel", hang=True)]), ScriptedProvider()
    async with serving({"a": hung, "b": good}) as loop:
        with pytest.raises(Stalled) as caught:
            await _text(loop, ask("a", "b"))
    assert caught.value.partial == "Hel"
    assert not good.calls


async def test_a_stream_that_breaks_before_its_first_text_falls_back() -> None:
    """The caller sees one whole answer."""
    broken, good = ScriptedProvider([Say("", then=Unreachable("reset"))]), ScriptedProvider()
    async with serving({"a": broken, "b": good}) as loop:
        assert await _text(loop, ask("a", "b")) == "yes"


async def test_a_stream_that_breaks_after_its_first_text_raises_with_the_partial_text() -> None:
    """The caller has the same pieces already."""
    broken, good = ScriptedProvider([Say("Hel", then=BrokenReply("cut off"))]), ScriptedProvider()
    seen: list[str] = []
    async with serving({"a": broken, "b": good}) as loop:
        with pytest.raises(BrokenReply) as caught:
            await _listen(loop, ask("a", "b"), seen)
    assert caught.value.partial == "".join(seen) == "Hel"
    assert not good.calls


async def test_with_pieces_held_back_an_early_break_falls_back() -> None:
    """Three characters are within what is held back."""
    broken, good = ScriptedProvider([Say("Hel", then=Unreachable("reset"))]), ScriptedProvider()
    async with serving({"a": broken, "b": good}, SchedulerLimits(hold_back=EARLY_BREAKS)) as loop:
        assert await _text(loop, ask("a", "b")) == "yes"


async def test_the_first_text_is_not_delayed() -> None:
    """It is passed on the moment it comes, although the next piece takes a second."""
    async with serving({"a": ScriptedProvider([Say("ab", after=2.0, gap=1.0)])}) as loop:
        start = anyio.current_time()
        at = [anyio.current_time() - start async for delta in loop.stream(ask("a")) if delta.text]
    assert at == pytest.approx([2.0, 3.0])


async def test_leaving_a_stream_early_stops_the_provider_at_once() -> None:
    """Closing the iterator closes the provider's, and frees the slot."""
    provider = ScriptedProvider([Say("abc", gap=1.0), Say()])
    async with serving({"a": provider}) as loop:
        async with aclosing(loop.stream(ask("a"))) as pieces:
            async for _ in pieces:
                break
        assert provider.outcomes == ["cancelled"]
        assert await _text(loop, ask("a")) == "yes"


async def test_a_whole_stream_lets_the_provider_run_to_its_end() -> None:
    """So that it can use the connection again."""
    provider = ScriptedProvider()
    async with serving({"a": provider}) as loop:
        await _text(loop, ask("a"))
    assert provider.outcomes == ["finished"]


async def test_a_slow_consumer_is_no_stall_of_the_server() -> None:
    """The consumer takes two minutes for a piece."""
    async with serving({"a": ScriptedProvider([Say("ab")])}) as loop:
        seen: list[str] = []
        await _listen(loop, ask("a", within=1000.0), seen, pause=120.0)
    assert "".join(seen) == "ab"


async def test_a_deadline_that_passes_while_the_consumer_is_busy_ends_the_stream() -> None:
    """At the next piece, and the provider is stopped."""
    provider = ScriptedProvider([Say("abc", gap=1.0)])
    async with serving({"a": provider}) as loop:
        with pytest.raises(DeadlinePassed):
            await _listen(loop, ask("a", within=5.0), [], pause=6.0)
        assert provider.outcomes == ["cancelled"]


async def test_a_stream_without_a_reply_at_its_end_is_broken() -> None:
    """A provider that forgets its promise is not believed."""

    class Forgetful(ScriptedProvider):
        async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
            yield Delta("a")

    async with serving({"a": Forgetful()}) as loop:
        with pytest.raises(BrokenReply, match="without a reply"):
            await _text(loop, ask("a"))


async def test_a_loading_server_is_asked_again_until_it_has_loaded() -> None:
    """Two calls wait for the model of one server; neither fails."""
    loading = ServerBusy("Loading model", retry_after=20.0)
    provider = ScriptedProvider([loading, loading, Say()])
    async with serving({"a": provider}, slots=2) as loop, anyio.create_task_group() as group:
        start = anyio.current_time()
        group.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()
        await loop.chat(ask("a"))
        assert anyio.current_time() - start == pytest.approx(40.0)
    assert len(provider.calls) == 4


async def test_a_full_queue_refuses_at_once() -> None:
    """Nobody waits for a refusal."""
    limits = SchedulerLimits().with_queue({"interactive": {"length": 1}})
    async with serving({"a": ScriptedProvider([Say(after=1.0)])}, limits) as loop, anyio.create_task_group() as group:
        group.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()
        assert isinstance(await _fault(loop, ask("a")), QueueFull)


async def test_no_candidate_is_told_as_no_model() -> None:
    """An agent without an endpoint."""
    async with serving({}) as loop:
        assert isinstance(await _fault(loop, ask()), NoModel)
        assert isinstance(await _fault(loop, ask("gone")), NoModel)


@BOTH
async def test_a_fault_of_the_plug_in_itself_is_raised_and_frees_the_slot() -> None:
    """A bug is not hidden as a model error, and does not cost a slot."""
    provider = ScriptedProvider([ZeroDivisionError("bug"), Say()])
    async with serving({"a": provider}) as loop:
        with pytest.raises(ZeroDivisionError):
            await loop.chat(ask("a"))
        assert (await loop.chat(ask("a"))).message.content == "yes"


async def test_a_removed_endpoint_finishes_what_it_has_begun() -> None:
    """A change of revision drops no call."""
    old, new = ScriptedProvider([Say("old", after=5.0)]), ScriptedProvider([Say("new")])
    answers: list[str] = []
    async with serving({"a": old}) as loop, anyio.create_task_group() as group:

        async def one() -> None:
            answers.append((await loop.chat(ask("a", "b"))).message.content)

        group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        loop.set_endpoints({"b": endpoint("b", new)})
        assert [(view.id, view.state) for view in loop.snapshot()] == [("a", "draining"), ("b", "unknown")]
    assert answers == ["new", "old"]


async def test_idle_endpoints_are_probed_and_their_state_is_told() -> None:
    """A server that does not answer is shown as gone, and as live once it is back."""
    provider = ScriptedProvider(answers_probes=False)
    events: list[Event] = []
    async with serving({"a": provider}, events=events):
        await anyio.sleep(25)
        provider.answers_probes = True
        await anyio.sleep(100)
    told = [(event.fields["endpoint"], event.fields["state"]) for event in events]
    assert told == [("a", "gone"), ("a", "live")]


async def test_a_probe_that_hangs_counts_as_unanswered() -> None:
    """Two seconds are enough for a sign of life."""

    class Hung(ScriptedProvider):
        async def identify(self, url: str, api_key: Secret | None = None) -> None:
            self.probes += 1
            await anyio.sleep_forever()

    provider = Hung()
    async with serving({"a": provider}) as loop:
        await anyio.sleep(30)
        assert loop.snapshot()[0].state == "gone"
    assert provider.probes == 3


@pytest.mark.parametrize(
    ("took", "answers", "asked", "state"),
    [(0.8, [False, True], 2, "live"), (0.8, [False] * 9, 9, "gone"), (0.1, [False] * 9, 3, "gone")],
    ids=["slow, then there", "slow", "nobody there"],
)
async def test_a_server_that_is_slow_to_answer_a_probe_has_two_seconds(
    took: float, answers: list[bool], asked: int, state: str
) -> None:
    """Its device may be at work for somebody else: three probes ask as often as fits. One that refuses is asked once each."""

    class Slow(ScriptedProvider):
        async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
            self.probes += 1
            await anyio.sleep(took)
            return Identity(self.kind, url) if answers[self.probes - 1] else None

    provider, events = Slow(), list[Event]()
    async with serving({"a": provider}, events=events):
        await anyio.sleep(8 if state == "live" else 29)
    assert provider.probes == asked
    assert [event.fields["state"] for event in events if event.kind == "endpoint.state"] == [state]


async def test_a_fault_of_a_plug_in_in_a_probe_does_not_end_the_loop() -> None:
    """It is told, counts as no answer, and requests to others go on."""

    class Broken(ScriptedProvider):
        async def identify(self, url: str, api_key: Secret | None = None) -> None:
            raise KeyError("version")

    events: list[Event] = []
    async with serving({"a": Broken(), "b": ScriptedProvider()}, events=events) as loop:
        await anyio.sleep(30)
        reply = await loop.chat(ask("b"))
    assert reply.message.content == "yes"
    assert ("a", "probe failed", "KeyError: 'version'") in [
        (event.fields["endpoint"], event.fields["state"], event.fields.get("reason")) for event in events
    ]


async def test_calls_that_wait_when_the_loop_ends_are_told() -> None:
    """Nobody is left waiting for ever."""
    provider = ScriptedProvider([Say(after=50.0)])
    loop = Loop()
    loop.set_endpoints({"a": endpoint("a", provider)})
    async with anyio.create_task_group() as outer, anyio.create_task_group() as group:
        await group.start(loop.run)
        outer.start_soon(loop.chat, ask("a"))
        await anyio.wait_all_tasks_blocked()
        faults: list[RunError] = []

        async def second() -> None:
            faults.append(await _fault(loop, ask("a")))

        outer.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert [type(fault) for fault in faults] == [RunCancelled]
    assert provider.outcomes == ["finished"]


async def test_load_is_shared_between_equals() -> None:
    """Two endpoints of equal rank answer four calls in the time of two."""
    one, other = ScriptedProvider([Say(after=1.0)]), ScriptedProvider([Say(after=1.0)])
    async with serving({"a": one, "b": other}) as loop:
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(loop.chat, ask("a", "b", equals=2))
        assert anyio.current_time() - start == pytest.approx(2.0)
    assert (len(one.calls), len(other.calls)) == (2, 2)


async def test_one_fault_object_is_not_raised_to_two_callers() -> None:
    """A misconfigured endpoint tells each caller by an exception of its own."""
    async with serving({"a": ScriptedProvider([Refused("HTTP 401")])}) as loop:
        first, second = await _fault(loop, ask("a")), await _fault(loop, ask("a"))
    assert isinstance(second, ModelError)
    assert first is not second
    assert (type(first), first.message) == (type(second), second.message)


class _FaultWhenStopped(ScriptedProvider):
    """Its connection breaks in the very moment in which the call is stopped."""

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        self.calls.append(call)
        yield Delta("")
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            raise ServerFailed("the connection broke") from None


async def test_a_stop_that_comes_with_a_fault_is_of_that_attempt_alone() -> None:
    """The next endpoint is asked, and is not charged with a stall that it never had."""
    broken, good = _FaultWhenStopped(), ScriptedProvider()
    async with serving({"a": broken, "b": good}) as loop:
        one = ask("a", "b")
        assert await _text(loop, one) == "yes"
        assert _way(one.trace) == [("a", "first", "ServerFailed"), ("b", "fallback", "ok")]
        assert [view.failures for view in loop.snapshot()] == [0, 0]
    assert len(good.calls) == 1
