"""Scores of candidates as sums over a text's features, learned in one of two ways.

Up to what :mod:`ridge` can solve: kernel ridge regression with the linear kernel, turned into one weight per feature and
candidate. Beyond that: the mean vector of every skill, a candidate scoring as its best skill does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.plugins.strategies.features import SparseVector
from orchestrator.plugins.strategies.ridge import Matrix, fit_ridge

STRENGTH: Final = 0.2
_MOST_TRIALS: Final = 400

FeatureWeights = dict[int, tuple[tuple[int, float], ...]]  # feature -> (column, weight) pairs


@dataclass(frozen=True, slots=True)
class Learned:
    """Weights that score, and the scores of the training texts had they (or all of their candidate's) not been there.

    ``owners`` says to which candidate each column belongs; ``tried`` which texts the left-out scores are of.
    """

    weights: FeatureWeights
    owners: tuple[int, ...]
    candidates: int
    tried: tuple[int, ...]
    left_out: Matrix
    group_left_out: Matrix

    def scores(self, vector: SparseVector) -> list[float]:
        """One score a candidate: the best of its columns."""
        columns = [0.0] * len(self.owners)
        weights = self.weights
        for feature, value in vector.items():
            for column, weight in weights[feature]:
                columns[column] += value * weight
        if len(self.owners) == self.candidates:
            return columns
        return _best_of_each(columns, self.owners, self.candidates)


def learn_by_ridge(vectors: Sequence[SparseVector], classes: Sequence[int], count: int) -> Learned:
    """Kernel ridge regression on the candidates' own labels."""
    ridge = fit_ridge(_products(vectors), classes, count, STRENGTH)
    summed: dict[int, list[float]] = {}
    for vector, row in zip(vectors, ridge.weights, strict=True):
        for feature, value in vector.items():
            line = summed.setdefault(feature, [0.0] * count)
            for column, weight in enumerate(row):
                line[column] += value * weight
    weights = {feature: tuple(enumerate(line)) for feature, line in summed.items()}
    owners, tried = tuple(range(count)), tuple(range(len(vectors)))
    return Learned(weights, owners, count, tried, ridge.left_out, ridge.group_left_out)


def learn_by_means(
    vectors: Sequence[SparseVector], columns: Sequence[int], owners: tuple[int, ...], count: int
) -> Learned:
    """The mean of each column's vectors, of length 1. ``columns`` holds each vector's column."""
    sums: list[SparseVector] = [{} for _ in owners]
    for vector, column in zip(vectors, columns, strict=True):
        total = sums[column]
        for feature, value in vector.items():
            total[feature] = total.get(feature, 0.0) + value
    squares = [sum(value * value for value in total.values()) for total in sums]
    weights: dict[int, list[tuple[int, float]]] = {}
    for column, total in enumerate(sums):
        for feature, value in total.items():
            weights.setdefault(feature, []).append((column, value / math.sqrt(squares[column])))
    step = -(-len(vectors) // _MOST_TRIALS)
    tried = tuple(range(0, len(vectors), step))
    found = Learned({f: tuple(line) for f, line in weights.items()}, owners, count, tried, [], [])
    for index in tried:
        scores = _column_scores(found, vectors[index])
        own = columns[index]
        rest = [-1.0 if owner == owners[own] else score for owner, score in zip(owners, scores, strict=True)]
        scores[own] = _without_itself(scores[own], vectors[index], squares[own])
        found.left_out.append(_best_of_each(scores, owners, count))
        found.group_left_out.append([max(score, 0.0) for score in _best_of_each(rest, owners, count)])
    return found


def _column_scores(learned: Learned, vector: SparseVector) -> list[float]:
    columns = [0.0] * len(learned.owners)
    for feature, value in vector.items():
        for column, weight in learned.weights[feature]:
            columns[column] += value * weight
    return columns


def _without_itself(score: float, vector: SparseVector, square: float) -> float:
    """The cosine-like score of a text to its column's sum of squared length ``square``, its own part taken out."""
    own = sum(value * value for value in vector.values())
    product = score * math.sqrt(square)
    rest = square - 2 * product + own
    return (product - own) / math.sqrt(rest) if rest > 1e-9 else 0.0


def _best_of_each(columns: Sequence[float], owners: Sequence[int], count: int) -> list[float]:
    best = [-math.inf] * count
    for owner, score in zip(owners, columns, strict=True):
        best[owner] = max(best[owner], score)
    return best


def _products(vectors: Sequence[SparseVector]) -> Matrix:
    """All products of two vectors, by the rows in which each feature stands."""
    standing: dict[int, list[tuple[int, float]]] = {}
    matrix: Matrix = [[0.0] * len(vectors) for _ in vectors]
    for row, vector in enumerate(vectors):
        for feature, value in vector.items():
            standing.setdefault(feature, []).append((row, value))
    for places in standing.values():
        for at, (row, value) in enumerate(places):
            line = matrix[row]
            for other, weight in places[: at + 1]:
                line[other] += value * weight
    for row, line in enumerate(matrix):
        for other in range(row):
            matrix[other][row] = line[other]
    return matrix
