"""Which numbers are those of cards: by whose scheme they begin, how long they are, and their check digit (ISO/IEC 7812-1). Pure.

There are two questions of the same digits. :func:`is_card` is asked of groups that no card is printed in: any numbers in a row
may be such groups, so that only what a scheme gives out today counts. :func:`is_card_in_print` is asked of those of a printed card,
which few other numbers have: there all that the schemes may give out counts too, in any length that they had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

FEWEST, MOST = 12, 19
"""Digits of a card's number."""
FEWEST_RISING = 7
"""Groups that only rise or only fall, as no digits of a card do but one in thousands."""

_GIVEN_OUT: Final[Mapping[str, Sequence[int]]] = {
    "4": (13, 16, 19),  # Visa
    "5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720": (16,),  # Mastercard
    "3[47]": (15,),  # American Express
    "3(?:0[0-5]|[689])": (14, 16, 19),  # Diners Club
    "35(?:2[89]|[3-8])": (16, 17, 18, 19),  # JCB
    "6011|64[4-9]|65|62|81": (16, 17, 18, 19),  # Discover, UnionPay
    "50(?:18|20|38)|5612|5893|6304|6759|676[1-3]": range(12, 20),  # Maestro
    "50|5[6-8]|6": (16, 18, 19),  # Maestro, RuPay, Verve, Elo and others
    "220[0-5]": (16, 17, 18, 19),  # Mir
    "82|8600|9792|9860": (16,),  # RuPay, Uzcard, Troy, Humo
    "9704": (16, 19),  # Napas
}
"""How the numbers begin that are given out, and how long they are."""
_RESERVED: Final[Mapping[str, Sequence[int]]] = {
    "2[2-7]": (16,),  # around Mastercard and Mir
    "3[0689]": range(14, 20),  # Diners Club
    "5[0678]": range(13, 20),  # Maestro and others
    "6": range(12, 20),  # Maestro, Discover, UnionPay and others
}
"""Ranges of which the schemes give out a part, in fewer lengths."""


def _by_length(*tables: Mapping[str, Sequence[int]]) -> Mapping[int, re.Pattern[str]]:
    """For each length of a number, how one of them begins."""
    rows = [row for table in tables for row in table.items()]
    return {
        length: re.compile("|".join(prefix for prefix, lengths in rows if length in lengths))
        for length in range(FEWEST, MOST + 1)
    }


_IS_CARD: Final = _by_length(_GIVEN_OUT)
_IN_PRINT: Final = _by_length(_GIVEN_OUT, _RESERVED)


def is_card(groups: Sequence[str]) -> bool:
    """Whether these are the digits of a card that some scheme gives out, and no steps of a scale."""
    return _fits("".join(groups), _IS_CARD) and not step_by_step(groups)


def is_card_in_print(groups: Sequence[str]) -> bool:
    """Whether these, in groups that a card is printed in, are the digits of one that some scheme gives out, or may."""
    return _fits("".join(groups), _IN_PRINT)


def _fits(number: str, table: Mapping[int, re.Pattern[str]]) -> bool:
    known = table.get(len(number))
    return known is not None and bool(known.match(number)) and luhn(number)


def step_by_step(groups: Sequence[str]) -> bool:
    """36 38 40 42, or a column that is sorted."""
    if len(groups) < 4:
        return False
    steps = [int(each) - int(last) for last, each in pairwise(groups)]
    if steps[0] != 0 and len(set(steps)) == 1:
        return True
    return len(groups) >= FEWEST_RISING and (min(steps) > 0 or max(steps) < 0)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0 and len(set(digits)) > 1
