"""E-mail addresses in a text: plain and quoted local parts, hosts in any script, and hosts by number (RFC 5321, 6531)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from orchestrator.core.plain_signs import AT_SIGNS, Span

_LETTER: Final = (
    r"\w\u00ad\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    r"\u0711\u0730-\u074a\u07a6-\u07b0\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ece\u0f18-\u0f39"
    r"\u0f71-\u0f84\u102b-\u103e\u1056-\u1059\u135d-\u135f\u17b4-\u17d3\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200d\u2060\u302a-\u302f"
    r"\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f\ufeff"
)
"""With the vowels and accents that are signs of their own, and those that nobody sees."""
_LOCAL: Final = rf"{_LETTER}.+%\uff0e\uff0b\uff0d\uff05-"
_BETWEEN: Final = "['\u2019!#$*^~]"
"""Further signs of a local part, where letters stand on both sides: o'brien."""
_LABEL: Final = rf"[{_LETTER}\uff0d-]++"
_HOST: Final = (
    rf"(?:{_LABEL}(?:(?:[.\uff0e\ufe52]{_LABEL})++|(?:[\u3002\uff61]{_LABEL})*+)|\[(?:IPv6:)?[0-9A-Fa-f.:]{{2,45}}\])"
)
"""The full stop of Chinese and Japanese is a dot where no other dot stands before it: else it ends a sentence."""
LONGEST_QUOTED: Final = 200
_QUOTED: Final = (
    rf'(?<!\\)"(?:[^"\\\r\n]|\\[^\r\n]){{1,{LONGEST_QUOTED}}}+"|\\{{1,7}}"[^"\\\r\n]{{1,{LONGEST_QUOTED}}}+\\{{1,7}}"'
    rf"|\u201c[^\u201c\u201d\r\n]{{1,{LONGEST_QUOTED}}}+\u201d"
)
"""Also as JSON escapes the quotes, and as text programs turn them."""
_EMAIL: Final = re.compile(
    rf"(?:(?<![{_LOCAL}])(?<![{_LOCAL}]{_BETWEEN})[{_LOCAL}]++(?:{_BETWEEN}[{_LOCAL}]++)*+|{_QUOTED})(?:[{AT_SIGNS}]{_HOST})++"
)


def emails(text: str) -> Iterator[Span]:
    """Each with its host, however long."""
    if any(sign in text for sign in AT_SIGNS):
        for found in _EMAIL.finditer(text):
            yield found.start(), found.end(), "email"
