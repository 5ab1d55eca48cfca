"""Which candidates a model should be asked about: those that the stage before it cannot rule out.

A conformal set (Vovk, Gammerman and Shafer, 2005): of left-out examples, the share ``LEVEL`` scored at least so much for their own
candidate; whoever scores at least that for a request is in the set. For requests like the examples it holds the right one that
often. Where there are too few examples to say, or nobody scores so much, it is the best three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from orchestrator.plugins.strategies.ridge import Matrix

LEVEL: Final = 0.98
"""How often the right candidate is in the set, for requests like the examples."""
FEW: Final = 3
"""Candidates where the set is empty or unknown."""
MOST: Final = 12
"""Candidates that a model is shown at most."""


def least_score(left_out: Matrix, classes: Sequence[int], level: float = LEVEL) -> float | None:
    """The score that the right candidate has in ``level`` of all requests at least, as far as left-out ones tell; ``None`` where
    they are too few. It is the k-th smallest of n scores, with k the whole part of (1 - level)(n + 1)."""
    place = math.floor((1 - level) * (len(classes) + 1) + 1e-9)
    if place < 1:
        return None
    own = sorted(scores[index] for scores, index in zip(left_out, classes, strict=True))
    return own[place - 1]


def likely(ranked: Sequence[tuple[float, str]], least: float | None) -> tuple[str, ...]:
    """Whom a model should be asked about, the best first; ``ranked`` are scores with names, the best first."""
    found = [name for score, name in ranked[:MOST] if least is not None and score >= least and score > 0]
    return tuple(found or [name for score, name in ranked[:FEW] if score > 0])
