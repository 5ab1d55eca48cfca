"""Known values that a text writes as a part of another word: glued together ("AnnaRossi", "annarossi1980"), or in hex or base64.

Each different word of a text is looked at once, and a value is sought in it only where it is long enough not to stand there by
accident.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

from orchestrator.core.marks import Mark

FEWEST: Final = 5
"""Letters and digits of a value that is a whole word, but for digits before and behind it, or a part of a word that begins with a
capital letter; and of one that is looked for in hex and base64."""
FEWEST_OF_A_PART: Final = 3
"""The same of each of the values that make a word together."""
FEWEST_WITHIN: Final = 8
"""The same of one that is found anywhere in a word: a shorter one stands in others by accident."""
LONGEST: Final = 64
"""Letters of a word that is taken apart; a longer one is looked at for values of ``FEWEST_WITHIN`` alone."""
MOST_REMEMBERED: Final = 20_000
"""Words: a run sends the same texts again and again."""
_WORD: Final = re.compile(r"[^\W_]+")
_PARTS: Final = re.compile(r"\d+|[^\W\d_]+")
_BREAK: Final = r"(?:(?:\r?\n|(?:\\{1,4}r)?\\{1,4}n)[ \t>]{0,8})"
"""The end of a line, also as JSON escapes it, and how far to the right the next one begins, or that a mail quotes it."""
_HEX: Final = re.compile(
    rf"[0-9A-Fa-f]{{2}}(?:(?:[ :,-]?{_BREAK}(?:\\x|0x|%)?|[ :,-]|\\x|0x|, ?0x|%)?[0-9A-Fa-f]{{2}}){{4,}}"
)
_NO_HEX: Final = re.compile(r"0x|[^0-9A-Fa-f]")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{7,}")
_LINES: Final = re.compile(
    rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{4,}}+={{0,2}}(?:{_BREAK}[A-Za-z0-9+/_-]++={{0,2}})++"
)
"""Base64 over several lines, as mails have it."""
_WITHIN_LINES: Final = re.compile(rf"=|{_BREAK}")
_WEB: Final = str.maketrans("-_", "+/")
Find = Callable[[str], Iterable[Mark]]


class GluedValues:
    """By their letters and digits alone."""

    __slots__ = ("_long", "_seen", "_whole")

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}  # letters and digits -> field
        self._seen: dict[str, list[Mark]] = {}  # words of the texts before
        self._long: dict[str, list[tuple[str, str]]] = {}  # by how a long one begins

    def learn(self, words: list[str], field: str) -> None:
        """The words of a value, as they stand in it; two are looked for the other way round too."""
        orders = [words, words[::-1]] if len(words) == 2 else [words]
        for each in orders:
            glued = "".join(each).casefold()
            if len(glued) < FEWEST_OF_A_PART or glued in self._whole:
                continue
            self._whole[glued] = field
            self._seen.clear()
            if len(glued) >= FEWEST_WITHIN:
                self._long.setdefault(glued[:FEWEST_WITHIN], []).append((glued, field))

    def found(self, text: str, find: Find) -> Iterator[Mark]:
        """Where they stand in a text; ``find`` tells where values stand in one as they are."""
        yield from self._glued(text)
        yield from _encoded(text, lambda decoded: [*find(decoded), *self._glued(decoded)])

    def _glued(self, text: str) -> Iterator[Mark]:
        words = set(_WORD.findall(text)) if self._whole else set()
        if len(self._seen) + len(words) > MOST_REMEMBERED:
            self._seen.clear()
        for word in words - self._seen.keys():
            self._seen[word] = list(self._within(word)) if len(word) >= FEWEST else []
        held = {word: marks for word in words if (marks := self._seen[word])}
        for word in _WORD.finditer(text) if held else ():
            for begin, end, field in held.get(word[0], ()):
                yield word.start() + begin, word.start() + end, field

    def _within(self, word: str) -> Iterator[Mark]:
        folded = word.casefold()
        if len(folded) != len(word):  # letters that become two: places would be others
            folded = word.lower() if len(word.lower()) == len(word) else word
        yield from self._long_ones(folded)
        if len(word) > LONGEST:
            return
        bare = folded.strip("0123456789")
        if len(bare) >= FEWEST and bare in self._whole:
            at = folded.index(bare)
            yield at, at + len(bare), self._whole[bare]
        for part in _PARTS.finditer(folded) if bare != folded or not folded.isalpha() else (None,):
            begin, end = part.span() if part else (0, len(folded))
            yield from self._of_several(folded, begin, end)
        yield from self._of_capitals(word, folded)

    def _long_ones(self, folded: str) -> Iterator[Mark]:
        for at in range(len(folded) - FEWEST_WITHIN + 1) if self._long else ():
            for glued, field in self._long.get(folded[at : at + FEWEST_WITHIN], ()):
                if folded.startswith(glued, at):
                    yield at, at + len(glued), field

    def _of_several(self, folded: str, begin: int, end: int) -> Iterator[Mark]:
        """A word that two values make, or more: the same one several times too."""
        fields = {begin: ""}  # of the first of the values that end at a place
        for at in range(begin, end - FEWEST_OF_A_PART + 1):
            if at not in fields:
                continue
            for until in range(at + FEWEST_OF_A_PART, end if at == begin else end + 1):
                if (field := self._whole.get(folded[at:until])) is not None:
                    fields.setdefault(until, fields[at] or field)
        if end in fields:
            yield begin, end, fields[end]

    def _of_capitals(self, word: str, folded: str) -> Iterator[Mark]:
        """Parts that each begin with a capital letter."""
        if word[1:] == folded[1:] or word.isupper():
            return
        begins = [0, *(at for at in range(1, len(word)) if word[at].isupper()), len(word)]
        for begin, end in pairwise(begins):
            part = folded[begin:end].rstrip("0123456789")
            if len(part) >= FEWEST and part in self._whole:
                yield begin, begin + len(part), self._whole[part]


def _encoded(text: str, find: Find) -> Iterator[Mark]:
    """What is a text in hex or base64 that holds a value: all of it."""
    for pattern, decoded in ((_HEX, _from_hex), (_BASE64, _from_base64), (_LINES, _from_lines)):
        held = {
            written: field for written in set(pattern.findall(text)) if (field := _first_in(decoded(written), find))
        }
        for found in pattern.finditer(text) if held else ():
            if found[0] in held:
                yield found.start(), found.end(), held[found[0]]


def _first_in(texts: Iterable[str], find: Find) -> str:
    return next((field for text in texts for _, _, field in find(text)), "")


def _from_hex(written: str) -> Iterator[str]:
    """A digit that is none of it may stand before."""
    digits = _NO_HEX.sub("", written)
    for begin in (0, 1):
        yield from _as_text(bytes.fromhex(digits[begin : begin + (len(digits) - begin) // 2 * 2]))


def _from_base64(written: str) -> Iterator[str]:
    """Where letters are small and capital or digits are among them, as in all but a few: other words are words. What stands before
    may look like a part of it."""
    if written[1:].islower() or written.isupper() or not any(letter.isupper() for letter in written):
        return
    plain = written.translate(_WEB)
    for begin in range(4):
        whole = plain[begin : begin + (len(plain) - begin) // 4 * 4]
        rest = plain[begin + len(whole) :]
        yield from _as_text(base64.b64decode(whole + (rest + "=" * (4 - len(rest)) if len(rest) > 1 else "")))


def _from_lines(written: str) -> Iterator[str]:
    """What ends one text in base64 and begins the next is seen too: each of the four ways to begin is tried."""
    return _from_base64(_WITHIN_LINES.sub("", written))


def _as_text(data: bytes) -> Iterator[str]:
    """Of two bytes a letter too, as some programs write it; none where it is no text."""
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    text = data.decode("utf-8", "replace")
    if sum(map(str.isprintable, text)) * 2 > len(text):
        yield text
