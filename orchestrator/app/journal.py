"""The event log of each deployment: a line an event, written away from the path of requests, and followed as it grows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from orchestrator.app.rotating import RotatingFile
from orchestrator.core.event import Event
from orchestrator.core.redaction import Redact, without_secrets
from orchestrator.gateway.lines import event_in_short, line

_EVERY: Final = 0.25
"""Seconds between two writes."""
_ROOM: Final = 50_000
"""Lines that may wait for a disk; more are counted and told."""
_UNREAD: Final = 10_000
"""Lines that may wait for one follower; a slower one is cut off."""


class Journal:
    """A ``Sink``. ``redact`` takes known secrets out of a text; ``report`` hears once that a disk does not take lines."""

    def __init__(self, folder: Path, redact: Redact, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._redact = redact
        self._report = report
        self._waiting: dict[str, list[bytes]] = {}
        self._count = 0
        self._lost = 0
        self._some = anyio.Event()
        self._writing = anyio.Lock()
        self._followers: dict[str, list[MemoryObjectSendStream[bytes]]] = {}

    def take(self, event: Event) -> None:
        """Note one event of a deployment."""
        if not event.deployment:
            return
        entry = line(without_secrets(event_in_short(event), self._redact))
        for follower in list(self._followers.get(event.deployment, ())):
            self._pass_on(event.deployment, follower, entry)
        if self._count >= _ROOM:
            self._lost += 1
            return
        self._waiting.setdefault(event.deployment, []).append(entry)
        self._count += 1
        self._some.set()

    async def run(self) -> None:
        """Write until cancelled; then what still waits."""
        try:
            while True:
                await self._some.wait()
                await anyio.sleep(_EVERY)
                await self.flush()
        finally:
            with anyio.CancelScope(shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what waits now."""
        async with self._writing:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        self._some = anyio.Event()
        waiting, self._waiting, self._count = self._waiting, {}, 0
        with anyio.CancelScope(shield=True):  # what is taken out is nowhere else
            for deployment, lines in waiting.items():
                await self._write(deployment, lines)

    async def follow(self, deployment: str, count: int, forever: bool) -> AsyncIterator[bytes]:
        """The newest ``count`` lines, then with ``forever`` those that come."""
        async with self.opened(deployment, count) as (lines, coming):
            for entry in lines:
                yield entry
            if forever:
                async for entry in coming:
                    yield entry

    @asynccontextmanager
    async def opened(
        self, deployment: str, count: int
    ) -> AsyncIterator[tuple[list[bytes], MemoryObjectReceiveStream[bytes]]]:
        """The newest ``count`` lines, and those that come from then on; none is in both, none in neither. A reader that is too slow
        is cut off: for it the stream ends."""
        send, receive = anyio.create_memory_object_stream[bytes](_UNREAD)
        followers = self._followers.setdefault(deployment, [])
        try:
            yield await self._so_far(deployment, count, send), receive
        finally:
            receive.close()
            if send in followers:
                followers.remove(send)
            send.close()

    async def _so_far(self, deployment: str, count: int, send: MemoryObjectSendStream[bytes]) -> list[bytes]:
        """The newest lines, and ``send`` gets all that come after them: nothing is written or put aside meanwhile, so that
        an event is in the file, waits for it, or is sent, and never two of these."""
        async with self._writing:
            await self._write_waiting()
            self._followers[deployment].append(send)
            waiting = list(self._waiting.get(deployment, ()))
            lines = await anyio.to_thread.run_sync(self._file(deployment).last, count)
        return [*lines, *waiting][-count:] if count else []

    def _pass_on(self, deployment: str, follower: MemoryObjectSendStream[bytes], entry: bytes) -> None:
        try:
            follower.send_nowait(entry)
        except (anyio.WouldBlock, anyio.BrokenResourceError):
            self._followers[deployment].remove(follower)
            follower.close()

    async def _write(self, deployment: str, lines: list[bytes]) -> None:
        try:
            await anyio.to_thread.run_sync(self._file(deployment).append, lines)
        except OSError as error:
            if not self._lost:
                self._report(f"events of {deployment} cannot be written: {error.strerror}")
            self._lost += len(lines)
            return
        if self._lost:
            self._report(f"{self._lost} events could not be written")
            self._lost = 0

    def _file(self, deployment: str) -> RotatingFile:
        return RotatingFile(self._folder / f"{deployment}.ndjson")
