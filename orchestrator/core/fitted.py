"""What labelled answers say of a score: how probable it is that such an answer is right, and from where on it is kept. Pure.

A *scale* is a kind of score that may be compared with itself only: of one signal with its parameters, on one agent, model and
make of server. Each scale is fitted alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from orchestrator.core.isotonic import Isotonic, fit_isotonic

ENOUGH: Final = 200
"""Labelled answers that a curve is fitted from; with fewer a score is taken for the probability itself."""
TARGET: Final = 0.95
"""The share of what is kept that should be right, where nobody says another."""
KEEP_NONE: Final = 2.0
"""The threshold where no answer may be kept: no probability reaches it."""
_FOLDS: Final = 5
_BINS: Final = 10

Labelled = tuple[float, bool]


@dataclass(frozen=True, slots=True)
class Scale:
    """What a score is of: the ``agent``, its ``model`` with the make of the server (``ollama/phi4-mini:3.8b``), the ``signal``
    with what changes its numbers (``agreement:3``), and the ``version`` of the agent: a digest of all that its answers come
    from."""

    agent: str
    model: str
    signal: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.agent}, {self.model}, {self.signal}"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A curve, the least probability that is kept, and how both do on answers that they were not fitted on: of ``of`` such
    answers ``kept`` are kept, and of these ``kept_right`` are right; ``right`` are right of all. ``ece`` is the mean distance of
    probability and truth (expected calibration error, ten bins)."""

    curve: Isotonic
    threshold: float
    target: float
    of: int
    right: int
    kept: int
    kept_right: int
    ece: float

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"curve": self.curve.as_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fitted:
        """From the plain form; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        return cls(**{**value, "curve": Isotonic.from_json(value["curve"])})


def fit(labelled: Sequence[Labelled], target: float = TARGET, wrong: float = 0.0) -> Fitted | None:
    """Fit a curve and a threshold; ``None`` where fewer than ``ENOUGH`` answers are labelled.

    The threshold costs least of those at which at least ``target`` of what is kept is right: an escalation costs 1, a wrong
    answer that is kept costs ``wrong``.
    """
    if len(labelled) < ENOUGH:
        return None
    curve = fit_isotonic(labelled)
    kept = kept_right = 0
    found: list[tuple[float, bool]] = []
    for fold in range(_FOLDS):
        rest = [pair for at, pair in enumerate(labelled) if at % _FOLDS != fold]
        other = fit_isotonic(rest)
        least = threshold_of(other, target, wrong)
        for score, right in labelled[fold::_FOLDS]:
            probability = other.at(score)
            found.append((probability, right))
            kept += probability >= least
            kept_right += probability >= least and right
    threshold = threshold_of(curve, target, wrong)
    all_right = sum(right for _, right in labelled)
    return Fitted(curve, threshold, target, len(labelled), all_right, kept, kept_right, ece_of(found))


def threshold_of(curve: Isotonic, target: float, wrong: float = 0.0) -> float:
    """The cheapest threshold at which at least ``target`` of what is kept was right; ``KEEP_NONE`` where none is."""
    best, cheapest = KEEP_NONE, float("inf")
    total = sum(block.of for block in curve.blocks)
    kept, right = 0, 0.0
    for block in reversed(curve.blocks):
        kept, right = kept + block.of, right + block.right
        cost = (total - kept) + wrong * (kept - right)
        if right >= target * kept and cost <= cheapest:
            best, cheapest = block.value, cost
    return best


def ece_of(found: Sequence[tuple[float, bool]]) -> float:
    """The expected calibration error of probabilities, each with whether it came true."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for probability, right in found:
        bins.setdefault(min(_BINS - 1, int(probability * _BINS)), []).append((probability, right))
    apart = [abs(sum(p for p, _ in each) - sum(right for _, right in each)) for each in bins.values()]
    return sum(apart) / len(found) if found else 0.0
