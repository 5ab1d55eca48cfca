"""Card numbers in groups that no card is printed in (``4 1 1 1 …``, ``411 111-111 …``): found where such a number stands alone.

It is all that stands in its row, line or list, but for a few groups before it (what it is the first of) or behind it (month, year,
code), from which other signs part it, or other sizes of groups. A row or table of other numbers seldom has just that many digits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from orchestrator.core.card_schemes import FEWEST, MOST, is_card

Groups = Sequence[tuple[int, str]]
"""Where each group of digits begins, and its digits."""
Part = tuple[int, int]
"""The first group of a number, and the one behind its last."""

MOST_BEFORE = 2
MOST_BEHIND = 4
"""Further groups in the row of a number that stands alone."""
MOST_DIGITS_BESIDE = 10
MOST_KINDS = 4
"""Kinds of signs by which one list is parted."""
FEWEST_ALIKE = 4
"""Groups of one size in a row, which no table has often."""
FEWEST_IN_A_LIST = 15
"""Digits of a number that the signs of a list part: it is one of the common cards."""

_EXPIRY: Final = re.compile(r"(?:0?[1-9]|1[0-2]) (?:20)?[2-4]\d(?: \d{3,4})?")
"""Month and year, and the code of a card."""
_DECIMALS: Final = re.compile(r"(?:\d{1,3}\.\d{4,}(?:[^\d.]+|$))+")
"""Numbers with a decimal point: coordinates and measures."""
_WIDE: Final = re.compile(r"\s+")
_OF_MORE: Final = ":"
_JOINED_BEFORE: Final = re.compile(r"\d[:,]\Z")
_JOINED_BEHIND: Final = re.compile(r"[:,]\d")
"""The group at the edge is a part of a time or a price."""


def in_odd_groups(text: str, groups: Groups) -> Iterator[tuple[int, int]]:
    """Where such numbers begin and end, of all groups of one run."""
    begin, end = groups[0][0], groups[-1][0] + len(groups[-1][1])
    if len(groups) < 2 or _DECIMALS.fullmatch(text, begin, end):
        return
    kinds = [_kind(text[before + len(digits) : behind]) for (before, digits), (behind, _) in pairwise(groups)]
    edges = (
        _OF_MORE if _JOINED_BEFORE.search(text, max(0, begin - 2), begin) else "",
        _OF_MORE if _JOINED_BEHIND.match(text, end) else "",
    )
    run = _Run([digits for _, digits in groups], [edges[0], *kinds, edges[1]])
    for first, after in {*run.alone(), *run.one_by_one(), *run.parts(), *run.stretches()}:
        yield groups[first][0], groups[after - 1][0] + len(groups[after - 1][1])


@dataclass(frozen=True, slots=True)
class _Run:
    """Groups of digits, and the kind of the signs before each and behind the last."""

    groups: Sequence[str]
    kinds: Sequence[str]

    def parts(self) -> list[Part]:
        """One in each line, or between other signs. It is a table of other numbers where fewer than half of the parts are cards."""
        kinds = self.kinds[1:-1]
        for kind in list(dict.fromkeys(kinds))[:MOST_KINDS] if len(set(kinds)) > 1 else ():
            ends = [place + 1 for place, each in enumerate(kinds) if each == kind]
            parts = [
                (first, self._of(first, after))
                for first, after in pairwise([0, *ends, len(self.groups)])
                if after - first > 1 and sum(map(len, self.groups[first:after])) >= FEWEST
            ]
            found = [(first, part.alone()) for first, part in parts]
            if 2 * sum(bool(each) for _, each in found) >= len(parts) > 0:
                return [(first + begin, first + end) for first, each in found for begin, end in each]
        return []

    def _of(self, first: int, after: int) -> _Run:
        return _Run(self.groups[first:after], ["", *self.kinds[first + 1 : after], ""])

    def one_by_one(self) -> list[Part]:
        """Cards from the first group to the last, one behind the other."""
        count = len(self.groups)
        before = {0: 0}  # where a card may end: where it began
        for first in range(count):
            if first in before:
                for after in self._ends(first):
                    before.setdefault(after, first)
        found: list[Part] = []
        after = count
        while after and after in before:
            found.append((before[after], after))
            after = before[after]
        return found[::-1]

    def _ends(self, first: int) -> Iterator[int]:
        for after in range(first + 1, min(len(self.groups), first + MOST) + 1):
            if is_card(self.groups[first:after]):
                yield after

    def stretches(self) -> list[Part]:
        """Groups of one size that the same signs part, between others; one of these may look like the first or the last of them."""
        found: list[Part] = []
        first = 0
        while first < len(self.groups):
            size, after = len(self.groups[first]), first + 1
            while self._goes_on(first, after) and len(self.groups[after]) == size:
                after += 1
            if after - first >= FEWEST_ALIKE:
                ends = range(after - 1, after + 1 + (self._goes_on(first, after) and len(self.groups[after]) < size))
                found += [(at, end) for at in (first, first + 1) for end in ends if is_card(self.groups[at:end])]
            first = after
        return found

    def _goes_on(self, first: int, at: int) -> bool:
        return at < len(self.groups) and self.kinds[at] == self.kinds[first + 1]

    def alone(self) -> list[Part]:
        """Each part that is a card, with no more beside it than may stand beside one: where two may be meant, both are taken."""
        count = len(self.groups)
        beside = sum(map(len, self.groups)) - FEWEST
        if count < 2 or beside < 0 or beside > MOST - FEWEST + MOST_DIGITS_BESIDE:
            return []
        return [
            (first, after)
            for first in range(min(MOST_BEFORE + 1, count))
            for after in range(count, max(first + 1, count - MOST_BEHIND - 1), -1)
            if is_card(self.groups[first:after]) and self._parted(first, after)
        ]

    def _parted(self, first: int, after: int) -> bool:
        """From what stands beside it, on both sides."""
        groups, kinds = self.groups, self.kinds
        within, size = set(kinds[first + 1 : after]), _size(groups[first:after])
        if size and first <= 1 and after >= len(groups) - 1:
            return True  # groups of one size, with one more on a side: what it is the first of, or what comes next
        before = first == 0 or _apart(groups[first - 1], kinds[first], kinds[first - 1], within, size)
        behind = after == len(groups) or _apart(groups[after], kinds[after], kinds[after + 1], within, size)
        return before and (behind or bool(_EXPIRY.fullmatch(" ".join(groups[after:]))))


def _apart(beside: str, near: str, far: str, within: Collection[str], size: int) -> bool:
    """Whether the group beside a number is none of its own; between the two stand the signs ``near``, and on the group's other side
    those ``far``."""
    return (
        near not in within  # other signs part them than part its own groups
        or bool(size and len(beside) != size)  # its own are of one size, and that is of another
        or bool(
            far and far not in within
        )  # that is joined to something else on its far side: a time, a price, a number
    )


def in_one_list(text: str, places: Sequence[tuple[int, int]]) -> bool:
    """Whether groups of one size are a card, with the same signs between all: commas, bars, brackets. Thousands are none."""
    digits = [text[begin:end] for begin, end in places]
    signs = {text[end:begin] for (_, end), (begin, _) in pairwise(places)}
    total = sum(map(len, digits))
    if len(signs) != 1 or not FEWEST_IN_A_LIST <= total <= MOST or not (size := _size(digits)):
        return False
    thousands = size == 3 and len(digits[-1]) == 3 and signs == {","}
    return not thousands and is_card(digits)


def _size(groups: Sequence[str]) -> int:
    """Of all groups, of which the last may be shorter; 0 where they differ."""
    size = len(groups[0])
    return size if all(len(each) == size for each in groups[:-1]) and len(groups[-1]) <= size else 0


def _kind(signs: str) -> str:
    """What two places between groups have in common, however wide."""
    if "\n" in signs or "\r" in signs:
        return "\n"
    return signs if len(signs) == 1 else _WIDE.sub(" ", signs)
