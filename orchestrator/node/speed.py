"""How long a node takes for an agent, as far as it is known: an average that fades. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HALF_LIFE: Final = 5.0
"""Seconds after which half of what is known of a node counts: ten heartbeats. A node that was slow once would else never be
asked again, and so never be seen to be quick again."""
NEWEST: Final = 0.2
"""What the last answer counts in an average, beside one that was just seen."""


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds on average, as of ``at``, when the last answer came."""

    ms: float
    at: float

    def counts(self, now: float) -> float:
        """How much that says still, 0..1."""
        return float(0.5 ** (max(0.0, now - self.at) / HALF_LIFE))


def averaged(before: Took | None, ms: float, now: float) -> Took:
    """With one more answer, which counts the more the older the others are."""
    if before is None:
        return Took(ms, now)
    share = (1 - NEWEST) * before.counts(now)
    return Took(share * before.ms + (1 - share) * ms, now)
