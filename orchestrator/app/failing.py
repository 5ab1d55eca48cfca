"""Arms a failpoint in a started process: what ``ORCHESTRATOR_FAIL_AT`` asks for."""

from __future__ import annotations

import os
import signal

from orchestrator.core.errors import UsageError
from orchestrator.core.failpoint import FAILPOINTS, arm
from orchestrator.core.names import did_you_mean


def arm_kill(fail_at: str) -> None:
    """``apply.recorded``, or ``apply.recorded:3`` for the third time: SIGKILL there, so that no clean-up runs, as in a power
    cut. An empty text arms nothing. Raises ``UsageError`` where it names no failpoint, or no such time."""
    if not fail_at:
        return
    name, colon, count = fail_at.partition(":")
    _check_name(name)
    if colon and not (count.isascii() and count.isdecimal() and int(count) >= 1):
        raise UsageError(
            f'ORCHESTRATOR_FAIL_AT: "{count}" is no number of a time',
            cure=f"write {name}, or {name}:3 for the third time",
        )
    arm(name, int(count or 1), _kill)


def _check_name(name: str) -> None:
    import orchestrator.plugins.stores.sqlite  # noqa: F401 - it is opened later, and declares failpoints too

    if name not in FAILPOINTS:
        cure = did_you_mean(name, FAILPOINTS) or f"there are: {', '.join(sorted(FAILPOINTS))}"
        raise UsageError(f'ORCHESTRATOR_FAIL_AT: there is no failpoint "{name}"', cure=cure)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
