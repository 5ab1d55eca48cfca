"""What the loop and its scheduler cost a call, in CPU time.

Method: a provider that answers at once, so that all that is measured is ours. One after another (a slot is free: the
straight path), streamed, and 2,000 at once on 8 slots (nearly all wait). User and system time of this process, medians of
7 rounds that alternate between the ways, after one to warm up. `provider alone` is the same call awaited without a loop.
*Where models share a memory*: the endpoint's model is in a pool with two others, and is loaded.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Final

import anyio
import anyio.lowlevel

from benchmarks.measure import Row, at_most, cpu_of_block, show
from orchestrator.core.message import Message, Usage
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits, Residence
from orchestrator.ports.lifecycle import Loaded, LoadOptions
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel, Target
from orchestrator.serve.loop import Ask, Loop
from orchestrator.serve.scheduler_limits import SchedulerLimits

ROUNDS: Final = 7
CALLS: Final = 2_000
PIECES: Final = 40
REPLY: Final = ChatReply(Message("assistant", "yes"), "stop", Usage(3, 1, 1))
TARGET: Final = Target("instant", "http://127.0.0.1:1/v1", "m")
CALL: Final = ChatCall(Target("", "", ""), (Message("user", "hello"),))


class Instant:
    """A provider that answers at once."""

    kind = "instant"

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:  # noqa: ARG002 - the port's
        """It is always there."""
        return Identity(self.kind, url)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:  # noqa: ARG002 - as the port has them
        """Not asked for here."""
        return ()

    async def chat(self, call: ChatCall) -> ChatReply:  # noqa: ARG002 - the port's
        """The same answer each time."""
        return REPLY

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:  # noqa: ARG002 - the port's
        """The same pieces each time."""
        for _ in range(PIECES):
            yield Delta("word ")
        yield Delta("", REPLY)

    async def aclose(self) -> None:
        """Nothing to close."""


class Unhurried(Instant):
    """Answers after one turn of the event loop, so that calls overlap."""

    async def chat(self, call: ChatCall) -> ChatReply:
        """The same answer each time."""
        await anyio.lowlevel.checkpoint()
        return await super().chat(call)


class Loading(Instant):
    """One whose models share a memory."""

    async def load(self, target: Target, options: LoadOptions, timeout: float) -> Loaded:  # noqa: ARG002 - the port's
        """Not needed: it is there."""
        return Loaded(0.0)

    async def unload(self, target: Target, timeout: float) -> None:
        """Not asked for: nothing else is needed."""


def _endpoints(provider: Instant) -> dict[str, EndpointSpec]:
    plain = EndpointSpec("a", TARGET, provider, slots=8)
    if not isinstance(provider, Loading):
        return {"a": plain}
    return {name: replace(plain, id=name, residence=Residence(name, "device", 1, provider)) for name in "abc"}


def _ask() -> Ask:
    return Ask(CALL, ("a",), anyio.current_time() + 120.0)


async def _alone(provider: Instant, _loop: Loop) -> None:
    for _ in range(CALLS):
        _ask()
        await provider.chat(replace(CALL, target=TARGET, timeout=120.0))


async def _chat(_provider: Instant, loop: Loop) -> None:
    for _ in range(CALLS):
        await loop.chat(_ask())


async def _pieces_alone(provider: Instant, _loop: Loop) -> None:
    for _ in range(CALLS // PIECES):
        async for _piece in provider.stream(CALL):
            pass


async def _pieces(_provider: Instant, loop: Loop) -> None:
    for _ in range(CALLS // PIECES):
        async for _piece in loop.stream(_ask()):
            pass


async def _crowd_alone(provider: Instant, _loop: Loop) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(CALLS):
            group.start_soon(provider.chat, CALL)


async def _crowd(_provider: Instant, loop: Loop) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(CALLS):
            group.start_soon(loop.chat, _ask())


Way = Callable[[Instant, Loop], Awaitable[None]]
WAYS: Final[dict[str, tuple[Way, type[Instant]]]] = {
    "alone": (_alone, Instant),
    "chat": (_chat, Instant),
    "shared": (_chat, Loading),
    "pieces alone": (_pieces_alone, Instant),
    "pieces": (_pieces, Instant),
    "crowd alone": (_crowd_alone, Unhurried),
    "crowd": (_crowd, Unhurried),
}


async def _once(way: Way, provider: Instant, into: list[float]) -> None:
    plain = SchedulerLimits()
    loop = Loop(plain.with_queue({"interactive": {"length": CALLS}}))
    loop.set_endpoints(_endpoints(provider), {"device": PoolLimits(2)} if isinstance(provider, Loading) else {})
    loop.set_loaded({"a": True}, anyio.current_time())
    async with anyio.create_task_group() as group:
        await group.start(loop.run)
        gc.collect()
        with cpu_of_block(into):
            await way(provider, loop)
        group.cancel_scope.cancel()


async def _measure() -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS + 1):
        for name, (way, provider) in WAYS.items():
            await _once(way, provider(), spent[name])
    return {name: statistics.median(values[1:]) / CALLS * 1e6 for name, values in spent.items()}


def rows() -> list[Row]:
    """All rows, in microseconds."""
    cost = anyio.run(_measure)
    return [
        Row("provider alone, call made for it", cost["alone"], "us"),
        at_most("the loop's own part of a call that need not wait", cost["chat"] - cost["alone"], "us", 25),
        Row("... where models share a memory", cost["shared"] - cost["alone"], "us"),
        at_most("the loop's own part of a piece of a stream", cost["pieces"] - cost["pieces alone"], "us", 15),
        Row("a task of its own for each call, without the loop", cost["crowd alone"], "us"),
        Row("the loop's own part of a call that waits in a queue of 2,000", cost["crowd"] - cost["crowd alone"], "us"),
    ]


def main() -> None:
    """Print them."""
    show(rows())


if __name__ == "__main__":
    main()
