"""Numbers of cards in a text (Luhn, ISO/IEC 7812-1), however their groups stand apart.

One number in ten passes Luhn, and a long list of numbers holds hundreds of windows of 16 digits. So a number in several groups is
taken where it begins and is as long as those of a card, and either is grouped as it is printed, or stands alone: ``card_groups``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from orchestrator.core.card_groups import in_odd_groups, in_one_list
from orchestrator.core.card_schemes import FEWEST, MOST, is_card_in_print, luhn, step_by_step
from orchestrator.core.plain_signs import APART, CELLS, MOST_APART, WIDER, Span, plain

_GROUPS: Final = re.compile(rf"\d+(?:[{APART}]{{1,{MOST_APART}}}\d+)*")
MOST_GROUPS: Final = 5
"""Of four digits or more but for the last, in a card number of at most 19."""
_PRINTED: Final = {(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4)}
"""The groups of a card as it is printed: those of one country or one shop too, however they begin."""
_COLUMNS: Final = re.compile(rf"\d(?<![^\W_]\d)\d*(?:{CELLS}\d+)+(?![^\W_])")
_DIGITS: Final = re.compile(r"\d+")


def cards(text: str) -> Iterator[Span]:
    """Groups of digits that follow one another: any of them may be where the number begins, if it is grouped as one."""
    text = plain(text)
    for found in _GROUPS.finditer(text):
        if len(found[0]) >= FEWEST:
            groups = [(each.start(), each[0]) for each in _DIGITS.finditer(text, *found.span())]
            for first in (place for place, (_, digits) in enumerate(groups) if len(digits) >= 4):
                yield from _cards_from(text, groups[first : first + MOST_GROUPS])
            for begin, end in in_odd_groups(text, groups):
                yield begin, end, "card"
    yield from _cards_in_columns(text)


def _cards_from(text: str, groups: Sequence[tuple[int, str]]) -> Iterator[Span]:
    begin = end = groups[0][0]
    digits, signs, taken = "", set[str](), list[str]()
    alone = not text[max(0, begin - 1) : begin].isalnum()
    for start, group in groups:
        if start > end:
            signs.add(text[end:start])
        digits, end = digits + group, start + len(group)
        taken.append(group)
        if len(digits) > MOST:
            return
        if len(digits) >= FEWEST and len(group) > 1 and luhn(digits):
            whole = alone and not text[end : end + 1].isalnum()
            if _known(taken, signs) or (whole and _as_printed(taken, signs)):
                yield begin, end, "card"
        if len(group) < 4:  # all groups but the last have four digits or more
            return


def _known(groups: Sequence[str], signs: set[str]) -> bool:
    """One that begins as a card does. In groups of other sizes than the printed ones the same signs part all: rows of a table hold
    windows by the hundred."""
    grouped = len(signs) <= 1 or tuple(map(len, groups)) in _PRINTED
    return grouped and is_card_in_print(groups)


def _as_printed(groups: Sequence[str], signs: set[str]) -> bool:
    """One that begins as no card of the world does: years and numbers in a row are none."""
    if len(groups) == 1:
        return len(groups[0]) > FEWEST
    return (
        tuple(map(len, groups)) in _PRINTED
        and signs in ({" "}, {"-"})
        and groups[0][:2] not in ("19", "20")
        and not step_by_step(groups)
    )


def _cards_in_columns(text: str) -> Iterator[Span]:
    for found in _COLUMNS.finditer(text):
        if len(found[0]) >= 16 and WIDER.search(found[0]):
            groups = [each.span() for each in _DIGITS.finditer(found[0])]
            for first, after in _printed(found[0], groups):
                yield found.start() + groups[first][0], found.start() + groups[after - 1][1], "card"
            if in_one_list(found[0], groups):
                yield found.start(), found.end(), "card"


def _printed(text: str, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Which groups are those of a card, by the first and the one behind the last. Groups of four digits are where all that stand in
    a row are those of cards, or where the same signs part them and others stand around: years and prices are not."""
    groups = [text[begin:end] for begin, end in places]
    at = 0
    while at < len(groups):
        end = next((place for place in range(at, len(groups)) if len(groups[place]) != 4), len(groups))
        quads = [(first, first + 4) for first in range(at, end, 4)] if (end - at) % 4 == 0 else []
        long, short = groups[at : end + 1], groups[max(at, end - 1) : end + 2]
        if tuple(map(len, long)) == (4, 4, 4, 4, 3) and is_card_in_print(long):
            yield at, end + 1
        elif quads and all(is_card_in_print(groups[first:after]) for first, after in quads):
            yield from quads
        elif tuple(map(len, short)) in ((4, 6, 5), (4, 6, 4)) and is_card_in_print(short):
            yield end - 1, end + 2
        else:
            yield from _alone(text, places, at, end)
        at = max(end, at + 1)


def _alone(text: str, places: Sequence[tuple[int, int]], at: int, end: int) -> Iterator[tuple[int, int]]:
    """Four groups of four that the same signs part, and beside them none that these part too, but for a year."""
    signs = [
        text[places[each - 1][1] : places[each][0]] if each else "" for each in range(at, min(end + 1, len(places)))
    ]
    signs += [""] * (end - at + 1 - len(signs))
    groups = [text[begin:stop] for begin, stop in places[at:end]]
    years = [group[:2] in ("19", "20") for group in groups]
    for first in range(len(groups) - 3):
        within = set(signs[first + 1 : first + 4])
        before = first > 0 and not years[first - 1] and signs[first] in within
        behind = first + 4 < len(groups) and not years[first + 4] and signs[first + 4] in within
        alone = len(within) == 1 and not before and not behind and sum(years[first : first + 4]) < 2
        if alone and is_card_in_print(groups[first : first + 4]):
            yield at + first, at + first + 4
