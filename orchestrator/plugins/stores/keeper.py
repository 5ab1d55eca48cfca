"""Writes finished runs in batches, away from the path of requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.core.errors import StateUnusable
from orchestrator.core.event import Event
from orchestrator.core.request import Result
from orchestrator.ports.store import RunStore

_PATIENCE: Final = 5.0
"""Seconds between tries while the store cannot be written."""


class RunKeeper:
    """A ``Sink`` that stores each ``run.finished`` event: its ``result``, and its ``text`` where it has one.

    It writes every ``every`` seconds or ``batch`` runs, in a worker thread; while nothing happens it sleeps. Where the
    store fails, it keeps up to ``room`` runs and tries again, and ``report`` gets the first failure of a row of them. A run
    that cannot be written at all is reported and dropped. ``lost`` counts those, and the oldest that had to make room: the
    first of them is reported, and how many it were once the store can be written again.
    """

    def __init__(
        self,
        store: RunStore,
        *,
        every: float = 0.2,
        batch: int = 200,
        room: int = 10_000,
        report: Callable[[StateUnusable], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._every = every
        self._batch = batch
        self._room = room
        self._report = report
        self._waiting: deque[tuple[Result, str]] = deque()
        self._some = anyio.Event()
        self._enough = anyio.Event()
        self._end = anyio.Event()
        self._writing = anyio.Lock()
        self.trouble: StateUnusable | None = None
        self.lost = 0
        self._made_room = 0

    def take(self, event: Event) -> None:
        """Note a finished run; everything else passes by. One that waits for a person was stored with its approval, and must
        not be written over its own end later; in a fleet it may wait on another node, and then nothing has stored it here."""
        if event.kind != "run.finished" or _is_stored(event.fields["result"]):
            return
        if len(self._waiting) >= self._room:
            self._waiting.popleft()
            self._lose()
        self._waiting.append((event.fields["result"], str(event.fields.get("text", ""))))
        self._some.set()
        if len(self._waiting) >= self._batch:
            self._enough.set()

    async def run(self) -> None:
        """Write until :meth:`aclose`; whoever opens the keeper starts this in a task group."""
        while not self._end.is_set():
            await self._some.wait()
            with anyio.move_on_after(_PATIENCE if self.trouble else self._every):
                await (self._end if self.trouble else self._enough).wait()
            self._some, self._enough = anyio.Event(), anyio.Event()
            await self.flush()
            if self._waiting:
                self._some.set()

    async def flush(self) -> None:
        """Write what waits now; after a failure it still waits."""
        async with self._writing:
            while self._waiting and await self._write(list(self._waiting)[: self._batch]):
                pass

    async def aclose(self) -> None:
        """Write what waits, and end :meth:`run`."""
        for event in (self._end, self._some, self._enough):
            event.set()
        with anyio.CancelScope(shield=True):
            await self.flush()

    async def _write(self, batch: list[tuple[Result, str]]) -> bool:
        results, texts = zip(*batch, strict=True)
        try:
            await anyio.to_thread.run_sync(self._store.keep, results, texts)
        except StateUnusable as error:
            if self.trouble is None:
                self._report(error)
            self.trouble = error
            return False
        except Exception as error:  # noqa: BLE001 - one run that no store can write must not keep back all others
            if len(batch) > 1:
                return await self._write_singly(batch)
            self._drop(results[0], error)
        self.trouble = None
        if self._made_room:
            self._report(StateUnusable(f"the store is written again; {self._made_room} of the oldest runs are lost"))
            self._made_room = 0
        written = {result.id for result in results}
        # By id and not by count: while the thread wrote, a full queue may have dropped its oldest.
        while self._waiting and self._waiting[0][0].id in written:
            self._waiting.popleft()
        return True

    def _lose(self) -> None:
        """The oldest makes room for a new one."""
        self.lost += 1
        self._made_room += 1
        if self._made_room == 1:
            told = f"{self._room} runs wait for a store that cannot be written: the oldest are lost from now on"
            self._report(StateUnusable(told))

    async def _write_singly(self, batch: list[tuple[Result, str]]) -> bool:
        for one in batch:
            if not await self._write([one]):
                return False
        return True

    def _drop(self, result: Result, error: Exception) -> None:
        self.lost += 1
        self._report(
            StateUnusable(f"the run {result.id} cannot be stored and is dropped: {type(error).__name__}: {error}")
        )


def _is_stored(result: Result) -> bool:
    return result.status == "waiting" and not result.node
