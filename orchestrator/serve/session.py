"""Conversations that share a memory: one request of a session at a time, its turns kept in memory and in the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from orchestrator.core.errors import DeadlinePassed, QueueFull, StateUnusable
from orchestrator.core.message import KEEP_TURNS, Message, newest
from orchestrator.ports.store import SessionStore
from orchestrator.serve.disk import Disk
from orchestrator.serve.latch import Latches

MOST_SESSIONS: Final = 512
"""Sessions whose turns stay in memory; older ones are read again from the store."""
MOST_WAITING: Final = 64
"""Requests that may wait for one session, where the caller knows no other number."""

Key = tuple[str, str]


class Sessions:
    """The owner of all conversations of a process. Without a store they last as long as the process. Of each there are as many
    messages in memory as in the store, so that a session is the same wherever it is read."""

    def __init__(self, store: SessionStore | None = None, most: int = MOST_SESSIONS) -> None:
        self.latches = Latches()
        self._store = store
        self._most = most
        self._keep = KEEP_TURNS if store is None else store.keep_turns
        self._turns: OrderedDict[Key, tuple[Message, ...]] = OrderedDict()
        self._restricted: set[Key] = set()  # of those in memory, and all of which the store does not know it
        self._unmarked: set[Key] = set()  # of these, those of which the store does not know it
        self._unsaved: dict[Key, tuple[Message, ...]] = {}  # of those in memory: turns that the store did not take
        self._locks: dict[Key, anyio.Lock] = {}  # of sessions that a request holds or waits for
        self._on_disk = Disk().do

    @asynccontextmanager
    async def turn(
        self, deployment: str, session: str, deadline: float, most: int = MOST_WAITING
    ) -> AsyncIterator[tuple[Message, ...]]:
        """Hold the session for one request; gives its turns so far. Requests of one session come in order.

        Raises ``QueueFull`` where ``most`` wait for the session already, ``DeadlinePassed`` where the ones before take too
        long.
        """
        key = (deployment, session)
        lock = self._locks.setdefault(key, anyio.Lock())
        waiting = lock.statistics().tasks_waiting
        if waiting >= most:
            raise QueueFull(
                f'{waiting} requests wait for the session "{session}" already',
                cure="Wait for the answers that are due.",
            )
        try:
            await self._acquire(lock, session, deadline)
            try:
                yield await self._load(key)
            finally:
                lock.release()
        finally:
            if not lock.locked():
                self._locks.pop(key, None)
                self._forget_old()

    def is_restricted(self, deployment: str, session: str) -> bool:
        """Whether a restricted request was ever part of it. Call it while holding the session's turn."""
        return (deployment, session) in self._restricted

    async def add(
        self, deployment: str, session: str, messages: tuple[Message, ...], *, restricted: bool = False
    ) -> None:
        """Add turns; they are stored when this returns. Call it while holding the session's turn. ``restricted`` marks the
        session for good: what was said in it goes with every later request.

        Raises ``StateUnusable`` where the store does not take them. They are in memory then, and are stored with the next
        turns; and the session stays restricted for as long as the process runs, also when they have left memory."""
        key = (deployment, session)
        if restricted and key not in self._restricted:
            self._restricted.add(key)
            self._unmarked.add(key)
        with anyio.CancelScope(shield=True):  # what is in memory must be what is in the store
            self._turns[key] = newest((*self._turns[key], *messages), self._keep)
            if self._store is not None:
                await self._save(self._store, key, messages)
            self._unmarked.discard(key)

    async def _save(self, store: SessionStore, key: Key, messages: tuple[Message, ...]) -> None:
        unsaved = newest((*self._unsaved.pop(key, ()), *messages), self._keep)
        append = partial(store.append, restricted=key in self._restricted)
        try:
            await self._on_disk(append, *key, unsaved)
        except StateUnusable:
            self._unsaved[key] = unsaved
            raise

    def unsaved(self, deployment: str, session: str) -> tuple[Message, ...]:
        """Turns that the store did not take: they go with the next."""
        return self._unsaved.get((deployment, session), ())

    def added(self, deployment: str, session: str, messages: tuple[Message, ...], *, restricted: bool = False) -> None:
        """Turns that somebody has stored already, after those that were unsaved, in a transaction of theirs. Call it while
        holding the session's turn."""
        key = (deployment, session)
        if restricted:
            self._restricted.add(key)
            self._unmarked.discard(key)
        self._unsaved.pop(key, None)
        self._turns[key] = newest((*self._turns[key], *messages), self._keep)

    async def _acquire(self, lock: anyio.Lock, session: str, deadline: float) -> None:
        try:
            with anyio.fail_at(deadline):
                await lock.acquire()
        except TimeoutError as error:
            raise DeadlinePassed(
                f'the requests before it in the session "{session}" took until its time was over'
            ) from error

    async def _load(self, key: Key) -> tuple[Message, ...]:
        if key not in self._turns:
            stored: tuple[Message, ...] = ()
            if self._store is not None:
                stored, restricted = await self._on_disk(_stored, self._store, key)
                if restricted:
                    self._restricted.add(key)
            self._turns[key] = newest(stored, self._keep)
        self._turns.move_to_end(key)
        return self._turns[key]

    def _forget_old(self) -> None:
        """Those that no request holds, the longest unused first."""
        surplus = len(self._turns) - self._most
        for key in [key for key in self._turns if key not in self._locks][: max(0, surplus)]:
            del self._turns[key]
            self._unsaved.pop(key, None)
            if key not in self._unmarked:
                self._restricted.discard(key)


def _stored(store: SessionStore, key: Key) -> tuple[tuple[Message, ...], bool]:
    """Its turns, and whether it is restricted."""
    return tuple(store.load(*key)), store.is_restricted(*key)
