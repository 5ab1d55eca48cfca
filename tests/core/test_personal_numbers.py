"""Numbers are found however their groups stand apart, and other numbers stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.personal import Finder, Pseudonyms

_SIGNS = st.sampled_from("\t\n _-./\u00a0\u202f\u2003\u2009\u200b\u2010\u2011\u2013\u2014\u2212\u2028")
_GAPS = st.text(_SIGNS, min_size=1, max_size=3)
_NUMBERS = st.sampled_from(
    [
        ("CARD", ("4111", "1111", "1111", "1111")),
        ("CARD", ("3782", "822463", "10005")),
        ("IBAN", ("IT60", "X054", "2811", "1010", "0000", "0123", "456")),
        ("PHONE", ("+39", "347", "123", "4567")),
    ]
)


@given(_NUMBERS, st.lists(_GAPS, min_size=6, max_size=6))
def test_what_stands_between_the_groups_changes_nothing(number: tuple[str, tuple[str, ...]], gaps: list[str]) -> None:
    kind, groups = number
    text = "".join(group + gap for group, gap in zip(groups, [*gaps[: len(groups) - 1], ""], strict=True))
    assert Pseudonyms(Finder(kinds=(kind.lower(),))).hide(f"it is {text}, yes") == f"it is [{kind}_1], yes"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("4111|1111|1111|1111", "[CARD_1]"),
        ("4111 | 1111 | 1111 | 1111", "[CARD_1]"),
        ("4111,1111,1111,1111, 12/27, 123", "[CARD_1], 12/27, 123"),
        ("pay with 4111*1111*1111*1111!", "pay with [CARD_1]!"),
        ("3782|822463|10005", "[CARD_1]"),
        ("2024 | 3782 | 822463 | 10005 | 2025", "2024 | [CARD_1] | 2025"),
        ("4000,0000,0000,0000,006", "[CARD_1]"),
        ("4111-1111|1111,1111", "[CARD_1]"),
        ("| 7 | 4111 | 1111 | 1111 | 1111 |", "| 7 | [CARD_1] |"),
        ("4111,1111,1111,1111,5500,0000,0000,0004", "[CARD_1],[CARD_2]"),
        ("4111 1111 1111 1111 | 2024 | 2025", "[CARD_1] | 2024 | 2025"),
        ("\uff14111\uff5c1111\uff0c1111\uff0a1111", "[CARD_1]"),
    ],
)
def test_a_card_in_columns_is_found_where_it_is_grouped_as_one(text: str, seen: str) -> None:
    """Bars, commas and stars stand between other numbers too: the groups must be those of a card, beside its check digit."""
    assert Pseudonyms(Finder(kinds=("card",))).hide(text) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("4111;1111;1111;1111", "[CARD_1]"),
        ("4111:1111:1111:1111", "[CARD_1]"),
        ("4111+1111+1111+1111", "[CARD_1]"),
        ("4111~1111~1111~1111", "[CARD_1]"),
        ("[4111][1111][1111][1111]", "[[CARD_1]]"),
        ('"4111","1111","1111","1111"', '"[CARD_1]"'),
        ("<td>4111</td><td>1111</td><td>1111</td><td>1111</td>", "<td>[CARD_1]</td>"),
        ("4111&nbsp;1111&nbsp;1111&nbsp;1111", "[CARD_1]"),
        ("| 4111 | 1111 |\n| 1111 | 1111 |", "| [CARD_1] |"),
        ("order 2024: 4111;1111;1111;1111", "order 2024: [CARD_1]"),
        ("7;4111;1111;1111;1111;2026;open", "7;[CARD_1];2026;open"),
        ("3782:822463:10005", "[CARD_1]"),
        ("IT60|X054|2811|1010|0000|0123|456", "[IBAN_1]"),
        ("IT60;X;05428;11101;000000123456;EUR", "[IBAN_1];EUR"),
        ("[DE89][3704][0044][0532][0130][00]", "[[IBAN_1]]"),
        ("IT 60 X 05428 11101 000000123456", "[IBAN_1]"),
        ("pay IT 60 X0542811101000000123456 now", "pay [IBAN_1] now"),
        ("DE-89-3704-0044-0532-0130-00", "[IBAN_1]"),
        ("FR 14 20041 01005 0500013M026 06", "[IBAN_1]"),
        ("ES|91|2100|0418|4502|0005|1332", "[IBAN_1]"),
        ("NL 91 ABNA 0417 1643 00", "[IBAN_1]"),
        ("GB 82 WEST 1234 5698 7654 32", "[IBAN_1]"),
        ("+39|347|123|4567", "[PHONE_1]"),
        ("0039 | 347 | 123 | 4567", "[PHONE_1]"),
        ("[347][123][4567]", "[[PHONE_1]]"),
        ("06|1234|5678", "[PHONE_1]"),
        ("tel: 347~123~4567", "tel: [PHONE_1]"),
    ],
)
def test_any_signs_may_stand_between_the_groups(text: str, seen: str) -> None:
    """The groups, and the check digits of cards and accounts, tell a number from others."""
    assert Pseudonyms(Finder()).hide(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        "4111;1111;1111;1112",
        "4111;1111;1111;1111;3000",
        "4019; 2020; 2021; 2023",
        "DE89;3704;0044;0532;0130;01",
        "120, 300, 1500",
        "00:01:02:345",
        "+5, +10, +15, +20",
        "347|123|4567|12",
        "1001\n1002\n1003",
        "ORD123456789",
        "0.5\n0.25\n0.125",
        "1,299.90 of 2026\u201312\u201307",
        "2019\n2020\n2021\n2022",
        "4019 | 2020 | 2021 | 2023 | 2024",
        "4019,2020,2021,2022",
        "4111,1111,1111,1112",
        "4,111,111,111,111,111",
        "41 | 1111 | 1111 | 1111 | 11",
        "1111*4111*1111*1111*1111",
        "9111|1111|1111|1111",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert Pseudonyms(Finder()).hide(text) == text
