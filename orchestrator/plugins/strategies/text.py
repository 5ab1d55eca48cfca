"""Texts cut into the words that strategies learn from."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.core.conditions import shortened
from orchestrator.core.words import UNSPACED, fold

__all__ = ["LONGEST_TEXT", "fold", "numbers_alike", "shortened", "words_of"]

LONGEST_TEXT: Final = 4_000
"""Characters of a request that what was learned is asked about; a router needs no more, and its time stays bounded."""

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_PLAIN_WORD = re.compile("[a-z0-9]+")
_NUMBER = re.compile(r"\d+")


def words_of(text: str) -> list[str]:
    """The folded words of the first :data:`LONGEST_TEXT` characters, in order: runs of letters and digits, and in scripts without
    spaces each letter: what is learned of pairs of words is learned of pairs of letters then."""
    folded = fold(text[:LONGEST_TEXT])
    return (_PLAIN_WORD if folded.isascii() else _WORD).findall(folded)


def numbers_alike(words: str) -> str:
    """The same with each number as ``0``."""
    return _NUMBER.sub("0", words)
