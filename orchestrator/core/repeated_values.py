"""Short values of named fields, where a text repeats what a tool wrote around them.

A value as "no" or "41" cannot be looked for by itself: it stands in most texts by accident. It is found where it stands between the
same words and signs as in what the tool gave: "1 | Anna | no" is one row wherever it is quoted, also where only a part of it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from orchestrator.core.marks import Mark

_NEAR: Final = 80
"""Characters of the next word that tell a value, and as many signs and spaces before it. Of a longer word, as a digest or a key,
its end tells what stands behind it, and its beginning what stands before it."""
_BEFORE: Final = re.compile(rf"([^\W_]{{1,{_NEAR}}})([\W_]{{1,{_NEAR}}})\Z")
_AFTER: Final = re.compile(rf"([\W_]{{1,{_NEAR}}})([^\W_]{{1,{_NEAR}}})")
_SPACE: Final = re.compile(r"\s+")
_WORD: Final = re.compile(r"[^\W_]+")
Quote = tuple[str, int, int, str]
"""A piece of a tool's text, where in it the value begins and ends, and its field."""


class RepeatedValues:
    """By the first word (the end of a long one), its length and that of the piece, so that a text is read once. ``count`` grows
    with each new one."""

    __slots__ = ("_known", "count")

    def __init__(self) -> None:
        self._known: dict[str, _Pieces] = {}
        self.count = 0

    def learn(self, text: str, marks: Sequence[Mark]) -> None:
        """What stands at the marks of a tool's text, each with the next word before and behind it. Where only spaces part them,
        as in a sentence, both are needed."""
        for at, until, field in marks:
            value = text[at:until].strip()
            if not _WORD.search(value):
                continue  # nothing that says anything
            begin = text.index(value, at)
            end = begin + len(value)
            for first, last in _pieces(text, begin, end):
                before, within = _spaced(text[first:begin])[0], _spaced(value)[0]
                piece = before + within + _spaced(text[end:last])[0]
                self.add((piece, len(before), len(before) + len(within), field))

    def add(self, quote: Quote) -> None:
        """One piece; it begins with a word."""
        first = _WORD.match(quote[0])
        if first is None:
            return
        pieces = self._known.setdefault(first[0][-_NEAR:], {}).setdefault((len(first[0]), len(quote[0])), {})
        marks = pieces.setdefault(quote[0], set())
        self.count += quote[1:] not in marks
        marks.add(quote[1:])

    def found(self, text: str) -> Iterator[Mark]:
        """Where they stand in a text."""
        if not self._known:
            return
        spaced, places = _spaced(text)
        for word in _WORD.finditer(spaced):
            for (lead, length), pieces in self._known.get(word[0][-_NEAR:], _NONE).items():
                at = word.end() - lead
                if at < word.start() or (at > word.start() and lead != _NEAR):
                    continue  # another word that ends alike
                marks = pieces.get(spaced[at : at + length])
                if marks is not None and not _touches(spaced, at, at + length):
                    yield from ((places[at + begin], places[at + end - 1] + 1, field) for begin, end, field in marks)

    def as_json(self) -> list[list[Any]]:
        """A plain form; each is what ``add`` takes."""
        known = (pieces for by_length in self._known.values() for pieces in by_length.values())
        return [[piece, *mark] for pieces in known for piece, marks in pieces.items() for mark in sorted(marks)]


_Pieces = dict[tuple[int, int], dict[str, set[Mark]]]
"""A piece may tell both its first word and its last."""
_NONE: Final[_Pieces] = {}


def tells(text: str, begin: int, end: int, part: tuple[int, int]) -> bool:
    """Whether a part of a text, in which the value stands that begins and ends there, holds what it is known by when it is found
    again: one of its pieces, where it has any."""
    value = text[begin:end].strip()
    if not _WORD.search(value):
        return True
    begin = text.index(value, begin)
    pieces = [*_pieces(text, begin, begin + len(value))]
    return not pieces or any(part[0] <= first and last <= part[1] for first, last in pieces)


def _pieces(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of a text begin and end that tell this value."""
    before = _BEFORE.search(text[max(0, begin - 2 * _NEAR) : begin])
    after = _AFTER.match(text[end : end + 2 * _NEAR])
    first = begin - len(before[0]) if before else begin
    last = end + len(after[0]) if after else end
    parted = before is not None and _parts(before[2]), after is not None and _parts(after[1])
    if parted[0]:
        yield first, end
    if parted[1] and _WORD.match(text, begin):
        yield begin, last
    if before and after and not any(parted):
        yield first, last


def _parts(between: str) -> bool:
    """Whether there is more than spaces between two words: a sign, or the end of a line."""
    return bool(between.strip()) or "\n" in between


def _touches(text: str, begin: int, end: int) -> bool:
    """Whether a word goes on where a piece ends, unless the piece holds only the beginning of a long one."""
    goes_on = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return goes_on and not (end - begin > _NEAR and _WORD.fullmatch(text, end - _NEAR, end))


def _spaced(text: str) -> tuple[str, Sequence[int]]:
    """The same with one space, or one line end, where there are several; and where each character of it was."""
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for space in _SPACE.finditer(text):
        pieces += (text[at : space.start()], "\n" if "\n" in space[0] else " ")
        places += range(at, space.start() + 1)
        at = space.end()
    if not pieces:
        return text, range(len(text))
    places += range(at, len(text))
    return "".join([*pieces, text[at:]]), places
