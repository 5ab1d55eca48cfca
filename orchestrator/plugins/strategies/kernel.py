"""Kernel ridge regression on meaning and words together, with numpy: for the strategy that has an encoder.

The kernel of two texts is ``share * exp(3 (cos - 1))`` of their vectors' cosine, and ``1 - share`` times the product of their
lexical features. It is solved twice on the same matrix, once with the candidates as classes and once with their skills; a
candidate scores the weighted mean of its own prediction and of its best skill's. The first holds where a request mixes skills, the
second where the skills of one candidate have little in common; together they are better than either
(benchmarks/routing). Left-out predictions as in :mod:`ridge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.plugins.strategies.features import SparseVector
from orchestrator.plugins.strategies.ridge import Matrix

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SHARPNESS: Final = 3.0
STRENGTH: Final = 0.3
SKILL_SHARE: Final = 0.75
"""How much a candidate's best skill counts beside the candidate as a whole. More of it tells requests for skills that nobody has
apart better, which are like the candidate and not like a skill of it; all of it knows less of requests that have nothing to do
with any."""
FOREIGN_SKILL_SHARE: Final = 0.5
"""Where words count more than meaning: there more of it keeps what is wrong (reworded Italian requests)."""
MEANING_SHARE: Final = 0.8
"""The encoder's part of the kernel where it knows the language."""
FOREIGN_SHARE: Final = 0.3
"""Where it does not: less, and words more."""
MOST_ROWS: Final = 3_000
"""Texts that are learned from; the matrix of more would take seconds and hundreds of megabytes."""
_BLOCK: Final = 4_096


@dataclass(frozen=True, slots=True)
class Texts:
    """What is learned from, a row a text: its unit vector, its lexical features, its candidate, its skill; and to which candidate
    each skill belongs."""

    vectors: Array
    features: Sequence[SparseVector]
    classes: Sequence[int]
    skills: Sequence[int]
    owners: Sequence[int]
    candidates: int


class KernelRidge:
    """Scores of candidates. ``left_out`` and ``group_left_out`` hold a line a text, as in :class:`ridge.Ridge`."""

    def __init__(self, texts: Texts, share: float) -> None:
        import numpy as np

        self.share = share
        self._skill_share = SKILL_SHARE if share >= MEANING_SHARE else FOREIGN_SKILL_SHARE
        self._texts = texts
        self._owners = np.array(texts.owners)
        self._standing = _standing(texts.features)
        inverse = np.linalg.inv(self._matrix() + STRENGTH * np.eye(len(texts.classes)))
        own, skills = np.eye(texts.candidates)[list(texts.classes)], np.eye(len(texts.owners))[list(texts.skills)]
        both = np.hstack([own, skills])
        weights = inverse @ both
        self._weights = weights.astype(np.float32)
        self.left_out: Matrix = self._mixed(both - weights / np.diag(inverse)[:, None]).tolist()
        self.group_left_out: Matrix = self._without_groups(inverse, weights).tolist()

    def scores(self, vector: Sequence[float] | Array, features: SparseVector) -> tuple[Array, Array]:
        """One score a candidate, and how like each text it is."""
        import numpy as np

        cosines = self._texts.vectors @ np.asarray(vector, np.float32)
        kernel = self.share * np.exp(SHARPNESS * (cosines - 1.0))
        found = [(self._standing[feature], value) for feature, value in features.items()]
        if found:
            rows = np.concatenate([rows for (rows, _), _ in found])
            values = np.concatenate([values * value for (_, values), value in found])
            kernel += (1 - self.share) * np.bincount(rows, values, minlength=len(kernel))
        return self._mixed((kernel.astype(np.float32) @ self._weights)[None, :])[0], kernel

    @property
    def size(self) -> int:
        """How many numbers a vector has."""
        return int(self._texts.vectors.shape[1])

    def accuracy(self) -> float:
        """How many left-out texts score best for their own candidate, 0..1."""
        import numpy as np

        return float((np.array(self.left_out).argmax(axis=1) == np.array(self._texts.classes)).mean())

    def _matrix(self) -> Array:
        import numpy as np

        texts = self._texts
        cosines = (texts.vectors @ texts.vectors.T).astype(np.float64)
        kernel: Array = self.share * np.exp(SHARPNESS * (cosines - 1.0))
        for block in _blocks(texts.features, len(self._standing)):
            kernel += (1 - self.share) * (block @ block.T)
        return kernel

    def _mixed(self, columns: Array) -> Array:
        """A line a text, of one column a candidate and then one a skill: both views of each candidate in one."""
        import numpy as np

        count = self._texts.candidates
        best = np.full((len(columns), count), -np.inf, columns.dtype)
        for skill, owner in enumerate(self._owners):
            np.maximum(best[:, owner], columns[:, count + skill], out=best[:, owner])
        mixed: Array = (1 - self._skill_share) * columns[:, :count] + self._skill_share * best
        return mixed

    def _without_groups(self, inverse: Array, weights: Array) -> Array:
        import numpy as np

        classes = np.array(self._texts.classes)
        found = np.zeros((len(classes), self._texts.candidates))
        for candidate in range(self._texts.candidates):
            rows = np.flatnonzero(classes == candidate)
            if len(rows):
                predicted = -np.linalg.solve(inverse[np.ix_(rows, rows)], weights[rows])
                found[rows] = self._mixed(predicted)
                found[rows, candidate] = 0.0
        return found


def _standing(features: Sequence[SparseVector]) -> list[tuple[Array, Array]]:
    """In which rows each feature stands, and with which weight. Every feature of a vocabulary stands in one at least."""
    import numpy as np

    found: dict[int, tuple[list[int], list[float]]] = {}
    for row, vector in enumerate(features):
        for feature, value in vector.items():
            rows, values = found.setdefault(feature, ([], []))
            rows.append(row)
            values.append(value)
    return [(np.array(found[f][0]), np.array(found[f][1])) for f in range(len(found))]


def _blocks(features: Sequence[SparseVector], width: int) -> Any:
    """The features of all rows, some columns at a time, so that what is held stays small."""
    import numpy as np

    for start in range(0, width, _BLOCK):
        block = np.zeros((len(features), min(_BLOCK, width - start)))
        for row, vector in enumerate(features):
            for feature, value in vector.items():
                if start <= feature < start + _BLOCK:
                    block[row, feature - start] = value
        yield block
