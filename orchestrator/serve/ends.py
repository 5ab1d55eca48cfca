"""The end of a run that waited: kept in one transaction with what it waited for, said in its session, and told."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from math import inf
from typing import Any, Protocol

import anyio

from orchestrator.core.choices import DataClass
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.serve.session import Sessions
from orchestrator.serve.turns import answer_of


class Waiting(Protocol):
    """What a run waits for, as far as its end needs it: an approval, or a delivery."""

    @property
    def id(self) -> str: ...
    @property
    def deployment(self) -> str: ...
    @property
    def session(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def data_class(self) -> DataClass: ...
    @property
    def held(self) -> Mapping[str, Any]: ...


Store = Callable[[str, Result, str, Sequence[Message]], Awaitable[bool]]
"""Keeps an end: what it waited for, the result, what was typed, what is said in the session; whether that was not done before."""


class Ends:
    """Keeps and tells the ends of runs that waited. One for all who let runs go on, so that one signal tells of every change."""

    def __init__(self, sessions: Sessions, emit: Callable[[Event], None], now: Callable[[], float]) -> None:
        self._sessions = sessions
        self._emit = emit
        self._now = now
        self.changed = anyio.Event()
        """Set, and replaced, whenever a run that waited has its end, or waits for something else."""

    def tell_change(self) -> None:
        """A run that waited has its end, or waits for something else."""
        self.changed.set()
        self.changed = anyio.Event()

    async def keep_start(
        self, waits: Waiting, said: tuple[Message, ...], store: Callable[[tuple[Message, ...], bool], Awaitable[None]]
    ) -> None:
        """Keep that it waits, by ``store``, with what is said in its session. Call it while holding the session's turn."""
        place = (waits.deployment, waits.session)
        restricted = waits.data_class == "restricted"
        with anyio.CancelScope(shield=True):  # what is in memory must be what is in the store
            if not waits.session:
                await store(said, restricted)
                return
            restricted = restricted or self._sessions.is_restricted(*place)
            await store((*self._sessions.unsaved(*place), *said), restricted)
            self._sessions.added(*place, said, restricted=restricted)

    async def settle(self, waits: Waiting, result: Result, store: Store) -> bool:
        """Keep its end, say it in its session once no request holds that, and tell it; ``False`` where it had its end already."""
        said = (answer_of(result),) if result.status != "failed" and result.text else ()
        typed, kept = str(waits.held.get("typed", waits.text)), False
        async with self._holding(waits):
            with anyio.CancelScope(shield=True):  # what is in memory must be what is in the store
                kept = await self._keep(waits, result, typed, said, store)
        if kept:
            fields = {"result": result, "text": typed}
            self._emit(Event("run.finished", self._now(), result.deployment, result.revision, result.id, fields))
            self.tell_change()
        return kept

    async def _keep(self, waits: Waiting, result: Result, typed: str, said: tuple[Message, ...], store: Store) -> bool:
        """Turns of the session that no disk took until now go with it."""
        place = (waits.deployment, waits.session)
        unsaved = self._sessions.unsaved(*place) if waits.session else ()
        kept = await store(waits.id, result, typed, (*unsaved, *said))
        if kept and waits.session:
            self._sessions.added(*place, said, restricted="restricted" in (waits.data_class, result.data_class))
        return kept

    def _holding(self, waits: Waiting) -> AbstractAsyncContextManager[object]:
        """The turn of its session, where it has one."""
        if not waits.session:
            return nullcontext()
        return self._sessions.turn(waits.deployment, waits.session, inf, most=sys.maxsize)
