"""The tokens of BERT models: words and signs, cut greedily into the longest pieces of a vocabulary (Wu et al., 2016).

As the ``BertTokenizer`` of its authors, for the texts of a router: control characters go, letters of Chinese stand alone,
and where ``lower`` case is folded and accents are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

UNKNOWN: Final = "[UNK]"
FIRST: Final = "[CLS]"
LAST: Final = "[SEP]"
_LONGEST_WORD: Final = 100
_RUN: Final = re.compile(r"\S+")
_REMEMBERED: Final = 5_000
_CHINESE: Final = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Reads texts in the pieces of a vocabulary. Raises ``KeyError`` for one without BERT's special tokens."""

    def __init__(self, pieces: list[str], *, lower: bool = True) -> None:
        self._numbers = {piece: number for number, piece in enumerate(pieces)}
        self._lower = lower
        self._first, self._last = self._numbers[FIRST], self._numbers[LAST]
        self._unknown = self._numbers[UNKNOWN]
        self._memo: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of_file(cls, path: Path, *, lower: bool = True) -> WordPiece:
        """Of a ``vocab.txt``: one piece a line."""
        return cls(path.read_text(encoding="utf-8").split("\n"), lower=lower)

    def numbers(self, text: str, most: int) -> list[int]:
        """At most ``most`` numbers, the special ones at both ends included; what is longer is cut."""
        found = [self._first]
        for word in self._words(text):
            found.extend(self._pieces(word))
            if len(found) >= most - 1:
                break
        return [*found[: most - 1], self._last]

    def read_of(self, text: str, most: int) -> int:
        """How many characters of the text go into so many numbers; of a word that does not go in whole, its share."""
        left = most - 2
        if len(text) <= left:
            return len(text)  # a piece has one character at least
        for found in _RUN.finditer(text):
            pieces = sum(len(self._pieces(word)) for word in self._words(found[0]))
            if pieces > left:
                return found.start() + len(found[0]) * left // pieces
            left -= pieces
        return len(text)

    def known_share(self, texts: Iterable[str]) -> float:
        """Which share of the words of some texts stand in the vocabulary as one piece; 1 of no words."""
        cuts = [self._pieces(word) for text in texts for word in self._words(text)]
        return sum(len(cut) == 1 and cut[0] != self._unknown for cut in cuts) / len(cuts) if cuts else 1.0

    def _words(self, text: str) -> Iterator[str]:
        for word in _cleaned(text).split():
            yield from _at_signs(self._folded(word))

    def _folded(self, word: str) -> str:
        if not self._lower:
            return word
        flat = unicodedata.normalize("NFD", word.lower())
        return "".join(sign for sign in flat if unicodedata.category(sign) != "Mn")

    def _pieces(self, word: str) -> tuple[int, ...]:
        found = self._memo.get(word)
        if found is None:
            if len(self._memo) >= _REMEMBERED:
                self._memo.clear()
            found = self._memo[word] = self._cut(word)
        return found

    def _cut(self, word: str) -> tuple[int, ...]:
        if len(word) > _LONGEST_WORD:
            return (self._unknown,)
        numbers: list[int] = []
        start = 0
        while start < len(word):
            end, number = self._longest(word, start)
            if number is None:
                return (self._unknown,)
            numbers.append(number)
            start = end
        return tuple(numbers)

    def _longest(self, word: str, start: int) -> tuple[int, int | None]:
        """Where the longest piece that begins here ends, and its number; ``None`` where there is none."""
        before = "##" if start else ""
        for end in range(len(word), start, -1):
            number = self._numbers.get(before + word[start:end])
            if number is not None:
                return end, number
        return start, None


def _cleaned(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_clean, text))


def _clean(sign: str) -> str:
    if sign in "\t\n\r":
        return " "
    if sign in "\0\ufffd" or unicodedata.category(sign)[0] == "C":
        return ""
    return f" {sign} " if any(low <= ord(sign) <= high for low, high in _CHINESE) else sign


def _at_signs(word: str) -> Iterator[str]:
    """The word, cut at each sign that is no letter and no digit; such a sign is a word itself."""
    start = 0
    for at, sign in enumerate(word):
        if _is_punctuation(sign):
            if start < at:
                yield word[start:at]
            yield sign
            start = at + 1
    if start < len(word):
        yield word[start:]


def _is_punctuation(sign: str) -> bool:
    code = ord(sign)
    if code < 128:
        return not sign.isalnum() and 33 <= code <= 126
    return unicodedata.category(sign)[0] == "P"
