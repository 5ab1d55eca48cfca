"""A server that counts the tokens of a prompt before it gets it, where the manifest allows fewer than it would take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from orchestrator.ports.provider import ChatCall, ChatReply, Counter, Delta, Provider
from orchestrator.serve.steps.window import Window, is_to_be_counted, too_long, too_many


class Counted:
    """Stands before a ``provider`` that is a ``Counter``; raises ``ContextTooLong`` where its count, or without one the careful
    estimate, is more than the ``window`` has."""

    kind = "counted"

    def __init__(self, provider: Provider, window: Window) -> None:
        self._provider = provider
        self._window = window

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        await self._check(call)
        return await self._provider.chat(call)

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer in pieces."""
        await self._check(call)
        async with aclosing(self._provider.stream(call)) as pieces:  # type: ignore[type-var] # a generator, which closes
            async for delta in pieces:
                yield delta

    async def _check(self, call: ChatCall) -> None:
        if not is_to_be_counted(call, self._window):
            return
        counted = await cast(Counter, self._provider).count(call)
        if counted is None:
            why = too_long(call, replace(self._window, counts=False))
        else:
            why = too_many(call, self._window, counted)
        if why is not None:
            raise why
