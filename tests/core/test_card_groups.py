"""Card numbers in groups that no card is printed in are found and refused, and other rows of numbers seldom are."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.core.card_schemes import is_card, is_card_in_print, luhn, step_by_step
from orchestrator.core.field_values import CannotRedact
from orchestrator.core.personal import Finder, Pseudonyms

CARDS = Finder(kinds=("card",))
_SCHEMES = st.sampled_from(
    [
        ("4", 13),
        ("4", 16),
        ("4", 19),
        ("53", 16),
        ("2345", 16),
        ("34", 15),
        ("37", 15),
        ("36", 14),
        ("3543", 16),
        ("6011", 16),
        ("62", 19),
        ("6759", 12),
        ("5020", 18),
        ("2202", 16),
        ("9792", 16),
    ]
)
_SIGNS = st.sampled_from(
    [" ", "-", ".", "/", "_", "\u00a0", "\u202f", "\u2013", "\t", "\n", "\r\n", " - ", "  ", " / "]
)
_SCRIPTS = st.sampled_from([0x30, 0x30, 0xFF10, 0x660, 0x6F0, 0x966])


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number that a scheme may have issued."""
    prefix, length = draw(_SCHEMES)
    body = prefix + draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return next(body + last for last in "0123456789" if luhn(body + last))


def cut(number: str, sizes: list[int]) -> list[str]:
    """Into groups of these sizes, again and again."""
    groups: list[str] = []
    at = 0
    while at < len(number):
        size = sizes[len(groups) % len(sizes)]
        groups.append(number[at : at + size])
        at += size
    return groups


def in_script(text: str, zero: int) -> str:
    return re.sub("[0-9]", lambda found: chr(zero + int(found[0])), text)


@given(
    numbers(), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.lists(_SIGNS, min_size=1, max_size=3), _SCRIPTS
)
def test_a_card_in_any_groups_is_hidden_whole_and_comes_back(
    number: str, sizes: list[int], signs: list[str], zero: int
) -> None:
    groups = cut(number, sizes)
    written = "".join(group + signs[place % len(signs)] for place, group in enumerate(groups[:-1])) + groups[-1]
    assume(not step_by_step(groups))
    assume(not re.search(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)|(?<![\d./_-])0\.", written))  # dates and fractions
    assume(not re.fullmatch(r"(?:\d{1,3}\.\d{4,}(?:[^\d.]+|$))+", written))  # decimals
    text = f"the card is {in_script(written, zero)}, thanks"
    names = Pseudonyms(CARDS)
    hidden = names.hide(text)
    assert hidden == "the card is [CARD_1], thanks"
    assert names.restore(hidden) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[CARD_1]"),
        ("4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "[CARD_1]"),
        ("411 111 111 111 111 1", "[CARD_1]"),
        ("41111 11111 11111 1", "[CARD_1]"),
        ("411.111-111/111_111 1", "[CARD_1]"),
        ("378 282 246 310 005", "[CARD_1]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 12 27 123", "[CARD_1] 12 27 123"),
        ("41 11 11 11 11 11 11 11 12 27 123", "[CARD_1] 12 27 123"),
        ("411-111-111-111-111-1 12/2027", "[CARD_1] 12/2027"),
        ("order 7 411-111-111-111-111-1", "order 7 [CARD_1]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n5 5 0 0 0 0 0 0 0 0 0 0 0 0 0 4", "[CARD_1]\n[CARD_2]"),
        ("347 123 4567\n411 111 111 111 111 1", "347 123 4567\n[CARD_1]"),
        ("4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "[CARD_1]"),
        ("41 | 11 | 11 | 11 | 11 | 11 | 11 | 11", "[CARD_1]"),
        ("4-0.0-0.0-0.0-0.0-0.0-0.6", "[CARD_1]"),
        ("card4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "card[CARD_1]"),
        ("411&nbsp;111&nbsp;&nbsp;111&#160;111&#xA0;111&ensp;1", "[CARD_1]"),
        ("411%20111%20%20111%C2%A0111%E2%80%93111%2D1", "[CARD_1]"),
        ("%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31", "[CARD_1]"),
        ("%4111111111111111", "%[CARD_1]"),
        # between other numbers: several cards in a row, groups of one size, and what is joined to something else
        ("41 11 11 11 11 11 11 11 55 00 00 00 00 00 00 04", "[CARD_1] [CARD_2]"),
        ("123456 41 11 11 11 11 11 11 11 123456 123456", "123456 [CARD_1] 123456 123456"),
        ("123456 99 41 11 11 11 11 11 11 11 123456 123456", "123456 99 [CARD_1] 123456 123456"),
        ("at 10:30 411 11 1111 111 1111", "at 10:30 [CARD_1]"),
        ("411 11 1111 111 1111 10:30", "[CARD_1] 10:30"),
        ("7-30 411 11 1111 111 1111", "7-30 [CARD_1]"),
        ("411 11 1111 111 1111 30-7", "[CARD_1] 30-7"),
        ("123456 41 11 11 11 11 11 11 11 99 123456 123456", "123456 [CARD_1] 99 123456 123456"),
        ("123456 411 111 111 111 111 1 123456 123456", "123456 [CARD_1] 123456 123456"),
        ("411 11 1111 111 1111 12/27\n550 00 0000 000 0004 11/28", "[CARD_1] 12/27\n[CARD_2] 11/28"),
        ("411.11-1111/111_1111\t7", "[CARD_1]\t7"),
        ("41-11/11-11/11-11/11-11-345-789", "[CARD_1]-345-789"),
        ("345-789-41-11/11-11/11-11/11-11", "345-789-[CARD_1]"),
        ("77-41-11/11-11/11-11/11-11", "77-[CARD_1]"),
        ("41-11/11-11/11-11/11-11-77", "[CARD_1]-77"),
        (r"411\n111\n111\n111\n111\n1", "[CARD_1]"),
        (r"411\\u00a0111\\u00a0111\\u00a0111\\u00a0111\\u00a01", "[CARD_1]"),
    ],
)
def test_how_people_write_them(text: str, seen: str) -> None:
    names = Pseudonyms(CARDS)
    assert names.hide(text) == seen
    assert names.restore(seen) == text.replace(r"\\u00a0", "\u00a0")  # escapes of JSON are read before anything else
    with pytest.raises(CannotRedact):
        Pseudonyms(Finder(refuse=frozenset({"card"}))).hide(text)


@pytest.mark.parametrize(
    "prefix",
    # Visa, Mastercard, Diners Club, JCB, Discover, UnionPay, Maestro, Mir, RuPay, Troy, Humo, Uzcard, Napas, as policy.md has them
    "4 51 2221 2720 36 3528 3589 6011 62 81 6759 2200 5085 82 9792 9860 8600 9704".split(),
)
def test_a_card_of_each_scheme_is_found_in_fours(prefix: str) -> None:
    """Between the signs of columns, among other columns, and in groups that no card is printed in."""
    number = next(found for last in "0123456789" if luhn(found := prefix.ljust(15, "3") + last))
    fours = cut(number, [4])
    assert is_card(fours) and is_card_in_print(fours)
    for text in (";".join(fours), f"7;{'|'.join(fours)};2026", f"[{']['.join(fours)}]", "-".join(cut(number, [3]))):
        hidden = Pseudonyms(CARDS).hide(text)
        assert "[CARD_1]" in hidden and fours[0][:3] not in hidden


@pytest.mark.parametrize(
    ("number", "in_print"),
    [
        ("306000000000005", True),  # a range of Diners Club that is not given out
        ("600000000000007", True),  # Maestro in a length that it had
        ("500000000000007", True),
        ("2210000000000000", True),  # beside Mir and Mastercard
        ("9792000000000", False),  # Troy in a length that it never had
        ("1111111111111117", False),
    ],
)
def test_what_no_scheme_gives_out_is_a_card_in_print_only(number: str, in_print: bool) -> None:
    """In other groups any numbers in a row may be such digits."""
    number = next(found for last in "0123456789" if luhn(found := number[:-1] + last))
    assert (is_card([number]), is_card_in_print([number])) == (False, in_print)


@pytest.mark.parametrize(
    "text",
    [
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2",
        "7 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "36 38 40 42 44 46 48 50",
        "41 42 43 44 45 46 47 48",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
        "2019 2020 2021 2022 2023 2024",
        "49.91307046514149",
        "45.123456 -122.123456",
        "411,111,111,111,111",
        "20261207 123000 123",
        "411 11 1111 111 1111 7 30 9",
        "12345 123456 41111-11111 111111 123456 1234567 123456 12345",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert Pseudonyms(CARDS).hide(text) == text


def _row(dice: random.Random, count: int, sign: str = " ") -> str:
    return sign.join(str(dice.randint(0, 10 ** dice.randint(1, 5))) for _ in range(count))


def _price(dice: random.Random) -> str:
    return f"{dice.randint(0, 9999)}.{dice.randint(0, 99):02d}"


_OTHERS: dict[str, tuple[float, Callable[[random.Random], str]]] = {
    "orders": (0.0, lambda dice: f"order {dice.randint(10**6, 10**11 - 1)} of {dice.randint(1, 30)} items"),
    "times": (0.01, lambda dice: " ".join(f"{dice.randint(0, 23):02d}.{dice.randint(0, 59):02d}" for _ in range(6))),
    "prices": (0.01, lambda dice: " ".join(_price(dice) for _ in range(dice.randint(2, 6)))),
    "digits": (0.02, lambda dice: " ".join(str(dice.randint(0, 9)) for _ in range(dice.randint(8, 40)))),
    "pairs": (0.02, lambda dice: " ".join(str(dice.randint(10, 99)) for _ in range(dice.randint(4, 20)))),
    "a row": (0.04, lambda dice: _row(dice, dice.randint(3, 8))),
    "a long row": (0.08, lambda dice: _row(dice, dice.randint(8, 40))),
    "a column": (0.04, lambda dice: _row(dice, dice.randint(3, 8), "\n")),
    "a table": (0.12, lambda dice: "\n".join(_row(dice, 5) for _ in range(10))),
    "a table of prices": (0.01, lambda dice: "\n".join(" ".join(_price(dice) for _ in range(4)) for _ in range(10))),
    "CSV": (0.01, lambda dice: "\n".join(_row(dice, 5, ",") for _ in range(10))),
}


@pytest.mark.parametrize("kind", _OTHERS)
def test_how_often_other_numbers_are_taken_for_cards(kind: str) -> None:
    """A share of 1,000 texts with a seed: before the groups had to stand alone it was up to 64 %."""
    most, text = _OTHERS[kind]
    dice = random.Random(13)
    assert sum(bool(CARDS.find(text(dice))) for _ in range(1_000)) <= 1_000 * most
