"""What one filling of a template may spend: characters, ticks of work, and seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from orchestrator.core.errors import LimitReached

LARGEST_TEXT: Final = 200_000
"""Characters that one filling may give, and that a value made on the way may have."""
LARGEST_HELD: Final = 500_000
"""Characters and entries that a value made on the way may hold, with all that is inside of it, as often as it is there:
printing or comparing it goes through them all."""
LARGEST_SUM: Final = 5_000_000
"""Characters and entries of all values made on the way."""
MOST_TICKS: Final = 100_000
"""Turns of loops, calls, filters and tests."""
MOST_SECONDS: Final = 0.5
"""CPU time. A single operation takes a few milliseconds at most, so that looking between them is enough."""


class Budget:
    """Owned by one filling."""

    __slots__ = ("_made", "_printed", "_started", "_ticks")

    def __init__(self) -> None:
        self._made = 0
        self._printed = 0
        self._ticks = 0
        self._started = 0.0

    def tick(self) -> None:
        """One turn of a loop, one call, one filter, one test. Raises ``LimitReached``."""
        self._ticks += 1
        if self._ticks == 1:
            self._started = time.thread_time()
        elif self._ticks > MOST_TICKS:
            raise LimitReached(f"a template took more than {MOST_TICKS} steps", cure="Loop over less.")
        elif time.thread_time() - self._started > MOST_SECONDS:
            raise LimitReached(f"a template took more than {MOST_SECONDS:g} s", cure="Loop over less.")

    def print(self, size: int) -> None:
        """That many characters come out. Raises ``LimitReached``."""
        self._printed += size
        check_size(self._printed)

    def make(self, size: int) -> None:
        """A value of that many characters or entries was made. Raises ``LimitReached``."""
        check_size(size)
        self._made += size
        if self._made > LARGEST_SUM:
            raise LimitReached(f"a template made more than {LARGEST_SUM} characters on the way", cure="Loop over less.")


def check_size(size: int) -> None:
    """Raise ``LimitReached`` where something would be too large."""
    if size > LARGEST_TEXT:
        raise LimitReached(f"a template made more than {LARGEST_TEXT} characters", cure="Shorten what it prints.")


def check_held(value: Any) -> None:
    """Raise ``LimitReached`` where a list, a tuple or a dict holds too much, its inner ones counted. Stops counting there."""
    held = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            held += len(each)
            waiting.extend(each.keys())
            waiting.extend(each.values())
        elif isinstance(each, (list, tuple)):
            held += len(each)
            if held <= LARGEST_HELD:
                waiting.extend(each)
        elif isinstance(each, str):
            held += len(each)
        if held > LARGEST_HELD:
            raise LimitReached(
                f"a template made a list of lists that holds more than {LARGEST_HELD} characters and entries",
                cure="Put less into it.",
            )


_current: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending(budget: Budget) -> Iterator[None]:
    """Let what happens inside count on ``budget``."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


def tick() -> None:
    """One turn of a loop, one call, one filter, one test of the filling that is under way."""
    _current.get().tick()


def made(size: int) -> None:
    """A value of that many characters or entries was made in the filling that is under way."""
    _current.get().make(size)
