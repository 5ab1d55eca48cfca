"""Placeholders as a model may write them: in small letters (``[email_1]``), and as Markdown escapes signs (``\\[EMAIL\\_1\\]``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from typing import Final

LONGEST: Final = 200
"""Characters of one, with as many strokes as JSON makes of those of Markdown."""
_STROKES: Final = r"\\{0,2}"
_NAME: Final = rf"(?:[A-Za-z0-9]|{_STROKES}_){{1,64}}{_STROKES}_[0-9]{{1,6}}"
_BRACKETED: Final = re.compile(rf"{_STROKES}\[{_NAME}{_STROKES}\]")
_BARE: Final = re.compile(rf"(?<![A-Za-z0-9_]){_NAME}(?![A-Za-z0-9_])")
_BEGINNING: Final = re.compile(rf"\[(?:[A-Za-z0-9]|{_STROKES}_){{0,72}}{_STROKES}")
_INDEXED: Final = re.compile(r"[\w)\]]")
"""What a program has before the brackets of an index."""


def written_in(text: str) -> Iterator[tuple[int, int, str]]:
    """Where something reads like a placeholder, with how one of ours is written. Strokes before it are its own where others are in
    it, which ours has not."""
    for found in _BRACKETED.finditer(text) if "[" in text else ():
        bracket = text.index("[", found.start())
        escaped = "\\" in text[bracket : found.end()]
        yield found.start() if escaped else bracket, found.end(), _as_ours(found[0])


def put_back(text: str, known: Container[str], value_of: Callable[[str], str], after: str) -> tuple[str, list[str]]:
    """The text with values in the place of the ``known`` placeholders that surely stand there, and those of which only the name
    stands in it: without its brackets, or in small letters as the index of a program. ``after`` is what stands before it."""
    parts: list[str] = []
    rest: list[str] = []
    at = 0
    for begin, end, ours in written_in(text):
        indexed = _INDEXED.fullmatch(text[begin - 1] if begin else after[-1:])
        if ours in known and (text[begin:end] == ours or not indexed):
            parts += [text[at:begin], value_of(ours)]
            rest.append(text[at:begin])
            at = end
    rest.append(text[at:])
    bare = (f"[{_as_ours(found[0])}]" for piece in rest if "_" in piece for found in _BARE.finditer(piece))
    return "".join([*parts, text[at:]]), [each for each in dict.fromkeys(bare) if each in known]


def may_begin(text: str) -> int:
    """Where a text that comes in pieces ends in what may be the beginning of a placeholder; its length where it does not."""
    at = text.rfind("[", max(0, len(text) - LONGEST))
    if at >= 0 and _BEGINNING.fullmatch(text, at):
        return _before_strokes(text, at)
    return _before_strokes(text, len(text))


def _before_strokes(text: str, at: int) -> int:
    return at - len(text[max(0, at - 2) : at]) + len(text[max(0, at - 2) : at].rstrip("\\"))


def _as_ours(written: str) -> str:
    return written.replace("\\", "").upper()
