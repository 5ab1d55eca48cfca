"""Conversations that share a memory: one request of a session at a time, its turns kept in memory and in the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread

from orchestrator.core.message import Message
from orchestrator.ports.store import SessionStore

MOST_SESSIONS: Final = 512
"""Sessions whose turns stay in memory; older ones are read again from the store."""
MOST_TURNS: Final = 2_000
"""Messages that a session keeps in memory."""


class Sessions:
    """The owner of all conversations of a process. Without a store they last as long as the process."""

    def __init__(self, store: SessionStore | None = None) -> None:
        self._store = store
        self._turns: OrderedDict[tuple[str, str], tuple[Message, ...]] = OrderedDict()
        self._locks: dict[tuple[str, str], anyio.Lock] = {}
        self._disk = anyio.Lock()

    @asynccontextmanager
    async def turn(self, deployment: str, session: str) -> AsyncIterator[tuple[Message, ...]]:
        """Hold the session for one request; gives its turns so far."""
        key = (deployment, session)
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                yield await self._load(key)
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._locks.pop(key, None)

    async def add(self, deployment: str, session: str, messages: tuple[Message, ...]) -> None:
        """Add turns; they are stored when this returns. Call it while holding the session's turn."""
        key = (deployment, session)
        if self._store is not None:
            async with self._disk:
                await anyio.to_thread.run_sync(self._store.append, deployment, session, messages)
        self._keep(key, (*self._turns.get(key, ()), *messages)[-MOST_TURNS:])

    async def _load(self, key: tuple[str, str]) -> tuple[Message, ...]:
        if key not in self._turns:
            stored: tuple[Message, ...] = ()
            if self._store is not None:
                async with self._disk:
                    stored = await anyio.to_thread.run_sync(self._store.load, *key)
            self._keep(key, stored[-MOST_TURNS:])
        self._turns.move_to_end(key)
        return self._turns[key]

    def _keep(self, key: tuple[str, str], turns: tuple[Message, ...]) -> None:
        self._turns[key] = turns
        while len(self._turns) > MOST_SESSIONS:
            self._turns.popitem(last=False)
