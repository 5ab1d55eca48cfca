"""The clock of the event loop, read without looking for the loop's library anew: a run reads it sixteen times."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sys import modules
from time import monotonic

import anyio

_read: Callable[[], float] = monotonic


@contextmanager
def reading(clock: Callable[[], float]) -> Iterator[None]:
    """Another clock than the system's meanwhile, for loops whose time is simulated. It holds for the whole process."""
    global _read  # noqa: PLW0603 - it is read too often for anything dearer
    before, _read = _read, clock
    try:
        yield
    finally:
        _read = before


def current_time() -> float:
    """Seconds of the running loop's clock, the same as ``anyio.current_time``.

    asyncio's loops count the system's monotonic clock. It is read here, not from the loop, because the reading of some
    (uvloop's) stands still within a turn, and a program that embeds us may run on one. Looking which loop runs takes three
    times as long as the clock (Python asks the system for its process id each time), and where nobody has imported the
    other library, there is nothing to look for.
    """
    if "trio" not in modules:
        return _read()
    try:
        get_running_loop()
    except RuntimeError:  # it is not asyncio that runs
        return anyio.current_time()
    return _read()
