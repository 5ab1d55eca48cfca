"""Worker threads of one tool: a slow one keeps no thread from the others, and a cancelled call is not waited for."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

import anyio
import anyio.to_thread

from orchestrator.core.errors import ToolFailed

T = TypeVar("T")

_NEVER: Final = (
    " What never returns must be mended, and the runtime started again; what is only slow gives its thread back."
)

MOST: Final = 4
"""Threads of a tool that does not say how many."""


class Workers:
    """At most ``most`` threads of a tool at a time, those among them that nobody waits for any more: Python cannot end a thread
    from outside, and its place is free when it returns. The next calls wait in the event loop, in order, and hold no thread."""

    def __init__(self, tool: str, most: int = MOST) -> None:
        self._tool = tool
        self._most = most
        self._held: list[_Place] = []
        self._waiting: deque[_Place] = deque()

    async def run(self, work: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
        """Do ``work`` in a thread. A cancelled call returns at once: ``stop`` asks the work to end, which nobody awaits.

        Raises ``ToolFailed`` where the call's time is over before there is a place; the error says who holds them.
        """
        place = await self._place()
        thread = _Thread(work, lambda: self._free(place))
        try:
            # A limiter of its own each time: anyio's gives a place back when the caller leaves, and not when the thread returns.
            return await anyio.to_thread.run_sync(thread.do, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
        except anyio.get_cancelled_exc_class():
            stop()
            place.left = True
            raise
        finally:
            thread.leave()

    async def _place(self) -> _Place:
        place = _Place()
        if len(self._held) < self._most:
            self._hold(place)
            return place
        asked, until = _now(), anyio.current_effective_deadline()
        self._waiting.append(place)
        try:
            await place.came.wait()
        except anyio.get_cancelled_exc_class():
            if place in self._held:  # it came at the same moment
                self._free(place)
                raise
            self._waiting.remove(place)
            if _now() < until:
                raise
            raise self._none_free(_now() - asked) from None
        return place

    def _hold(self, place: _Place) -> None:
        place.since = _now()
        self._held.append(place)
        place.came.set()

    def _free(self, place: _Place) -> None:
        """It goes to the one who waits longest."""
        self._held.remove(place)
        if self._waiting:
            self._hold(self._waiting.popleft())

    def _none_free(self, waited: float) -> ToolFailed:
        longest = round(_now() - min(place.since for place in self._held), 2)
        left = sum(place.left for place in self._held)
        who = "its only thread is" if self._most == 1 else f"all its {self._most} threads are"
        over = f", {left} of them by calls whose time is over" if left else ""
        cure = f"Ask for less at once, or raise timeout of the tool {self._tool}."
        cure += _NEVER if left else ""
        held = f"{who} held{over}, the longest for {longest:g} s"
        return ToolFailed(f"{self._tool} had no thread for the call within {round(waited, 2):g} s: {held}", cure=cure)


def _now() -> float:
    """``anyio.current_time``, also where a thread had it called."""
    return asyncio.get_running_loop().time()


class _Place:
    """A thread that may be used: ``since`` when (of the event loop's clock), and whether the caller has ``left`` it."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.since = 0.0
        self.left = False


class _Thread(Generic[T]):
    """Work that is done in a thread, or not begun at all; ``over`` is called once, in the event loop, when it holds no thread."""

    def __init__(self, work: Callable[[], T], over: Callable[[], None]) -> None:
        self._work = work
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._begun = False

    def do(self) -> T:
        """In the thread."""
        if not self._begin():
            raise RuntimeError("nobody waits for it any more")  # nor hears this
        try:
            return self._work()
        finally:
            with suppress(RuntimeError):  # the event loop is closed: nobody waits for a place
                self._loop.call_soon_threadsafe(self._over)

    def leave(self) -> None:
        """In the event loop: where no thread has begun it until now, none will."""
        if self._begin():
            self._over()

    def _begin(self) -> bool:
        with self._lock:
            begun, self._begun = self._begun, True
        return not begun
