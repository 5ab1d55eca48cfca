"""A text as if each kind of space, hyphen, digit and letter of Unicode were the plain one; places stay the same."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

Span = tuple[int, int, str]
"""Where something begins and ends in a text, and of what kind it is."""

AT_SIGNS: Final = "@\uff20\ufe6b"
"""Also of full width and small, as keyboards and fonts of East Asia have it."""
APART: Final = r" \t\n\r\v\f_./\-"
"""What stands between the groups of a number, over the end of a line too."""
MOST_APART: Final = 8
"""Signs between two groups: " - ", or the end of a line and how far to the right the next one begins."""
_YEAR: Final = r"(?:1[89]|20)\d\d"
_MONTH_AND_DAY: Final = r"(?:0?[1-9]|[12]\d|3[01])"
_DATE: Final = re.compile(
    rf"(?<!\d)(?:{_YEAR}([-/.]){_MONTH_AND_DAY}\1{_MONTH_AND_DAY}|{_MONTH_AND_DAY}([-/.]){_MONTH_AND_DAY}\2{_YEAR})(?!\d)"
)
"""Of our days: what only looks like one may be a part of a number."""
_FRACTION: Final = re.compile(r"(?<![\w.,])(?<!\d[-/])0\.\d+(?!\.?\w)(?![-/]\d)")

_OF_ADDRESSES: Final = re.compile(r"%(?:20|09|0[AaDd]|[Cc]2%[Aa]0|2[BbDdEeFf]|5[Ff])")
_IN_ADDRESSES: Final = {"2B": "+", "2D": "-", "2E": ".", "2F": "/", "5F": "_"}
"""Signs as addresses write them, but for spaces."""

CELLS: Final = rf"(?:<[/A-Za-z][^<>]{{0,60}}>|&[A-Za-z]{{2,6}};|[\W_]){{1,{MOST_APART}}}"
WIDER: Final = re.compile(rf"[^0-9{APART}]")
"""What stands between columns and in lists too, of any signs, and the tags of tables: a number is found there only where its groups
are those of one."""

NO_SIGN: Final = re.compile(r"[\W_]+")


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
