"""Cuts Markdown and text into passages: one a heading, long ones at paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 1500
"""Characters of a passage: small models read about three of them."""
_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)[ \t#]*$")
_FENCE: Final = re.compile(r" {0,3}(```|~~~)")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, and the headings that it stands under: ``Returns > Costs``."""

    heading: str
    text: str


def passages(document: str) -> list[Passage]:
    """The passages of a document, in order; sections without text give none."""
    return [
        Passage(heading, piece) for heading, lines in _sections(document) for piece in _pieces("\n".join(lines).strip())
    ]


def _sections(document: str) -> Iterator[tuple[str, list[str]]]:
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in document.splitlines():
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1] == fence):
            fence = "" if fence else mark[1]
        heading = None if fence else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield " > ".join(title for _, title in path), lines
        level, lines = len(heading[1]), []
        path = [(depth, title) for depth, title in path if depth < level] + [(level, heading[2])]
    yield " > ".join(title for _, title in path), lines


def _pieces(text: str) -> Iterator[str]:
    """Whole paragraphs up to the limit; a longer paragraph is cut at blanks."""
    gathered = ""
    for paragraph in re.split(r"\n\s*\n", text):
        for part in _cut(paragraph.strip()):
            if gathered and len(gathered) + len(part) > LONGEST:
                yield gathered
                gathered = ""
            gathered = f"{gathered}\n\n{part}" if gathered else part
    if gathered:
        yield gathered


def _cut(text: str) -> Iterator[str]:
    while len(text) > LONGEST:
        at = text.rfind(" ", LONGEST // 2, LONGEST)
        at = LONGEST if at < 0 else at
        yield text[:at].rstrip()
        text = text[at:].lstrip()
    if text:
        yield text
