"""What keeps a deployment from running as it is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from orchestrator.core.errors import DeployError, OrchestratorError

MOST_ROUNDS: Final = 3
"""Plans that one apply may need; more means that something changes as fast as it is mended."""
NOT_SETTLED: Final = "this is a fault of the program: please report the plan"


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds between two looks, the longest pause between two tries of what fails, the version that observes, and what
    tells the time (seconds since 1970)."""

    every: float = 10.0
    longest_pause: float = 300.0
    version: str = ""
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Wait:
    """``address`` is the step or server that is waited for, ``what`` is done there, ``since`` when it is waited for, ``error``
    what the last try ended with, where it failed, and ``again`` when the next one begins: both are seconds since 1970."""

    address: str
    what: str
    since: float
    error: str = ""
    again: float | None = None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a desired revision does not run as wanted, ``since`` when (seconds since 1970), and the ``step`` that failed last,
    where it was one; it is tried ``again`` (loop time) after a ``pause``."""

    error: OrchestratorError
    pause: float
    again: float
    since: float
    step: Wait | None = None


def after(before: Trouble | None, error: Exception, step: Wait | None, rules: Rules, now: float) -> Trouble:
    """The trouble that ``error`` is, at loop time ``now``: each failure in a row is tried again after a longer pause."""
    known = error if isinstance(error, OrchestratorError) else DeployError(f"{type(error).__name__}: {error}")
    pause = min(rules.longest_pause, before.pause * 2 if before else rules.every)
    return Trouble(known, pause, now + pause, before.since if before else rules.now(), step)
