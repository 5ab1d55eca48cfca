"""What keeps a deployment from running as it is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.errors import OrchestratorError


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a desired revision does not run as wanted; it is tried ``again`` (loop time) after a ``pause``."""

    error: OrchestratorError
    pause: float
    again: float
