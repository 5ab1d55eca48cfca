"""Numbers of cards (Luhn, ISO/IEC 7812-1), of accounts (mod 97, ISO 13616) and of telephones in a text,
however their groups stand apart.

A text is looked at as if each kind of space, hyphen, digit and letter of Unicode were the plain one; places stay the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

Span = tuple[int, int, str]

_CLOSE: Final = r" _()./\-"
"""What stands between the digits of a telephone number on one line."""
_APART: Final = r" \t\n\r\v\f_./\-"
"""What stands between the groups of a number, over the end of a line too."""
MOST_APART: Final = 8
"""Signs between two groups: " - ", or the end of a line and how far to the right the next one begins."""
_DATE: Final = re.compile(r"(?<!\d)(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4})(?!\d)")
_FRACTION: Final = re.compile(r"(?<![\w.,])0\.\d+(?!\.?\w)")

_OF_ADDRESSES: Final = re.compile(r"%(?:20|09|0[AaDd]|[Cc]2%[Aa]0|2[BbDdEeFf]|5[Ff])")
_IN_ADDRESSES: Final = {"2B": "+", "2D": "-", "2E": ".", "2F": "/", "5F": "_"}
"""Signs as addresses write them, but for spaces."""
_GROUPS: Final = re.compile(rf"\d+(?:[{_APART}]{{1,{MOST_APART}}}\d+)*")
MOST_GROUPS: Final = 10
"""Of two digits or more, in a card number of at most 19."""
_ISSUED: Final = re.compile(
    r"4(?:.{12}|.{15}|.{18})|(?:5[1-5]|2[2-7]).{14}|3[47].{13}|3[0689].{12,17}|(?:5[0678]|6).{11,18}"
)
"""How the numbers of the world's cards begin, and how long they are then."""
_CELLS: Final = rf"(?:<[/A-Za-z][^<>]{{0,60}}>|&[A-Za-z]{{2,6}};|[\W_]){{1,{MOST_APART}}}"
_WIDER: Final = re.compile(rf"[^0-9{_APART}]")
"""What stands between columns and in lists too, of any signs, and the tags of tables: a number is found there only where its groups
are those of one."""
_COLUMNS: Final = re.compile(rf"\d(?<![^\W_]\d)\d*(?:{_CELLS}\d+)+(?![^\W_])")

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
    rf"(?<![\d+])(?:\+(?=[\d(])|\(\+|(?<![\d.,])00(?=[{_APART}]{{0,{MOST_APART}}}[1-9]))"
    rf"(?:[{_APART}()]{{0,{MOST_APART}}}\d){{6,9}}(?:[{_CLOSE}]{{0,3}}\d){{0,6}}(?!\d)"
)
"""With the sign of its country: over the end of a line too, as long as it may still lack digits."""
_ALONE: Final = re.compile(rf"(?<![^\W_])\(?\d+(?:[{_APART}()]{{1,{MOST_APART}}}\d+)+(?![^\W_])")
"""Groups in tabs and lines, which may be a column of other numbers."""
_IN_COLUMNS: Final = re.compile(r"\d(?<![^\W_]\d)\d*(?:[^\w\n]{1,4}\d+)+(?![^\W_])")
"""Groups on one line with any signs between."""
_FEWEST_DIGITS: Final = 9
"""Of a telephone number that nothing else shows to be one: neither a sign, a leading zero nor a bracket."""
_FEWEST_MARKED: Final = 7


@lru_cache(maxsize=8)
def plain(text: str) -> str:
    """Of the same length, with plain spaces, hyphens, digits and letters, and without dates and fractions: a number beside one is
    not one with it."""
    if not text.isascii():
        text = text.translate(_PLAIN)
    if "%" in text:
        text = _OF_ADDRESSES.sub(lambda found: _IN_ADDRESSES.get(found[0][1:].upper(), " ").rjust(len(found[0])), text)
    return _FRACTION.sub(_crossed_out, _DATE.sub(_crossed_out, text))


def _crossed_out(found: re.Match[str]) -> str:
    return "x" * len(found[0])


class _Plain(dict[int, str]):
    """The plain sign of each sign, looked up once."""

    def __missing__(self, code: int) -> str:
        self[code] = _plain_sign(chr(code))
        return self[code]


def _plain_sign(sign: str) -> str:
    kind = unicodedata.category(sign)
    if sign in "\u0085\u2028\u2029":
        return "\n"
    if kind in ("Zs", "Cf"):  # of no width too
        return " "
    if kind == "Pd" or sign in "\u2212\u2043\u00af":
        return "-"
    if sign in "\u00b7\u2022\u2219\u22c5\u30fb\u2027":
        return "."
    if kind == "Nd":
        return str(unicodedata.digit(sign))
    same = unicodedata.normalize("NFKC", sign)
    return same if len(same) == 1 and same.isascii() and kind != "No" else sign


_PLAIN: Final = _Plain({code: chr(code) for code in range(128)})


def cards(text: str) -> Iterator[Span]:
    """Groups of digits that follow one another: any of them may be where the number begins."""
    text = plain(text)
    for found in _GROUPS.finditer(text):
        if len(found[0]) >= 13:
            groups = [(found.start() + each.start(), each[0]) for each in re.finditer(r"\d+", found[0])]
            for first in range(len(groups)):
                yield from _cards_from(text, groups[first : first + MOST_GROUPS])
    yield from _cards_in_columns(text)


def _cards_in_columns(text: str) -> Iterator[Span]:
    for found in _COLUMNS.finditer(text):
        if len(found[0]) >= 16 and _WIDER.search(found[0]):
            groups = [each.span() for each in re.finditer(r"\d+", found[0])]
            for first, after in _printed(found[0], groups):
                yield found.start() + groups[first][0], found.start() + groups[after - 1][1], "card"


def _printed(text: str, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Which groups are those of a card, by the first and the one behind the last. Groups of four digits are where all that stand in
    a row are those of cards, or where the same signs part them and others stand around: years and prices are not."""
    groups = [text[begin:end] for begin, end in places]
    at = 0
    while at < len(groups):
        end = next((place for place in range(at, len(groups)) if len(groups[place]) != 4), len(groups))
        quads = [(first, first + 4) for first in range(at, end, 4)] if (end - at) % 4 == 0 else []
        long, short = groups[at : end + 1], groups[max(at, end - 1) : end + 2]
        if tuple(map(len, long)) == (4, 4, 4, 4, 3) and _is_card(long):
            yield at, end + 1
        elif quads and all(_is_card(groups[first:after]) for first, after in quads):
            yield from quads
        elif tuple(map(len, short)) in ((4, 6, 5), (4, 6, 4)) and _is_card(short):
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
        if alone and _is_card(groups[first : first + 4]):
            yield at + first, at + first + 4


def _is_card(groups: Sequence[str]) -> bool:
    number = "".join(groups)
    return bool(_ISSUED.fullmatch(number)) and _luhn(number)


def _cards_from(text: str, groups: Sequence[tuple[int, str]]) -> Iterator[Span]:
    begin = end = groups[0][0]
    digits, close, long, last = "", True, True, 4
    alone = not text[max(0, begin - 1) : begin].isalnum()
    for start, group in groups:
        close = close and text[end:start] in ("", " ", "-")
        long, last = long and last >= 4, len(group)  # all groups but the last have four digits or more
        digits, end = digits + group, start + last
        if len(digits) > 19 or last < 2:
            return
        if len(digits) < 13 or not _luhn(digits):
            continue
        known = long and _ISSUED.fullmatch(digits)
        if known or (close and alone and not text[end : end + 1].isalnum()):
            yield begin, end, "card"


def ibans(text: str) -> Iterator[Span]:
    """Each beginning for itself, as words may stand before and behind."""
    text = plain(text)
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[1].upper(), 0)
        for account in (_account(length), _account_in_columns(length)) if length else ():
            written = account.match(text, found.start())
            if written is not None and _mod_97(_NO_SIGN.sub("", written[0])) and _is_one(written[0]):
                yield written.start(), written.end(), "iban"


def _is_one(written: str) -> bool:
    signs = _NO_SIGN.sub("", written)
    return written[2].isdigit() or sum(map(str.isdigit, signs)) >= _DIGITS_APART * len(signs)


_NO_SIGN: Final = re.compile(r"[\W_]+")


@lru_cache(maxsize=64)
def _account(length: int) -> re.Pattern[str]:
    return re.compile(rf"[A-Za-z0-9](?:[{_APART}]{{0,{MOST_APART}}}[A-Za-z0-9]){{{length - 1}}}(?!\d)")


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
    groups, signs = re.findall(r"\d+", text), set(_NO_SIGN.findall(text))
    if len(signs) != 1 or _WIDER.search(sign := signs.pop()) is None or "," in sign:
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


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0 and len(set(digits)) > 1


def _mod_97(iban: str) -> bool:
    moved = (iban[4:] + iban[:4]).upper()
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
