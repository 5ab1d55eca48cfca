"""Whether who runs was cancelled, or something only says so: code of others may raise ``CancelledError`` by itself."""

from __future__ import annotations

import asyncio


def cancels() -> int:
    """How often the task that runs was asked to end, by anybody; 0 outside of one. A ``CancelledError`` that comes while this
    stays the same is a fault of what raised it."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return 0
    return task.cancelling() if task is not None else 0
