"""Shared state in memory, as it lies at the hub: reached late or not at all, silent after a restart, and sometimes gone.

Entries of ``lease`` expire by themselves, as NATS lets them: what is left is an entry without a value and with a new revision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

import anyio

from orchestrator.core.errors import BusDown, Conflict
from orchestrator.ports.bus import Bucket, Entry

TTL: Final = 6.0
"""Seconds after which an entry of ``lease`` that is not written anew expires."""
TIMEOUT: Final = 2.0
"""Seconds that an answer of the store is waited for."""
SILENT: Final = 16.0
"""Seconds that nobody is told of changes after the hub was killed."""


class Process(Protocol):
    """What a board needs to know of the process that uses it."""

    alive: bool

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""

    async def sleep(self, seconds: float) -> None:
        """As it sleeps."""


@dataclass(eq=False, slots=True)
class _Watcher:
    """Somebody who is told of changes, where they reach him."""

    bucket: Bucket
    prefix: str
    reached: Callable[[], bool]
    entries: list[Entry] = field(default_factory=list)
    wake: anyio.Event = field(default_factory=anyio.Event)

    def put(self, entry: Entry) -> None:
        """An entry changed."""
        self.entries.append(entry)
        self.wake.set()

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self

    async def __anext__(self) -> Entry:
        while not self.entries:
            self.wake = anyio.Event()
            await self.wake.wait()
        return self.entries.pop(0)


@dataclass(eq=False, slots=True)
class SimStore:
    """What lies at the hub."""

    _entries: dict[tuple[Bucket, str], tuple[Entry, float]] = field(default_factory=dict)
    _watchers: list[_Watcher] = field(default_factory=list)
    _revision: int = 0
    _silent_until: float = 0.0

    def read(self, bucket: Bucket, key: str) -> Entry | None:
        """What is there now."""
        found = self._entries.get((bucket, key))
        if found is None:
            return None
        entry, written = found
        if bucket == "lease" and entry.value and anyio.current_time() - written >= TTL:
            return self._write(bucket, key, b"")
        return entry

    def swap(self, bucket: Bucket, key: str, value: bytes, expected: int) -> Entry:
        """Write, if nobody was faster."""
        found = self.read(bucket, key)
        newest = found.revision if found else 0
        if newest != expected:
            raise Conflict(f"{key} is at revision {newest}, not {expected}", cure="read it again")
        return self._write(bucket, key, value)

    def entries(self, bucket: Bucket, prefix: str) -> tuple[Entry, ...]:
        """All that begin so and hold something."""
        keys = sorted(key for kept, key in self._entries if kept == bucket and key.startswith(prefix))
        found = (self.read(bucket, key) for key in keys)
        return tuple(entry for entry in found if entry is not None and entry.value)

    def wipe(self) -> None:
        """The store is deleted: what was there is gone, and revisions begin anew."""
        self._entries.clear()
        self._revision = 0

    def silence(self, now: float) -> None:
        """The hub was killed: watches are told nothing for a while."""
        self._silent_until = now + SILENT

    def watch(self, watcher: _Watcher) -> None:
        """Somebody watches."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: _Watcher) -> None:
        """And does not any more."""
        self._watchers.remove(watcher)

    def _write(self, bucket: Bucket, key: str, value: bytes) -> Entry:
        now = anyio.current_time()
        self._revision += 1
        entry = Entry(key, value, self._revision)
        self._entries[bucket, key] = (entry, now)
        for watcher in self._watchers:
            fits = watcher.bucket == bucket and key.startswith(watcher.prefix)
            if fits and now >= self._silent_until and watcher.reached():
                watcher.put(entry)
        return entry


@dataclass(eq=False, slots=True)
class SimBoard:
    """One node's way to the store. ``there`` and ``back`` say whether words reach the hub, and whether its answers come back."""

    process: Process
    store: SimStore
    random: Random
    there: Callable[[], bool]
    back: Callable[[], bool]

    async def read(self, bucket: Bucket, key: str) -> Entry | None:
        """What is there."""
        await self._go()
        found = self.store.read(bucket, key)
        await self._return()
        return found

    async def swap(self, bucket: Bucket, key: str, value: bytes, expected: int = 0) -> Entry:
        """Write, if nobody was faster."""
        await self._go()
        try:
            return self.store.swap(bucket, key, value, expected)
        finally:
            await self._return()

    async def entries(self, bucket: Bucket, prefix: str = "") -> tuple[Entry, ...]:
        """All that begin so."""
        await self._go()
        found = self.store.entries(bucket, prefix)
        await self._return()
        return found

    @asynccontextmanager
    async def watch(self, bucket: Bucket, prefix: str = "") -> AsyncIterator[AsyncIterator[Entry]]:
        """What changes from now on."""
        watcher = _Watcher(bucket, prefix, self._told)
        self.store.watch(watcher)
        try:
            yield watcher
        finally:
            self.store.unwatch(watcher)

    def _told(self) -> bool:
        return self.process.alive and not self.process.frozen and self.back()

    async def _go(self) -> None:
        """To the store; ``BusDown`` where the way is shut."""
        await self._pause()
        if not self.there():
            await self._lost()

    async def _return(self) -> None:
        """Back with the answer; without it nobody knows whether it was done."""
        await self._pause()
        if not self.back():
            await self._lost()

    async def _pause(self) -> None:
        await self.process.sleep(self.random.uniform(0.0002, 0.002))
        if not self.process.alive:
            await anyio.sleep_forever()

    async def _lost(self) -> None:
        await self.process.sleep(TIMEOUT)
        raise BusDown("the board does not answer", cure="see that the hub runs and can be reached")
