"""Named points where a test may kill the process, to show that what follows converges.

``ORCHESTRATOR_FAIL_AT=apply.committed`` or ``=apply.committed:3`` (the third time) kills the process there with SIGKILL:
no clean-up runs, as in a power cut. Without the variable a failpoint costs one look at an empty string.
"""

from __future__ import annotations

import os
import signal
from typing import Final

FAILPOINTS: Final[set[str]] = set()
"""Every name that was declared with :func:`declare`; the tests kill at each one."""

_wanted, _, _count = os.environ.get("ORCHESTRATOR_FAIL_AT", "").partition(":")
_left = [int(_count) if _count.isdecimal() else 1]


def declare(*names: str) -> None:
    """Make names known, so that the tests can list them without running the code."""
    FAILPOINTS.update(names)


def failpoint(name: str) -> None:
    """Die here, if the environment asks for it."""
    if not _wanted or name != _wanted:
        return
    _left[0] -= 1
    if _left[0] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
