"""The scheduler's numbers. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, get_args

from orchestrator.core.choices import PriorityClass
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.rules import EndpointRules
from orchestrator.serve.scheduler_residency import AffinityRules

PRIORITIES: Final[tuple[PriorityClass, ...]] = get_args(PriorityClass)
"""From the most urgent to the least."""
RANKS: Final[Mapping[str, int]] = {name: rank for rank, name in enumerate(PRIORITIES)}


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """A queue of one priority class, at one endpoint or at the gate of a deployment: how many may wait, how long, and
    after what time one that still waits counts as one class more urgent (again after each such time)."""

    length: int
    timeout: float
    starve_after: float

    def rank_after(self, rank: int, waited: float) -> int:
        """As which rank one of this class counts that has waited so long."""
        return max(0, rank - int(waited / self.starve_after))

    def urgency(self, rank: int, number: int, waited: float) -> tuple[int, int]:
        """What the heads of the lines are compared by, at endpoints and at gates: the smallest is next. The most urgent class,
        where waiting makes one more urgent; then the ``number`` in the order of coming."""
        return self.rank_after(rank, waited), number


def _classes() -> dict[PriorityClass, ClassLimits]:
    return {
        "system": ClassLimits(32, 30.0, 5.0),
        "interactive": ClassLimits(64, 30.0, 5.0),
        "default": ClassLimits(256, 60.0, 30.0),
        "bulk": ClassLimits(1024, 300.0, 120.0),
    }


@dataclass(frozen=True, slots=True)
class HoldBack:
    """How much of a stream is held back before it is committed, so that an early break can still fall back.

    It is passed on when that many pieces with text have come, or so many bytes, or a piece comes so long after the
    first. ``EARLY_BREAKS`` holds back 32 pieces, 16 KiB or 0.5 s, as gateways of cloud models do. The default holds back
    nothing after the first text: a small model on a device makes 5 to 30 pieces a second, so that the person would
    wait visibly for the first word each time, to be spared the rare server that breaks right after it. What breaks most
    (loading, prefill, an error as the first event) comes before any text, where fallback is free. Answers that are
    checked against a schema are never streamed, so they can always fall back.
    """

    pieces: int = 1
    size: int = 0
    seconds: float = 0.0


EARLY_BREAKS: Final = HoldBack(32, 16 * 1024, 0.5)


RETRY_AFTER: Final = Backoff(0.25, 5.0, 0.2)


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """Everything that an operator may set. ``retries`` are of one call on one endpoint, ``candidates`` the endpoints
    that one call may try; ``restart`` is how long a call waits for a server of ours that is started again, in seconds."""

    classes: Mapping[PriorityClass, ClassLimits] = field(default_factory=_classes)
    retries: int = 2
    candidates: int = 3
    restart: float = 10.0
    backoff: Backoff = RETRY_AFTER
    hold_back: HoldBack = field(default_factory=HoldBack)
    endpoint: EndpointRules = field(default_factory=EndpointRules)
    affinity: AffinityRules = field(default_factory=AffinityRules)

    def with_queue(self, queue: Mapping[str, Any]) -> SchedulerLimits:
        """With lengths and time-outs of a blueprint's ``queue``; what it leaves out stays."""
        classes = dict(self.classes)
        for name in PRIORITIES:
            wanted = {key: value for key, value in (queue.get(name) or {}).items() if value is not None}
            classes[name] = replace(classes[name], **wanted)
        return replace(self, classes=classes)
