"""Which candidates a model should be asked about: those that the stage before it cannot rule out.

A conformal set (Vovk, Gammerman and Shafer, 2005): of left-out examples, the share ``LEVEL`` lay at most so far behind the best
score with their own candidate; whoever lies at most that far behind it for a request is in the set. For requests like the examples
it holds the right one that often. It goes by the distance and not by the score itself: a request in other words scores low for all,
and its right candidate may well be among the lower ones. Where the best score is lower than that share of examples have for their
own candidate, the request is like none of them, and nobody is ruled out. Where there are too few examples to say, it is the best
three, which are shown in any case.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.plugins.strategies.ridge import Matrix

LEVEL: Final = 0.98
"""How often the right candidate is in the set, for requests like the examples."""
FEW: Final = 3
"""Candidates that a model is shown at least."""
MOST: Final = 12
"""Candidates that a model is shown at most."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the right candidate keeps in ``LEVEL`` of all requests: so far it is behind the best score at most (``widest``), and so
    much it scores at least (``least``)."""

    widest: float
    least: float


def bounds_of(left_out: Matrix, classes: Sequence[int], level: float = LEVEL) -> Bounds | None:
    """As left-out examples tell; ``None`` where they are too few. Each is the k-th most extreme of n values, k the whole part of
    (1 - level)(n + 1)."""
    place = math.floor((1 - level) * (len(classes) + 1) + 1e-9)
    if place < 1:
        return None
    own = sorted(scores[index] for scores, index in zip(left_out, classes, strict=True))
    gaps = sorted(max(scores) - scores[index] for scores, index in zip(left_out, classes, strict=True))
    return Bounds(gaps[-place], own[place - 1])


def likely(ranked: Sequence[tuple[float, str]], bounds: Bounds | None, untried: Iterable[str] = ()) -> tuple[str, ...]:
    """Whom a model should be asked about, the best first; ``ranked`` are scores with names, the best first. ``untried`` have no
    examples, so that no score of theirs says anything: they are behind the others where there is a list at all."""
    found = [name for score, name in ranked[:FEW] if score > 0]
    if bounds is not None and ranked[0][0] < bounds.least:
        found = [name for _, name in ranked]
    elif bounds is not None:
        found += [name for score, name in ranked if ranked[0][0] - score <= bounds.widest and name not in found]
    more = [name for name in untried if name not in found] if found else []
    return tuple([*found, *more][:MOST])
