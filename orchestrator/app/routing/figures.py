"""What came of requests that were tried on a router, as shares with their uncertainty. Pure.

Every share has the interval of Wilson (1927) at 95 %: it stays within 0..1 and is honest where there are few requests.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.request import Decision

INTERVAL: Final = "Wilson, 95 %"
DEVIATIONS: Final = 1.959964
"""Standard deviations to each side that hold 95 % of a normal distribution."""
NOBODY: Final = "(nobody)"


@dataclass(frozen=True, slots=True)
class Tried:
    """A request, who may answer it (nobody where empty), what was decided, and who scored best whether accepted or not."""

    id: str
    text: str
    wanted: tuple[str, ...]
    decision: Decision
    first: str | None

    @property
    def verdict(self) -> str:
        """``right``; ``unsure`` where nobody was chosen for a request that somebody answers; ``wrong``."""
        if self.decision.choice is None:
            return "unsure" if self.wanted else "right"
        return "right" if self.decision.choice in self.wanted else "wrong"

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "id": self.id,
            "text": self.text,
            "wanted": list(self.wanted),
            "verdict": self.verdict,
            "choice": self.decision.choice,
            "first": self.first,
            "confidence": self.decision.confidence,
            "why": self.decision.why,
        }


def wilson(right: int, of: int, z: float) -> tuple[float, float]:
    """Between which values the true share lies, ``z`` standard deviations to each side."""
    if not of:
        return 0.0, 1.0
    share, spread = right / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Share:
    """So many ``of`` so many."""

    right: int
    of: int

    @property
    def value(self) -> float | None:
        """0..1; ``None`` of nothing."""
        return self.right / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """Between which values the true share lies in 95 of 100 such samples."""
        return wilson(self.right, self.of, DEVIATIONS)

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {"right": self.right, "of": self.of, "share": self.value, "interval": list(self.interval)}


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a set of requests."""

    tried: tuple[Tried, ...]

    @property
    def first_right(self) -> Share:
        """Of those that somebody answers: who scored best is right, whether accepted or not."""
        return _share(one.first in one.wanted for one in self.tried if one.wanted)

    @property
    def decided(self) -> Share:
        """Of those that somebody answers: how many were sent to one, the coverage at the threshold."""
        return _share(one.decision.choice is not None for one in self.tried if one.wanted)

    @property
    def decided_right(self) -> Share:
        """Of all that were decided, those that nobody answers too: how many rightly."""
        return _share(one.verdict == "right" for one in self.tried if one.decision.choice is not None)

    @property
    def refused(self) -> Share:
        """Of those that nobody answers: how many were left to nobody."""
        return _share(one.decision.choice is None for one in self.tried if not one.wanted)

    @property
    def failures(self) -> tuple[Tried, ...]:
        """Every request that was not decided rightly, the wrong ones first."""
        return tuple(
            sorted((one for one in self.tried if one.verdict != "right"), key=lambda one: one.verdict == "unsure")
        )

    @property
    def confusion(self) -> dict[str, Counter[str]]:
        """How often each was chosen, by who was wanted (the first of several)."""
        found: dict[str, Counter[str]] = {}
        for one in self.tried:
            chosen = one.decision.choice or NOBODY
            wanted = chosen if chosen in one.wanted else one.wanted[0] if one.wanted else NOBODY
            found.setdefault(wanted, Counter())[chosen] += 1
        return dict(sorted(found.items(), key=lambda pair: (pair[0] == NOBODY, pair[0])))

    def as_json(self) -> dict[str, Any]:
        """A plain form, with every request."""
        return {
            **{name: getattr(self, name).as_json() for name in SHARES},
            "confusion": {wanted: dict(row) for wanted, row in self.confusion.items()},
            "requests": [one.as_json() for one in self.tried],
        }


SHARES: Final = ("first_right", "decided", "decided_right", "refused")


def below(figures: Figures, least: float) -> list[str]:
    """Which shares are under ``least``: the first choice of those that somebody answers, and what was decided of all. Where
    nothing was tried, that is under any."""
    told = {"the first choice is right": figures.first_right, "right of what was decided": figures.decided_right}
    if not figures.tried:
        return ["there is no request to try"]
    return [
        f"{what}: {share.value:.1%}, {least:.1%} is asked for"
        for what, share in told.items()
        if share.value is not None and share.value < least
    ]


def _share(holds: Iterable[bool]) -> Share:
    found: Sequence[bool] = list(holds)
    return Share(sum(found), len(found))
