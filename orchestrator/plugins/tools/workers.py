"""Worker threads of one tool: a slow one keeps no thread from the others, and a cancelled call is not waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Workers:
    """At most ``most`` calls in threads at a time; the next ones wait in the event loop and hold no thread."""

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
        """Do ``work`` in a thread. A cancelled call returns at once: ``stop`` asks the work to end, which nobody awaits."""
        if self._limiter is None:  # made in the event loop that it belongs to
            self._limiter = anyio.CapacityLimiter(self._most)
        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        except anyio.get_cancelled_exc_class():
            stop()
            raise
