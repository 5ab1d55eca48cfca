"""Model affinity through the loop, with the simulated endpoint that has a memory of its own, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from benchmarks import affinity
from orchestrator.core.errors import ModelError, NoModel, RunCancelled, ServerFailed
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits, Residence
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.serve.loop import Ask, Loop
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.simulated_loader import GB, SimulatedLoader

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that happens."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


def provider_of(sizes: Mapping[str, int], limit: int) -> SimulatedLoader:
    """Models of so many GB in a memory of so many; a load takes 10 s, a call 1 s."""
    endpoint = simulated(sizes, pace=Pace(ttft=1.0), slots=8)
    return SimulatedLoader(endpoint, limit * GB, {name: size * GB for name, size in sizes.items()}, 10.0)


@asynccontextmanager
async def serving(provider: SimulatedLoader, events: list[Event], limits: PoolLimits) -> AsyncIterator[Loop]:
    loop = Loop(jitter=lambda: 0.5, on_event=events.append)
    specs = {
        name: EndpointSpec(
            name, provider.target(name), provider, 2, residence=Residence(name, "device", size, provider, rest=300.0)
        )
        for name, size in provider.sizes.items()
    }
    loop.set_endpoints(specs, {"device": limits})
    async with anyio.create_task_group() as group:
        await group.start(loop.run)
        yield loop
        group.cancel_scope.cancel()


def ask(*candidates: str, within: float = 120.0) -> Ask:
    call = ChatCall(Target("", "", ""), (Message("user", "hello"),), request_id="run_1")
    return Ask(call, candidates, anyio.current_time() + within)


def told(events: list[Event]) -> list[str]:
    """What happened to models."""
    return [
        f"{event.kind} {event.fields['model']}: {event.fields.get('reason') or event.fields.get('message') or ''}".rstrip(
            ": "
        )
        for event in events
        if event.kind.startswith("model.")
    ]


async def test_two_models_share_a_memory_for_one() -> None:
    """Each call is served by a model that is loaded; the loads, their reasons and the waits are told."""
    provider, events = provider_of({"a": 6, "b": 6}, 10), list[Event]()
    asks = [ask("a"), ask("b"), ask("a")]
    async with serving(provider, events, PoolLimits(10 * GB)) as loop, anyio.create_task_group() as group:
        for one in asks:
            group.start_soon(loop.chat, one)
            await anyio.sleep(0.01)
    assert [attempt.outcome for one in asks for attempt in one.trace.attempts] == ["ok"] * 3
    assert [round(one.trace.load_ms / 1e3) for one in asks] == [10, 21, 10]
    assert told(events) == [
        "model.loading a: 1 call waits for it",
        "model.loaded a",
        "model.unloaded a: makes room for b, whose oldest call has waited 10.0 s",
        "model.loading b: 1 call waits for it",
        "model.loaded b",
    ]


async def test_a_load_that_fails_is_told_and_tried_again() -> None:
    """The first load fails after its ten seconds; the second gives the answer."""
    provider, events = provider_of({"a": 6}, 10), list[Event]()
    provider.faults = [ServerFailed("out of memory")]
    async with serving(provider, events, PoolLimits(10 * GB)) as loop:
        reply = await loop.chat(ask("a"))
    assert reply.message.content == "hello"
    assert "model.load_failed a: out of memory" in told(events)


async def test_a_loader_that_breaks_fails_the_call_and_not_the_loop() -> None:
    """A fault of a plug-in is a server that failed; the next call is served."""
    provider, events = provider_of({"a": 6, "b": 1}, 10), list[Event]()

    async def broken(*_: Any) -> None:
        raise RuntimeError("no such attribute")

    async with serving(provider, events, PoolLimits(10 * GB)) as loop:
        working, provider.load = provider.load, broken  # type: ignore[method-assign, assignment] # put in its place for this test only
        with pytest.raises(ServerFailed, match="the load failed: RuntimeError: no such attribute"):
            await loop.chat(ask("a"))
        provider.load = working  # type: ignore[method-assign] # put in its place for this test only
        await loop.chat(ask("b"))


async def test_a_load_that_never_ends_is_given_up() -> None:
    """After the time that loads may take, and as often as a call is tried."""
    provider, events = provider_of({"a": 6}, 10), list[Event]()
    provider.delay = 10_000.0
    async with serving(provider, events, PoolLimits(10 * GB)) as loop:
        with pytest.raises(ModelError, match="the model was not loaded after 600 s"):
            await loop.chat(ask("a", within=9_000.0))
    assert len([line for line in told(events) if "load_failed" in line]) == 3


async def test_a_caller_that_goes_away_leaves_the_load_to_its_end() -> None:
    """The model comes all the same, and the next caller has it at once."""
    provider, events = provider_of({"a": 6}, 10), list[Event]()
    async with serving(provider, events, PoolLimits(10 * GB)) as loop:
        with anyio.move_on_after(3):
            await loop.chat(ask("a"))
        await anyio.sleep(10)
        one = ask("a")
        await loop.chat(one)
    assert (one.trace.load_ms, provider.loads) == (0.0, 1)


async def test_an_idle_model_gives_its_memory_back() -> None:
    """Five minutes after its last call."""
    provider, events = provider_of({"a": 6}, 10), list[Event]()
    async with serving(provider, events, PoolLimits(10 * GB)) as loop:
        await loop.chat(ask("a"))
        await anyio.sleep(299)
        assert provider.taken == 6 * GB
        await anyio.sleep(2)
        assert provider.taken == 0
    assert told(events)[-1] == "model.unloaded a: nothing was asked of it for 300 s"


async def test_when_the_loop_ends_a_load_ends_with_it() -> None:
    """Who waits for it is told."""
    provider, events, faults = provider_of({"a": 6}, 10), list[Event](), list[Exception]()

    async def waits(loop: Loop) -> None:
        try:
            await loop.chat(ask("a"))
        except (RunCancelled, NoModel) as fault:
            faults.append(fault)

    async with anyio.create_task_group() as group, serving(provider, events, PoolLimits(10 * GB)) as loop:
        group.start_soon(waits, loop)
        await anyio.sleep(1)
    assert [type(fault) for fault in faults] == [RunCancelled]
    assert provider.taken == 0


class TestBenchmark:
    """The figures that ``python -m benchmarks affinity`` shows."""

    pytestmark: list[pytest.MarkDecorator] = []  # noqa: RUF012 - pytest's own name; these make an event loop themselves

    def test_twelve_mixed_calls_need_at_most_half_of_the_loads(self) -> None:
        """Three models, memory for one: three loads where first come, first served makes twelve."""
        plain, ours = (affinity.play(way, affinity.MIXED) for way in (affinity.WAYS[0], "ours"))
        assert (len(plain.loads), len(ours.loads)) == (12, 3)
        assert ours.makespan < plain.makespan / 3

    def test_servers_that_take_turns_are_started_at_most_half_as_often(self) -> None:
        """The same twelve calls where each model has a server of its own that is started and ended."""
        plain, ours = (
            affinity.play(affinity.WAYS[0], affinity.MIXED),
            affinity.play("ours", affinity.MIXED, started=True),
        )
        assert (len(plain.loads), len(ours.loads)) == (12, 3)

    @pytest.mark.parametrize("started", [False, True], ids=["models", "servers"])
    @pytest.mark.parametrize("wishes", [affinity.MIXED, affinity.STREAM], ids=["mixed", "stream"])
    def test_each_switch_is_decided_in_time(self, wishes: tuple[affinity.Wish, ...], started: bool) -> None:
        """The oldest call waits its bound, the work that runs then, and one swap, at most."""
        assert affinity.late_switches(affinity.play("ours", wishes, started=started)) == []

    def test_who_always_serves_the_loaded_model_decides_too_late(self) -> None:
        """So that the check above can fail."""
        assert affinity.late_switches(affinity.play("loaded first", affinity.STREAM)) != []
