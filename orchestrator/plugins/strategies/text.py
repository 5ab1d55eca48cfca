"""Text made comparable: case and accents folded, cut into words."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST_TEXT: Final = 4_000
"""Characters of a request that word-based strategies read; a router needs no more, and its time stays bounded."""

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")


def fold(text: str) -> str:
    """Lower case without accents (NFKD, combining marks dropped)."""
    if text.isascii():
        return text.lower()
    flat = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in flat if not unicodedata.combining(char))


def words_of(text: str) -> list[str]:
    """The folded words of the first :data:`LONGEST_TEXT` characters, in order: runs of letters and digits."""
    return _WORD.findall(fold(text[:LONGEST_TEXT]))


def numbers_alike(words: str) -> str:
    """The same with each number as ``0``."""
    return _NUMBER.sub("0", words)


def shortened(text: str, length: int = 60) -> str:
    """On one line, cut at ``length`` characters, for explanations."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
