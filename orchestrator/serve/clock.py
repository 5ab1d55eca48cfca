"""The clock of the event loop, read without looking for the loop's library anew: a run reads it twenty times."""

from __future__ import annotations

import asyncio
import time

import anyio


def current_time() -> float:
    """Seconds of the running loop's clock, the same as ``anyio.current_time``.

    Both loops of asyncio that we run on count the system's monotonic clock. It is read here, not from the loop: uvloop's
    own reading stands still within a turn, so that what takes less than a turn would be told as taking no time.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # it is not asyncio that runs
        return anyio.current_time()
    return time.monotonic()
