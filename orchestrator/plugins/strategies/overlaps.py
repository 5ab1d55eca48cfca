"""Where candidates say nearly the same of themselves: pairs of texts that a router can hardly tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.plugins.strategies.features import SparseVector, Vocabulary
from orchestrator.plugins.strategies.rows import Row, rows_of
from orchestrator.ports.strategy import Candidate

ALIKE: Final = 0.6
"""Likeness (1: the same words) from which a pair is told."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two texts of two candidates, and how alike they are, 0..1."""

    one: Row
    other: Row
    likeness: float


def overlaps_of(candidates: Sequence[Candidate], least: float = ALIKE) -> list[Overlap]:
    """All pairs that are at least so much alike, most alike first."""
    rows = rows_of(candidates)
    vocabulary = Vocabulary([row.text for row in rows])
    vectors = [vocabulary.read(row.text).vector for row in rows]
    found = [overlap for overlap in _pairs(rows, vectors) if overlap.likeness >= least]
    return sorted(found, key=lambda each: (-each.likeness, each.one.candidate, each.one.text, each.other.text))


def _pairs(rows: Sequence[Row], vectors: Sequence[SparseVector]) -> Iterator[Overlap]:
    """Pairs of different candidates that share a term, each once; products over the terms that they share only."""
    standing: dict[int, list[tuple[int, float]]] = {}
    for at, vector in enumerate(vectors):
        products: dict[int, float] = {}
        for feature, value in vector.items():
            places = standing.setdefault(feature, [])
            for other, weight in places:
                products[other] = products.get(other, 0.0) + value * weight
            places.append((at, value))
        for other, likeness in products.items():
            if rows[other].candidate != rows[at].candidate:
                yield Overlap(rows[other], rows[at], min(likeness, 1.0))
