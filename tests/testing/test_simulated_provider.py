"""The simulated endpoint in process: under a mock clock, hours take no time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
import trio
from trio.testing import MockClock

from orchestrator.core.errors import RateLimited, ServerBusy, Stalled, Unreachable
from orchestrator.core.message import Message
from orchestrator.ports.provider import ChatCall, Delta, Target
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.simulated_provider import URL, SimulatedProvider

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[("trio", {"clock": MockClock(autojump_threshold=0)})], ids=["virtual-time"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Time jumps to the next thing that waits."""
    return request.param[0], {"clock": MockClock(autojump_threshold=0)}


def call(text: str = "one two three", timeout: float = 1000.0) -> ChatCall:
    return ChatCall(Target("simulated", URL, "m"), (Message("user", text),), timeout=timeout)


def opened(**fields: Any) -> tuple[SimulatedEndpoint, SimulatedProvider]:
    endpoint = simulated(["m"], **fields)
    return endpoint, SimulatedProvider(endpoint)


def stream(provider: SimulatedProvider, asked: ChatCall) -> aclosing[AsyncIterator[Delta]]:  # type: ignore[type-var] # the port says iterator; it is a generator, which closes
    return aclosing(provider.stream(asked))  # type: ignore[type-var] # the port says iterator; it is a generator, which closes


async def test_tokens_come_at_their_pace() -> None:
    """The first token after its time, the others one by one."""
    _, provider = opened(pace=Pace(ttft=2.0, tps=10))
    started = trio.current_time()
    async with stream(provider, call()) as deltas:
        times = [round(trio.current_time() - started, 6) async for delta in deltas if delta.text]
    assert times == [2.0, 2.1, 2.2]


async def test_whole_hours_take_no_time() -> None:
    """A whole answer after an hour."""
    _, provider = opened(pace=Pace(ttft=3600.0))
    started = trio.current_time()
    await provider.chat(call(timeout=4000.0))
    assert trio.current_time() - started == pytest.approx(3600.0)


async def test_slots_make_others_wait_in_order() -> None:
    """With two slots, six calls of a second each take three seconds, first come first served."""
    _, provider = opened(slots=2, pace=Pace(ttft=1.0))
    done: list[tuple[float, str]] = []
    started = trio.current_time()

    async def ask(text: str, after: float) -> None:
        await anyio.sleep(after)
        reply = await provider.chat(call(text))
        done.append((round(trio.current_time() - started, 1), reply.message.content))

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(ask, str(number), number / 1000)
    assert [text for _, text in done] == ["0", "1", "2", "3", "4", "5"]
    assert [time for time, _ in done] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


async def test_a_full_queue_turns_away() -> None:
    """One slot and one place to wait: the third call is told that it is busy."""
    _, provider = opened(slots=1, queue=1, pace=Pace(ttft=1.0))
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await provider.chat(call())
            outcomes.append("answered")
        except ServerBusy:
            outcomes.append("busy")

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert sorted(outcomes) == ["answered", "answered", "busy"]


async def test_a_call_that_is_cancelled_gives_its_slot_back() -> None:
    """A running call and a waiting one are cancelled; the next runs at once, and the log knows."""
    endpoint, provider = opened(slots=1, pace=Pace(ttft=1.0, tps=1))
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(provider.chat, call())
        await anyio.sleep(2.5)
        tasks.cancel_scope.cancel()
    started = trio.current_time()
    await provider.chat(call("x"))
    assert trio.current_time() - started == pytest.approx(1.0)
    assert [(record.outcome, record.tokens) for record in endpoint.records] == [
        ("cancelled", 2),
        ("cancelled", 0),
        ("finished", 1),
    ]


async def test_time_runs_out_while_waiting_and_while_generating() -> None:
    """Stalled either way, with the text so far, at the second at which the time is over."""
    endpoint, provider = opened(slots=1, pace=Pace(tps=1))
    with pytest.raises(Stalled) as generating:
        await provider.chat(call(timeout=1.5))
    assert generating.value.partial == "one two"
    endpoint.arm("hang-before")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_expect_stalled, provider, call(timeout=10))
        await anyio.sleep(1)
        started = trio.current_time()
        await _expect_stalled(provider, call(timeout=2))
        assert trio.current_time() - started == pytest.approx(2)


async def _expect_stalled(provider: SimulatedProvider, asked: ChatCall) -> None:
    with pytest.raises(Stalled):
        await provider.chat(asked)


async def test_loading_is_over_when_its_time_is() -> None:
    """Busy for five virtual seconds, for calls and for the list of models."""
    endpoint, provider = opened(faults=["loading:5s@1"])
    identity = await provider.identify(URL)
    assert identity is not None
    for _ in range(2):
        with pytest.raises(ServerBusy):
            await provider.chat(call())
    with pytest.raises(ServerBusy):
        await provider.models(identity)
    await anyio.sleep(5)
    assert (await provider.chat(call())).message.content == "one two three"
    assert [record.outcome for record in endpoint.records] == ["loading", "loading", "finished"]


async def test_a_wait_is_told_as_it_was_armed() -> None:
    """The seconds of a rate limit are in its error."""
    _, provider = opened(faults=["rate-limit:7s@1"])
    with pytest.raises(RateLimited) as limited:
        await provider.chat(call())
    assert limited.value.retry_after == 7.0


async def test_several_endpoints_live_side_by_side() -> None:
    """Each has its own address, models and faults; elsewhere nobody listens."""
    provider = SimulatedProvider(simulated(["m"]), simulated(["n"], faults=["reset"]))
    first, second = provider.endpoints
    assert [
        (await provider.models(identity))[0].id
        for identity in [await provider.identify(url) for url in (first, second)]
        if identity
    ] == ["m", "n"]
    await provider.chat(call())
    for url in (second, "http://elsewhere.invalid"):
        with pytest.raises(Unreachable):
            await provider.chat(ChatCall(Target("simulated", url, "n"), (Message("user", "hi"),)))
