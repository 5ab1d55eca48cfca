"""What keeps a deployment from running as it is wanted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.errors import OrchestratorError


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
