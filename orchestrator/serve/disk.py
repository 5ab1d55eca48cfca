"""The disk of one owner: its work is done in a thread, one piece at a time, as stores are used from one thread at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

Answer = TypeVar("Answer")


class Disk:
    """Does what a store does, beside the event loop."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def do(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """What ``work`` gives; what it raises is raised."""
        async with self._lock:
            return await anyio.to_thread.run_sync(work, *arguments)
