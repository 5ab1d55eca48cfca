"""One attempt of a call, in the task of its caller: what the loop knows of it, and the ways in which it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio

from orchestrator.core.errors import BrokenReply, ModelError, RunError
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Provider
from orchestrator.serve.ask import Ask
from orchestrator.serve.effect import Start

CLOSING_SECONDS: Final = 1.0


class Caller:
    """A call and the task that waits for it."""

    __slots__ = ("ask", "asked_at", "error", "number", "over", "scope", "start", "stopped_by", "turn")

    def __init__(self, number: int, ask: Ask, now: float) -> None:
        self.number = number
        self.ask = ask
        self.asked_at = now  # since when it waits for its turn, or has it
        self.start: Start | None = None
        self.error: RunError | None = None
        self.turn: anyio.Event | None = None
        self.scope: anyio.CancelScope | None = None
        self.stopped_by: RunError | None = None
        self.over = False  # the scheduler has forgotten it


async def whole(caller: Caller, provider: Provider, call: ChatCall) -> ChatReply | RunError:
    """The whole answer, asked for in one piece; or why there is none."""
    if caller.stopped_by is None:
        with anyio.CancelScope() as caller.scope:
            try:
                return await provider.chat(call)
            except ModelError as fault:
                return fault
    return cut_short(caller)


def cut_short(caller: Caller) -> RunError:
    """Why an attempt ended without a word from the provider: it was stopped from here."""
    return caller.stopped_by or BrokenReply("the attempt was stopped")


async def run_out(source: AsyncIterator[Delta]) -> None:
    """Read a stream that has given its reply to its end, so that the provider can use the connection again."""
    with anyio.move_on_after(CLOSING_SECONDS):
        try:
            while True:
                await anext(source)
        except (StopAsyncIteration, ModelError):  # the answer is whole; what comes after it is of no interest
            return


async def close(source: AsyncIterator[Delta]) -> None:
    """Leave a stream, so that its server stops."""
    leave = getattr(source, "aclose", None)
    if leave is not None:
        await leave()
