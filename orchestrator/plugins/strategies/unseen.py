"""What was learned, looked at as if a text had not been learned from: for the calibration, and for tests of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from orchestrator.plugins.strategies.features import Vocabulary, plain_words
from orchestrator.plugins.strategies.ridge import Matrix
from orchestrator.plugins.strategies.rows import Row
from orchestrator.plugins.strategies.text import words_of


class Unseen:
    """Left-out scores and known words by text. ``tried`` are the rows that the lines of both matrices are of."""

    def __init__(self, rows: Sequence[Row], tried: Sequence[int], left_out: Matrix, group_left_out: Matrix) -> None:
        self._rows = rows
        self._lines = (left_out, group_left_out)
        self._places = {_key(rows[row].candidate, rows[row].text): at for at, row in enumerate(tried)}
        self._words: Counter[str] = Counter()
        self._own: dict[str, Counter[str]] = {}
        for row in rows:
            found = set(plain_words(row.text))
            self._words.update(found)
            self._own.setdefault(row.candidate, Counter()).update(found)

    def scores(self, text: str, of: str, *, whole: bool) -> list[float] | None:
        """One score a candidate had this text of ``of`` not been there, or (``whole``) nothing of ``of``."""
        place = self._places.get(_key(of, text))
        return None if place is None else self._lines[whole][place]

    def known(self, text: str, of: str, vocabulary: Vocabulary, *, whole: bool) -> float:
        """The share of its words that the other texts know, or (``whole``) those of other candidates."""
        own = self._own[of]
        return vocabulary.known_share(
            plain_words(text), lambda word: self._words[word] > (own[word] if whole else min(own[word], 1))
        )


def _key(candidate: str, text: str) -> tuple[str, str]:
    return candidate, " ".join(words_of(text))
