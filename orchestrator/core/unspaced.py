"""Scripts that put no space between words, or hang endings on them without one, and known values that are written in them.

In Chinese, Japanese, Korean and Thai nothing tells where a name ends: a value is found wherever its letters stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from orchestrator.core.marks import Mark

_EAST: Final = (
    "\u3005\u3040-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Chinese, Japanese and Korean, of which a letter is a syllable."""
_SOUTH: Final = "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1780-\u17d3"
"""Thai, Lao, Burmese and Khmer, with their signs of vowels."""
_LETTER: Final = re.compile(f"[{_EAST}{_SOUTH}]")
_SIGNS: Final = r"[ \u3000\u00b7\u2027\u30fb\uff65]"
"""What may stand between the names of a person."""
_RUN: Final = re.compile(f"[{_EAST}{_SOUTH}](?:{_SIGNS}?[{_EAST}{_SOUTH}])+")
_ONLY_EAST: Final = re.compile(f"[{_EAST}]+")
FEWEST: Final = 2
"""Letters of a value of syllables; of one of the other scripts one more."""


def letters_of(value: str) -> str:
    """Of a value that is written in such letters alone these, if there are enough of them; else nothing."""
    value = value.strip(" \t\r\n.,;:!?\u3002\u3001\uff0c\u300c\u300d()\uff08\uff09")
    if _RUN.fullmatch(value) is None:
        return ""
    letters = "".join(_LETTER.findall(value))
    return letters if len(letters) >= FEWEST + (_ONLY_EAST.fullmatch(letters) is None) else ""


class UnspacedValues:
    """By how each begins and how long it is: a text is read once, however many there are."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, dict[int, dict[str, str]]] = {}

    def learn(self, letters: str, field: str) -> None:
        """What ``letters_of`` gave of a value."""
        if letters:
            self._known.setdefault(letters[:FEWEST], {}).setdefault(len(letters), {}).setdefault(letters, field)

    def found(self, text: str) -> Iterator[Mark]:
        """Where they stand in a text."""
        if not self._known or text.isascii():
            return
        for run in _RUN.finditer(text):
            places = [at for at in range(*run.span()) if _LETTER.match(text, at)]
            letters = "".join(text[at] for at in places)
            for at in range(len(letters) - FEWEST + 1):
                for length, values in self._known.get(letters[at : at + FEWEST], _NONE).items():
                    field = values.get(letters[at : at + length])
                    if field is not None:
                        yield places[at], places[at + length - 1] + 1, field


_NONE: Final[dict[int, dict[str, str]]] = {}
