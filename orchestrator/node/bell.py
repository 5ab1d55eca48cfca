"""Waiting for a time or for news, whichever is first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Bell:
    """One task waits, any may ring. ``sleep`` is how the process sleeps: it is asked before the waiter goes on."""

    sleep: Sleep = anyio.sleep
    _rung: anyio.Event = field(default_factory=anyio.Event)

    def ring(self) -> None:
        """There is news."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Until it is rung, or so long; tells whether it was. A ring while nobody waited counts."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()
        rung = self._rung.is_set()
        self._rung = anyio.Event()
        await self.sleep(0)
        return rung
