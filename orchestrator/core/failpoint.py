"""Named points where a test may let something happen: mostly the end of the process, to show that what follows converges.

Nothing is armed unless the composition root does it. A failpoint that is not armed costs one look into an empty dict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FAILPOINTS: Final[set[str]] = set()
"""Every name that was declared with :func:`declare`; the tests kill at each one."""
_armed: Final[dict[str, Callable[[], None]]] = {}


def declare(*names: str) -> None:
    """Make names known, so that the tests can list them without running the code."""
    FAILPOINTS.update(names)


def arm(name: str, times: int, happen: Callable[[], None]) -> None:
    """Let it happen when ``name`` is passed for the ``times``-th time, and from then on."""
    left = times

    def passed() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            happen()

    _armed[name] = passed


def disarm() -> None:
    """Let nothing happen any more."""
    _armed.clear()


def failpoint(name: str) -> None:
    """A point that may be armed."""
    if name in _armed:
        _armed[name]()
