"""Kernel ridge regression with its leave-one-out predictions in closed form. Plain Python; numpy for big problems.

With ``G = K + lam I`` and targets ``Y`` (1 where a row belongs to a column, else 0) the solution is ``A = G^-1 Y``; without
row ``i`` the prediction for it is ``Y_i - A_i / (G^-1)_ii``, and without a whole group ``g`` it is
``Y_g - ((G^-1)_gg)^-1 A_g`` (Rifkin and Lippert, *Notes on regularized least squares*, 2007; the group form is the same
block inverse). There is no intercept: a text that shares nothing with any row scores 0 everywhere.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final

Matrix = list[list[float]]

PLAIN_LIMIT: Final = 300
"""Rows up to which plain Python solves it, in about half a second."""
NUMPY_LIMIT: Final = 1_500
"""Rows up to which numpy does."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """What was learned. Every matrix has one row a text and one column a class.

    ``left_out`` are the predictions for each text had it not been there, ``group_left_out`` had its whole class not been.
    """

    weights: Matrix
    left_out: Matrix
    group_left_out: Matrix


def solvable(rows: int) -> bool:
    """Whether so many rows can be solved here in reasonable time."""
    return rows <= PLAIN_LIMIT or (rows <= NUMPY_LIMIT and importlib.util.find_spec("numpy") is not None)


def fit_ridge(kernel: Matrix, classes: Sequence[int], count: int, strength: float) -> Ridge:
    """Learn ``count`` classes from a kernel matrix; ``classes`` holds each row's class; ``strength`` is lam above."""
    inverse = _inverse_of([[*row[:i], row[i] + strength, *row[i + 1 :]] for i, row in enumerate(kernel)])
    members = [[row for row, found in enumerate(classes) if found == column] for column in range(count)]
    weights = [[sum(line[row] for row in rows) for rows in members] for line in inverse]
    left_out = [
        [(1.0 if column == classes[i] else 0.0) - weight / inverse[i][i] for column, weight in enumerate(line)]
        for i, line in enumerate(weights)
    ]
    group: Matrix = [[0.0] * count for _ in kernel]
    for column, rows in enumerate(members):
        _leave_group_out(inverse, weights, rows, column, group)
    return Ridge(weights, left_out, group)


def _leave_group_out(inverse: Matrix, weights: Matrix, rows: list[int], own: int, into: Matrix) -> None:
    if not rows:
        return
    block = _inverse_plain([[inverse[i][j] for j in rows] for i in rows])
    columns = list(zip(*(weights[row] for row in rows), strict=True))
    for row, line in zip(rows, block, strict=True):
        into[row] = [0.0 if c == own else -sum(map(mul, line, column)) for c, column in enumerate(columns)]


def _inverse_of(matrix: Matrix) -> Matrix:
    if len(matrix) <= PLAIN_LIMIT:
        return _inverse_plain(matrix)
    import numpy as np

    found: Matrix = np.linalg.inv(np.array(matrix)).tolist()
    return found


def _inverse_plain(matrix: Matrix) -> Matrix:
    """The inverse of a symmetric positive definite matrix, by its Cholesky factor."""
    lower = _cholesky(matrix)
    columns = [_column_of_inverse(lower, i) for i in range(len(lower))]
    inverse: Matrix = [[0.0] * len(lower) for _ in lower]
    for i, left in enumerate(columns):
        for j in range(i, len(columns)):
            inverse[i][j] = inverse[j][i] = sum(map(mul, left[j - i :], columns[j]))
    return inverse


def _cholesky(matrix: Matrix) -> Matrix:
    lower: Matrix = []
    for i, row in enumerate(matrix):
        line: list[float] = []
        for j in range(i):
            line.append((row[j] - sum(map(mul, line, lower[j]))) / lower[j][j])
        line.append(math.sqrt(row[i] - sum(map(mul, line, line))))
        lower.append(line)
    return lower


def _column_of_inverse(lower: Matrix, first: int) -> list[float]:
    """Column ``first`` of the inverse of a lower triangle, from the diagonal down."""
    column = [1.0 / lower[first][first]]
    for line in lower[first + 1 :]:
        column.append(-sum(map(mul, line[first:], column)) / line[-1])
    return column
