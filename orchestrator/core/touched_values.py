"""Known values of several words in a text where letters touch them: the first word ends another one ("xAnna Rossi"), or the last
begins one ("Anna Rossinis"), as where a text has a value twice in a row.

A value is looked for so only where it is too long to stand there by accident, as long as one that is found within a single word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from orchestrator.core.glued_values import FEWEST_WITHIN, MOST_REMEMBERED
from orchestrator.core.marks import Mark

_WORD: Final = re.compile(r"[^\W_]+")
_CODED: Final = "%&"
"""What writes a sign by letters and digits: those stand before the next word then."""
_KEY: Final = 2
Looked = dict[str, list[tuple[re.Pattern[str], str]]]
"""By how the second word of a value begins: patterns that begin with the first one, and the field."""


class TouchedValues:
    """By the first two words of each. Which first one a word of a text ends with is found once for each different word."""

    __slots__ = ("_by_first", "_longest", "_seen")

    def __init__(self) -> None:
        self._by_first: dict[str, Looked] = {}
        self._longest = 0
        self._seen: dict[str, list[tuple[int, Looked]]] = {}

    def learn(self, words: list[str], between: Iterable[str], field: str) -> bool:
        """The words of a value, and patterns of what may stand after each but the last. Whether it is long enough."""
        if len(words) < 2 or sum(map(len, words)) < FEWEST_WITHIN:
            return False
        pattern = "".join(f"{re.escape(word)}{after}" for word, after in zip(words, (*between, ""), strict=True))
        compiled = re.compile(f"(?i){pattern}")
        for first in {words[0].casefold(), words[0].lower()}:
            looked = self._by_first.setdefault(first, {})
            for second in {words[1].casefold()[:_KEY], words[1].lower()[:_KEY]}:
                looked.setdefault(second, []).append((compiled, field))
            self._longest = max(self._longest, len(first))
        self._seen.clear()
        return True

    def found(self, text: str) -> Iterator[Mark]:
        """Where they stand in a text."""
        words = set(_WORD.findall(text)) if self._by_first else set()
        if len(self._seen) + len(words) > MOST_REMEMBERED:
            self._seen.clear()
        for word in words - self._seen.keys():
            self._seen[word] = list(self._ends(word))
        held = {word: ends for word in words if (ends := self._seen[word])}
        every = [*_WORD.finditer(text)] if held else []
        for word, following in pairwise(every):
            for at, looked in held.get(word[0], ()):
                for pattern, field in _begun(looked, text[word.end()], following[0][:_KEY]):
                    match = pattern.match(text, word.start() + at)
                    if match is not None:
                        yield *match.span(), field

    def _ends(self, word: str) -> Iterator[tuple[int, Looked]]:
        lower = next((each for each in (word.casefold(), word.lower()) if len(each) == len(word)), word)
        for at in range(max(0, len(word) - self._longest), len(word)):
            looked = self._by_first.get(lower[at:])
            if looked is not None:
                yield at, looked


def _begun(looked: Looked, sign: str, second: str) -> Iterator[tuple[re.Pattern[str], str]]:
    """What may go on with this sign and the word that begins so."""
    if sign in _CODED:
        keys: Iterable[str] = looked
    else:
        keys = {key for each in (second.casefold(), second.lower()) for key in (each[:_KEY], each[:1])}
    for key in keys:
        yield from looked.get(key, ())
