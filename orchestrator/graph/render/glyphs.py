"""How wide a text is drawn, by rule of thumb: the fonts of the reader are not known here."""

from __future__ import annotations

import unicodedata
from typing import Final

_NARROW: Final = frozenset("iljtfrI.,:;|!'`()[]{}/\\-\" ")
_BROAD: Final = frozenset("mwMW@%&")


def text_width(text: str, size: float) -> float:
    """Pixels that ``text`` takes at most in a usual sans-serif font of ``size`` pixels."""
    return sum(map(_share, text)) * size


def fitted(text: str, size: float, room: float) -> str:
    """``text`` on one line, cut with an ellipsis where it is wider than ``room`` pixels."""
    line = " ".join(text.split())
    if text_width(line, size) <= room:
        return line
    left = room - size
    for index, character in enumerate(line):
        left -= _share(character) * size
        if left < 0:
            return line[:index].rstrip() + "…"
    return line


def _share(character: str) -> float:
    if character in _NARROW:
        return 0.36
    if character in _BROAD:
        return 0.92
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    return 0.68 if character.isupper() else 0.58
