"""Numbers of accounts (mod 97, ISO 13616) and of telephones in a text, however their groups stand apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from orchestrator.core.plain_signs import APART, MOST_APART, NO_SIGN, WIDER, Span, plain

_CLOSE: Final = r" _()./\-"
"""What stands between the digits of a telephone number on one line."""
_IBAN: Final = re.compile(rf"(?=([A-Za-z]{{2}})(?:\d|(?<![^\W_]..)[\W_]{{1,{MOST_APART}}}\d))")
_DIGITS_APART: Final = 0.6
"""The least share of digits where the country stands apart, as a short word before a number of things does: "it 20 …"."""
_IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK", "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""Characters of an account number by its country, after the registry of ISO 13616."""

_PHONE: Final = re.compile(
    rf"(?<![^\W_])(?<![^\W_]_)(?<!\d[.,/:-])(?:\+|\(\+?)?\d(?:[{_CLOSE}]{{0,3}}\d){{5,60}}(?![^\W_])"
)
_CALLED: Final = re.compile(
    rf"(?i)(?:tel|phone|fax|mobile|mob|cell|cel)(?P<number>\d(?:[{_CLOSE}]{{0,3}}\d){{6,60}})(?!\d)"
)
"""Right behind what says that it is one."""
_ABROAD: Final = re.compile(
    rf"(?<![\d+])(?:\+(?=[\d(])|\(\+|(?<![\d.,])00(?=[{APART}]{{0,{MOST_APART}}}[1-9]))"
    rf"(?:[{APART}()]{{0,{MOST_APART}}}\d){{6,9}}(?:[{_CLOSE}]{{0,3}}\d){{0,6}}(?!\d)"
)
"""With the sign of its country: over the end of a line too, as long as it may still lack digits."""
_ALONE: Final = re.compile(rf"(?<![^\W_])\(?\d+(?:[{APART}()]{{1,{MOST_APART}}}\d+)+(?![^\W_])")
"""Groups in tabs and lines, which may be a column of other numbers."""
_IN_COLUMNS: Final = re.compile(r"\d(?<![^\W_]\d)\d*(?:[^\w\n]{1,4}\d+)+(?![^\W_])")
"""Groups on one line with any signs between."""
_FEWEST_DIGITS: Final = 9
"""Of a telephone number that nothing else shows to be one: neither a sign, a leading zero nor a bracket."""
_FEWEST_MARKED: Final = 7


def ibans(text: str) -> Iterator[Span]:
    """Each beginning for itself, as words may stand before and behind."""
    text = plain(text)
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[1].upper(), 0)
        for account in (_account(length), _account_in_columns(length)) if length else ():
            written = account.match(text, found.start())
            if written is not None and _mod_97(NO_SIGN.sub("", written[0])) and _is_one(written[0]):
                yield written.start(), written.end(), "iban"


def _is_one(written: str) -> bool:
    signs = NO_SIGN.sub("", written)
    return written[2].isdigit() or sum(map(str.isdigit, signs)) >= _DIGITS_APART * len(signs)


@lru_cache(maxsize=64)
def _account(length: int) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z0-9](?:[{APART}]{{0,{MOST_APART}}}[A-Za-z0-9]){{{length - 1}}}(?!\d)")


@lru_cache(maxsize=64)
def _account_in_columns(length: int) -> re.Pattern[str]:
    """With any signs between; no letter touches its end then, as words would be read as a part of it too often."""
    return re.compile(rf"[A-Za-z0-9](?:[\W_]{{0,{MOST_APART}}}[A-Za-z0-9]){{{length - 1}}}(?![^\W_])")


def phones(text: str) -> Iterator[Span]:
    """In close groups on a line; with the sign of a country also over lines; alone in lines where it is grouped as one."""
    text = plain(text)
    for found in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        marked = found[0][0] in "+(" or digits.startswith("0")
        if len(digits) >= (_FEWEST_MARKED if marked else _FEWEST_DIGITS):
            yield found.start(), found.end(), "phone"
    for found in _CALLED.finditer(text):
        yield found.start("number"), found.end(), "phone"
    for found in _ABROAD.finditer(text):
        yield found.start(), found.end(), "phone"
    for found in _ALONE.finditer(text):
        if _grouped_as_one([len(group) for group in re.findall(r"\d+", found[0])], leading=found[0].lstrip("(")[0]):
            yield found.start(), found.end(), "phone"
    for found in _IN_COLUMNS.finditer(text):
        abroad = text.startswith("+", max(0, found.start() - 1))
        if _parted_alike(found[0], abroad=abroad):
            yield found.start() - abroad, found.end(), "phone"


def _parted_alike(text: str, *, abroad: bool) -> bool:
    """Groups of a telephone number that the same signs part, and signs that part no list or time."""
    groups, signs = re.findall(r"\d+", text), set(NO_SIGN.findall(text))
    if len(signs) != 1 or WIDER.search(sign := signs.pop()) is None or "," in sign:
        return False
    sizes = [len(group) for group in groups]
    if abroad or (groups[0].startswith("00") and ":" not in sign):
        return sizes[0] <= 5 and min(sizes[1:]) > 1 and 9 <= sum(sizes) <= 15
    return _grouped_as_one(sizes, leading="" if ":" in sign else groups[0][0])


def _grouped_as_one(groups: Sequence[int], *, leading: str) -> bool:
    """347 123 4567, or 06 1234 5678; a column of numbers of one length is none."""
    if leading != "0":
        return tuple(groups) == (3, 3, 4)
    one_length = len(set(groups)) == 1
    return 2 <= groups[0] <= 5 and len(groups) <= 4 and 9 <= sum(groups) <= 12 and not one_length


def _mod_97(iban: str) -> bool:
    moved = (iban[4:] + iban[:4]).upper()
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
