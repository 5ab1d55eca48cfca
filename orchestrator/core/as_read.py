"""A text as people read it: letters of full width, of several signs or escaped by JSON as the plain ones, and no signs that nobody
sees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from orchestrator.core.marks import Mark

_HEX: Final = "[0-9a-fA-F]"
_ESCAPE: Final = re.compile(
    rf"\\{{1,16}}(?:u[dD][89abAB]{_HEX}{{2}}\\{{1,16}}u[dD][c-fC-F]{_HEX}{{2}}|u(?![dD][89a-fA-F]){_HEX}{{4}}|[bfnrt\"/])|\\{{2,16}}"
)
"""What JSON writes for one sign, also where such a text was written as JSON again: each time doubles the strokes before it."""
_CONTROL: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CLUSTER: Final = re.compile(
    "[\u1100-\u115f][\u1160-\u11a7]?[\u11a8-\u11ff]?|[^\\x00-\\x7f][\u0300-\u036f\u3099\u309a]{0,4}|[\\x00-\\x7f][\u0300-\u036f]{1,4}"
)
"""What is one letter: the parts of a Korean syllable, and a letter with the accents behind it."""
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\U000e0001-\U000e01ef\u0640\u064b-\u065f\u0670\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
)
"""Soft hyphens, joiners, marks of direction and variants; and the vowels and strokes that Arabic and Hebrew may leave out."""


class Reading:
    """``text`` is what is read, and ``back`` tells where that stands in the text as it was written."""

    __slots__ = ("_begins", "_ends", "text")

    def __init__(self, written: str) -> None:
        self.text = written
        self._begins: list[int] = list(range(len(written)))
        self._ends: list[int] = list(range(1, len(written) + 1))

    def _replace(self, pattern: re.Pattern[str], read: Callable[[str], str]) -> None:
        pieces: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        at = 0
        for found in pattern.finditer(self.text):
            first, last = found.span()
            piece = read(found[0])
            pieces += (self.text[at:first], piece)
            begins += self._begins[at:first]
            begins += [self._begins[first]] * len(piece)
            ends += self._ends[at:first]
            ends += [self._ends[last - 1]] * len(piece)
            at = last
        self.text = "".join([*pieces, self.text[at:]])
        self._begins = begins + self._begins[at:]
        self._ends = ends + self._ends[at:]

    def back(self, mark: Mark) -> Mark:
        """The place of a mark in the text as it was written."""
        return self._begins[mark[0]], self._ends[mark[1] - 1], mark[2]


class AsRead(Reading):
    """Without the escapes of JSON, with plain letters."""

    __slots__ = ()

    def __init__(self, written: str) -> None:
        super().__init__(written)
        if "\\" in written:  # first, as an accent may be escaped and its letter not
            self._replace(_ESCAPE, _unescaped)
        if not _plain(self.text):
            self._replace(_CLUSTER, _read)


def other_reading(written: str) -> Iterator[AsRead]:
    """The text as it is read, where that is another one."""
    if not _plain(written) or _ESCAPE.search(written):
        read = AsRead(written)
        if read.text != written:
            yield read


def _plain(text: str) -> bool:
    return text.isascii() or (unicodedata.is_normalized("NFKC", text) and _UNSEEN.search(text) is None)


def _unescaped(escape: str) -> str:
    sign = escape.lstrip("\\")
    if not sign:
        return "\\"
    if sign[0] == "u":
        units = b"".join(bytes.fromhex(part[:4]) for part in re.split(r"\\*u", sign)[1:])
        return units.decode("utf-16-be")
    return _CONTROL.get(sign, sign)


@lru_cache(maxsize=4096)
def _read(cluster: str) -> str:
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", cluster))
