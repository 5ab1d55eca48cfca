"""What the operator's settings make of the scheduler's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from orchestrator.app.settings import Settings
from orchestrator.core.errors import BrokenReply, ModelError, ServerFailed, Stalled, Unreachable
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.health import CHECK_EVERY
from orchestrator.deploy.rules import EndpointRules
from orchestrator.serve.scheduler_limits import SchedulerLimits

_COUNTED: Final[Mapping[str, type[ModelError]]] = {
    "transport": Unreachable,
    "5xx": ServerFailed,
    "broken": BrokenReply,
    "stalled": Stalled,
}


def limits_of(settings: Settings) -> SchedulerLimits:
    """The numbers that the scheduler goes by."""
    rules, every = EndpointRules(), settings.deep_check
    check = None if every is None else Backoff(every, every, CHECK_EVERY.spread)
    return SchedulerLimits(
        endpoint=replace(
            rules,
            health=replace(rules.health, check=check),
            count=tuple(_COUNTED[name] for name in settings.breaker_counts),
            stall_after=settings.stall_after,
        )
    )
