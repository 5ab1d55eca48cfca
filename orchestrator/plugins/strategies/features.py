"""Sparse features of a text: words and word pairs, and letter groups inside words, weighted by tf-idf.

The weights are those of Salton and Buckley (1988), with sublinear term frequency ``1 + log tf`` and smoothed
``log((1 + n) / (1 + df)) + 1``. Each of the two blocks has half the weight, so that the product of two vectors is the mean
of the two blocks' cosines. Terms that no example has count in a text's length: the less of a request is known, the
shorter its vector and the lower every score. Numbers all read as ``0``, so that no order number is an unknown word.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from orchestrator.plugins.strategies.text import numbers_alike, words_of

GROUP_SIZES: Final = (3, 4, 5)
_HALF: Final = math.sqrt(0.5)
_REMEMBERED_WORDS: Final = 5_000
_LONGEST_WORD: Final = 50

SparseVector = dict[int, float]
_Terms = dict[str, tuple[int, float]]  # term -> its number and weight


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as features: its vector, and the share (0..1, weighted by rarity) of its words that the examples know."""

    vector: SparseVector
    known: float


class Vocabulary:
    """The terms of a set of texts with their weights; reads further texts in the same terms."""

    def __init__(self, texts: Sequence[str]) -> None:
        split = [plain_words(text) for text in texts]
        self._unknown = math.log(1 + len(split)) + 1
        self._words = _weighed((_pairs(words) for words in split), 0, len(split))
        self._groups = _weighed((_groups(words) for words in split), len(self._words), len(split))
        self._idf = [weight for table in (self._words, self._groups) for _, weight in table.values()]
        self._memo: dict[str, tuple[tuple[int, ...], int]] = {}

    @property
    def word_terms(self) -> int:
        """Features below this number are words and word pairs; the others are letter groups."""
        return len(self._words)

    def __len__(self) -> int:
        return len(self._idf)

    def read(self, text: str) -> Reading:
        """Its vector in known terms, and how much of it is known."""
        words = plain_words(text)
        pairs = _pairs(words)
        numbers = [self._words[term][0] for term in pairs if term in self._words]
        vector = self._block(numbers, len(pairs) - len(numbers))
        groups: list[int] = []
        unknown = 0
        for word in words:
            known, missing = self._groups_of_word(word)
            groups.extend(known)
            unknown += missing
        vector.update(self._block(groups, unknown))
        return Reading(vector, self.known_share(words, self._words.__contains__))

    def _block(self, numbers: list[int], unknown: int) -> SparseVector:
        idf = self._idf
        weights = {
            number: idf[number] if count == 1 else idf[number] * (1 + math.log(count))
            for number, count in Counter(numbers).items()
        }
        square = sum(weight * weight for weight in weights.values()) + unknown * self._unknown * self._unknown
        scale = _HALF / math.sqrt(square) if square else 0.0
        return {number: weight * scale for number, weight in weights.items()}

    def _groups_of_word(self, word: str) -> tuple[tuple[int, ...], int]:
        """The numbers of its known letter groups, and how many are unknown; remembered, as words come again."""
        found = self._memo.get(word)
        if found is None:
            if len(self._memo) >= _REMEMBERED_WORDS:
                self._memo.clear()
            terms = _groups_of(word)
            known = tuple(self._groups[term][0] for term in terms if term in self._groups)
            found = self._memo[word] = (known, len(terms) - len(known))
        return found

    def known_share(self, words: list[str], seen: Callable[[str], bool]) -> float:
        """The share (0..1, weighted by rarity) of different ``words`` that are ``seen``."""
        known = total = 0.0
        for word in dict.fromkeys(words):
            entry = self._words.get(word)
            weight = entry[1] if entry else self._unknown
            total += weight
            known += weight if entry and seen(word) else 0.0
        return known / total if total else 0.0


def plain_words(text: str) -> list[str]:
    """The words that features are made of: folded, cut, each number as ``0``."""
    return [numbers_alike(word[:_LONGEST_WORD]) for word in words_of(text)]


def _weighed(documents: Iterable[list[str]], first: int, count: int) -> _Terms:
    frequency: Counter[str] = Counter()
    for terms in documents:
        frequency.update(set(terms))
    return {
        term: (number, math.log((1 + count) / (1 + found)) + 1)
        for number, (term, found) in enumerate(sorted(frequency.items()), first)
    }


def _pairs(words: list[str]) -> list[str]:
    return [*words, *(f"{one} {two}" for one, two in pairwise(words))]


def _groups(words: list[str]) -> list[str]:
    return [group for word in words for group in _groups_of(word)]


def _groups_of(word: str) -> list[str]:
    padded = f" {word} "
    return [padded[start : start + size] for size in GROUP_SIZES for start in range(len(padded) - size + 1)]
