"""A text as people read it: letters of full width, of several signs or escaped by JSON as the plain ones, and no signs that nobody
sees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from orchestrator.core.marks import Mark

_CLUSTER: Final = re.compile(
    r"\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|"
    "[\u1100-\u115f][\u1160-\u11a7]?[\u11a8-\u11ff]?|[^\\x00-\\x7f][\u0300-\u036f\u3099\u309a]{0,4}|[\\x00-\\x7f][\u0300-\u036f]{1,4}"
)
"""What is one letter: the parts of a Korean syllable, and a letter with the accents behind it."""
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\U000e0001-\U000e01ef\u0640\u064b-\u065f\u0670\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
)
"""Soft hyphens, joiners, marks of direction and variants; and the vowels and strokes that Arabic and Hebrew may leave out."""


class AsRead:
    """``text`` is what is read, and ``back`` tells where that stands in the text as it was written."""

    __slots__ = ("_begins", "_ends", "text")

    def __init__(self, written: str) -> None:
        pieces: list[str] = []
        self._begins: list[int] = []
        self._ends: list[int] = []
        at = 0
        for cluster in _CLUSTER.finditer(written):
            self._plain(written, at, cluster.start(), pieces)
            at = cluster.end()
            read = _read(cluster[0])
            pieces.append(read)
            self._begins += [cluster.start()] * len(read)
            self._ends += [at] * len(read)
        self._plain(written, at, len(written), pieces)
        self.text = "".join(pieces)

    def _plain(self, written: str, begin: int, end: int, pieces: list[str]) -> None:
        pieces.append(written[begin:end])
        self._begins += range(begin, end)
        self._ends += range(begin + 1, end + 1)

    def back(self, mark: Mark) -> Mark:
        """The place of a mark in the text as it was written."""
        return self._begins[mark[0]], self._ends[mark[1] - 1], mark[2]


def other_reading(written: str) -> Iterator[AsRead]:
    """The text as it is read, where that is another one."""
    plain = written.isascii() or (unicodedata.is_normalized("NFKC", written) and _UNSEEN.search(written) is None)
    if not plain or "\\u" in written:
        read = AsRead(written)
        if read.text != written:
            yield read


@lru_cache(maxsize=4096)
def _read(cluster: str) -> str:
    if cluster.startswith("\\u"):
        cluster = chr(int(cluster[2:6], 16))
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", cluster))
