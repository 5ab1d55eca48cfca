"""Arms a failpoint in a started process: what ``ORCHESTRATOR_FAIL_AT`` asks for."""

from __future__ import annotations

import os
import signal

from orchestrator.core.failpoint import arm


def arm_kill(fail_at: str) -> None:
    """``apply.recorded``, or ``apply.recorded:3`` for the third time: SIGKILL there, so that no clean-up runs, as in a power
    cut. An empty text arms nothing."""
    name, _, count = fail_at.partition(":")
    if name:
        arm(name, int(count) if count.isdecimal() else 1, _kill)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
