"""A text as it is shown: with the signs that addresses (``%40``), HTML (``&#64;``, ``&nbsp;``) and JSON (``\\n``) write so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import Final

from orchestrator.core.as_read import Reading
from orchestrator.core.plain_signs import AT_SIGNS, MOST_APART

_NEXT: Final = "%[89ABab][0-9A-Fa-f]"
_IN_ADDRESSES: Final = (
    rf"%[2-7][0-9A-Fa-f]|%0[9AaDd]|%(?:[Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f]){_NEXT}"
    rf"|%[Ee][0-9A-Fa-f](?:{_NEXT}){{2}}|%[Ff][0-4](?:{_NEXT}){{3}}"
)
_IN_HTML: Final = r"&(?:#0{0,8}[0-9]{1,7}(?![0-9]);?|#[xX]0{0,8}[0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)"
_IN_JSON: Final = r"\\{1,16}(?:u(?![dD][89a-fA-F])[0-9A-Fa-f]{4}|[nrtfv])"
"""However often a text with it was written as JSON again."""
_CODED: Final = re.compile(rf"{_IN_ADDRESSES}|{_IN_HTML}|{_IN_JSON}")
MOST_TIMES: Final = 3
"""How often one may have been written in another: ``%2540``, ``&amp;#64;``."""
LONGEST_CODED: Final = 40
_QUOTES: Final = '"\u201d'
_OF_NO_ADDRESS: Final = " \n\r\t\u00a0<>()/:;,=?"
_DIGIT_BEFORE: Final = re.compile(r"\d[\W_]*\Z")
_DIGIT_BEHIND: Final = re.compile(rf"[\W_]{{0,{MOST_APART}}}\d")
_WORD: Final = re.compile(r"[^\W_]")


class Decoded(Reading):
    """With the signs that were meant."""

    __slots__ = ()

    def __init__(self, written: str) -> None:
        super().__init__(written)
        for _ in range(MOST_TIMES):
            before = self.text
            self._replace(_CODED, _sign)
            if self.text == before:
                return


def decoded(written: str) -> Iterator[Decoded]:
    """The text as it is shown, where that is another one."""
    if any(sign in written for sign in "%&\\") and _matters(written):
        read = Decoded(written)
        if read.text != written:
            yield read


def _matters(text: str) -> bool:
    """Whether a coded sign may be a part of an address or a number. Most are ends of lines and quotes of plain words: to look at
    all of such a text once more would take as long as the first time."""
    address = any(sign in text for sign in AT_SIGNS)
    near = 0  # where the last sign ended that digits stand before, and nothing but signs
    for found in _CODED.finditer(text):
        begin, end = found.span()
        sign = _sign(found[0])
        if _tells(sign, text[end : end + LONGEST_CODED], address=address):
            return True
        gap = text[max(0, begin - MOST_APART - 1) : begin]
        if _DIGIT_BEFORE.search(gap) or (near and begin - near <= MOST_APART and not _WORD.search(text, near, begin)):
            near = end
            if _DIGIT_BEHIND.match(text, end):
                return True
    return False


def _tells(sign: str, behind: str, *, address: bool) -> bool:
    """An at sign, a plus, a letter or a digit, the beginning of another coded sign, a quote before an at sign; and in a text that
    has an at sign, what may stand in an address."""
    if sign == "+" or sign in AT_SIGNS or (sign.isascii() and sign.isalnum()) or sign.isdecimal():
        return True
    if sign in "%&\\":
        return _CODED.match(sign + behind) is not None
    if sign in _QUOTES:
        return behind[:1] in (*AT_SIGNS,)
    return address and sign not in _OF_NO_ADDRESS


def _sign(coded: str) -> str:
    """What it stands for; itself where that is nothing."""
    if coded[0] == "%":
        try:
            return bytes.fromhex(coded.replace("%", "")).decode()
        except UnicodeDecodeError:
            return coded
    if coded[0] == "\\":
        sign = coded.lstrip("\\")
        return chr(int(sign[1:], 16)) if sign[0] == "u" else " " if sign == "t" else "\n"
    if coded[1] != "#":
        return html5.get(coded[1:], coded)
    number = coded[2:].rstrip(";")
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    return chr(code) if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else coded
