"""Quotes that people and models write, and JSON does not know: typographic ones, backticks, and two for one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PAIRS: Final = {
    "\u201c": "\u201d",  # as in English
    "\u201d": "\u201d",  # as in Swedish
    "\u201e": "\u201c\u201d",  # as in German, as in Polish
    "\u201f": "\u201d",
    "\u00ab": "\u00bb",  # as in Italian and French
    "\u00bb": "\u00ab\u00bb",
    "\u2018": "\u2019",
    "\u2019": "\u2019",
    "\u201a": "\u2018\u2019",
    "\u201b": "\u2019",
    "\u2039": "\u203a",
    "\u203a": "\u2039\u203a",
    "\u2032": "\u2032",
    "\u2033": "\u2033",
    "\u300c": "\u300d",  # as in Japanese
    "\u300e": "\u300f",
    "\u301d": "\u301e\u301f",
    "\uff02": "\uff02",  # of full width
    "\uff07": "\uff07",
    "`": "`",
    "\u00b4": "\u00b4",
}
"""What each begins with, and what may end it."""
QUOTES: Final = "".join(sorted({*_PAIRS, *"".join(_PAIRS.values())}))
"""All of them."""
_SINGLE: Final = "\u2018\u2019\u201a\u201b\u2039\u203a\uff07"
_STRAIGHT: Final = str.maketrans(
    {each: "'" if each in _SINGLE else '"' for each in QUOTES if each not in "`\u00b4\u2032\u2033"}
)
_APOSTROPHES: Final = "'\u2018\u2019\u201b\u2032\uff07`\u00b4"
_FURTHER: Final = 1_000
"""Characters that are looked at for an end behind the first quotes that may be it."""
_BEGINS: Final = re.compile(rf"\s[{QUOTES}]+\w")
"""Quotes that begin a word rather than end one."""
_TWO: Final = re.compile(r"([\"'])\1\w")
_ENDS: Final = re.compile(r"[^\S\n]*(?:[\n,;:.}\])]|$)")
"""What stands behind the end of a value."""


@lru_cache(maxsize=1)
def straight(text: str) -> str:
    """A text of the same length with the quotes of JSON in the place of typographic ones."""
    return text if text.isascii() else text.translate(_STRAIGHT)


def opening(text: str, at: int) -> str:
    """The quotes that begin a text at this place: one of them, or several of the same. Two that could be its beginning and its end
    are an empty text, unless a word follows; one straight one is left to who knows JSON."""
    sign = text[at : at + 1]
    if sign in ('"', "'"):
        return sign * 2 if _TWO.match(text, at) else ""
    end = at
    while sign in _PAIRS and text.startswith(sign, end):
        end += 1
    nothing = end == at + 2 and sign in _PAIRS[sign] and not text[end : end + 1].isalnum()
    return sign if nothing else text[at:end]


def end_of_quoted(text: str, at: int, opened: str) -> int | None:
    """Where the text that begins at this place ends: before the first quotes of its kind that no other is opened for, of several in
    one line those that the end of a value stands behind. ``None`` where there are none."""
    depth, first, last = 0, None, len(text)
    for quote in _quotes_of(opened).finditer(text, at):
        if quote.start() > last:
            break
        if _within_word(text, *quote.span()):
            continue
        if quote[1] is None or (quote[0][0] in _PAIRS and _BEGINS.match(text, quote.start() - 1)):
            depth += 1
        elif depth:
            depth -= 1
        elif _ENDS.match(text, quote.end()):
            return quote.start()
        elif first is None:
            first, last = quote.start(), text.find("\n", quote.end(), quote.end() + _FURTHER)
            last = last if last >= 0 else first + _FURTHER
    return first


@lru_cache(maxsize=64)
def _quotes_of(opened: str) -> re.Pattern[str]:
    """The first group finds what ends it, the rest what begins another."""
    sign, size = opened[0], len(opened)
    ends = "|".join(re.escape(each * size) for each in _PAIRS.get(sign, sign))
    return re.compile(f"({ends})|{re.escape(sign)}")


def _within_word(text: str, start: int, end: int) -> bool:
    """As an apostrophe is."""
    return text[start] in _APOSTROPHES and text[start - 1].isalnum() and text[end : end + 1].isalnum()
