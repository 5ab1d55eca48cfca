"""How one endpoint is judged: the numbers of its breaker, its health and its patience."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.errors import BrokenReply, ModelError, ServerFailed, Stalled, Unreachable
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.breaker import BreakerRules
from orchestrator.deploy.health import HealthRules

BUSY_FOR: Final = Backoff(0.25, 5.0, 0.2)


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """How one endpoint is judged. ``count`` are the faults that its breaker counts; times are seconds."""

    breaker: BreakerRules = field(default_factory=BreakerRules)
    health: HealthRules = field(default_factory=HealthRules)
    count: tuple[type[ModelError], ...] = (Unreachable, ServerFailed, BrokenReply, Stalled)
    stall_after: float = 60.0
    stall_factor: float = 4.0  # times the 95th percentile of what is usual there
    look_for: float = 15.0  # that somebody may look whether it works, within these
    load_after: float = 600.0  # the same, while its server may be loading the model for a call
    busy_for: Backoff = BUSY_FOR  # where the server names no time
    hold_at_most: float = 300.0  # whatever time it names: headers are wrong, and asking once more costs nothing
    refused_for: float = 15.0  # short: nothing tells that a key or a list of models was mended
