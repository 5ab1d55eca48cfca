r"""Regular expressions of users, made safe to run on strangers' texts.

Python's ``re`` tries alternatives one after another, so that some patterns take time that doubles with every character.
Those (a wide repeat of something that can match the same text in several ways) are refused. The others take at most about
``ways * n ** (k + 1)`` steps on ``n`` characters, with ``k`` wide repeats that can compete for the same ones; the text that
they look at is cut so that this stays within a budget. ``where\s+is`` holds none: ``i`` ends what ``\s+`` can take.
The bound is that of a backtracking matcher, after "Static Detection of DoS Vulnerabilities in Programs that use Regular
Expressions" (Wüstholz and others, 2017), on characters of a sample instead of an automaton: coarser, but short.

Of a longer text the beginning is searched. What is found there holds of the whole text too, unless the pattern looks beyond
its match (``$``, ``\b``, a lookahead) and could have seen the cut: then it is tried once more where it was found, and from one
place the budget goes further (``ways * n ** k`` steps).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from orchestrator.core.pattern_text import TOKEN, bounds_of, is_repeat, without_idle_ends
from orchestrator.core.words import LONGEST_TEXT

BUDGET: Final = 20_000_000
"""Steps of matching in the worst case: about a tenth of a second."""
_FARTHEST: Final = 1_000_000
_SHORTEST: Final = 20
_WIDE: Final = 10


class UnsafePattern(ValueError):
    """A pattern that is no pattern, or that could take for ever. Its text says why and what to do."""


@dataclass(frozen=True, slots=True)
class SafePattern:
    """A compiled pattern, case-insensitive, and how far it may look.

    ``longest``: the most characters of a text in which a match may begin; ``reach``: the most that it may look at from one
    place; ``beyond``: how many behind its match it may look at, ``None`` where that is not bounded.
    """

    pattern: re.Pattern[str]
    longest: int
    reach: int
    beyond: int | None

    def found_in(self, text: str) -> re.Match[str] | None:
        """A match that begins in the first ``longest`` characters, for who asks whether there is one: it may be shorter than it
        could be."""
        return self._known(self.pattern.search(text, 0, self.longest), text, self.longest, self.beyond)

    def taken_from(self, text: str) -> re.Match[str] | None:
        """The same for who wants what it took. One that may go on beyond what is looked at is none: half a value would be worse."""
        beyond = None if self.beyond is None else max(self.beyond, 1)
        return self._known(self.pattern.search(text, 0, self.longest), text, self.longest, beyond)

    def begins(self, text: str) -> re.Match[str] | None:
        """A match with which the text begins, in its first ``reach`` characters."""
        return self._known(self.pattern.match(text, 0, self.reach), text, self.reach, self.beyond)

    def _known(self, found: re.Match[str] | None, text: str, seen: int, beyond: int | None) -> re.Match[str] | None:
        """The match, where it is one in the whole text and not only in what was ``seen`` of it."""
        if found is None or len(text) <= seen or (beyond is not None and found.end() + beyond <= seen):
            return found
        if seen == self.reach:
            return None
        return self._known(self.pattern.match(text, found.start(), self.reach), text, self.reach, beyond)


_SAMPLE: Final = frozenset(map(chr, range(128))) | frozenset("é—漢")

Chars = frozenset[str]
_NONE: Final[Chars] = frozenset()
_AT_THE_END: Final = 2
"""Characters that ``$`` looks at: a line break, and whether that is the last."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a pattern, by how a backtracking matcher fares with it.

    ``chars`` it can take (of a sample), and may begin with (``first``); ``wide``: its wide repeats that compete;
    ``ways``: in how many ways the rest of it can match the same text; ``length`` in characters, ``None`` where it
    varies; ``optional``: it may take nothing; ``simple``: a repeat of something that matches in one way; ``beyond``: how
    many characters it looks at that it does not take, ``None`` where that is not bounded.
    """

    chars: Chars
    first: Chars
    wide: int = 0
    ways: int = 1
    length: int | None = 1
    optional: bool = False
    simple: bool = False
    beyond: int | None = 0


class _Group:
    """A group while it is read: its finished choices, and the pieces of the one that is being read."""

    def __init__(self, around: bool = False) -> None:
        self.around = around
        self.choices: list[_Piece] = []
        self.pieces: list[_Piece] = []

    def end_choice(self) -> None:
        self.choices.append(_sequence(self.pieces))
        self.pieces = []

    def whole(self) -> _Piece:
        self.end_choice()
        piece = _choice(self.choices) if len(self.choices) > 1 else self.choices[0]
        if self.around:  # it takes nothing, and what it saw is not looked at in another way
            beyond = None if piece.length is None or piece.beyond is None else piece.length + piece.beyond
            return _Piece(_NONE, _NONE, piece.wide, piece.ways, length=0, optional=True, beyond=beyond)
        return piece


def compile_safely(source: str, *, whole: bool = False) -> SafePattern:
    """Compile it, case-insensitive. Raises :class:`UnsafePattern`.

    ``whole`` keeps what stands at its ends and changes nothing about whether a search finds something: for those who want the
    text that it matched, or where.
    """
    try:
        pattern = re.compile(source, re.IGNORECASE)
        needed = source if whole else without_idle_ends(source)
        if needed != source:
            pattern = re.compile(needed, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsafePattern(f"{source!r} is no valid pattern: {error}") from error
    if pattern.flags & re.VERBOSE:
        raise UnsafePattern(f"{source!r} is written in the verbose form (?x), which is not read here")
    piece = _read(needed)
    longest = int((BUDGET / piece.ways) ** (1 / (piece.wide + 1)))
    if longest < _SHORTEST:
        raise UnsafePattern(f"{source!r} can match the same text in too many ways; write it with fewer repeats")
    reach = min(_FARTHEST, int((BUDGET / piece.ways) ** (1 / piece.wide))) if piece.wide else _FARTHEST
    return SafePattern(pattern, min(LONGEST_TEXT, longest), reach, piece.beyond)


def _read(source: str) -> _Piece:
    """The whole pattern as one piece; raises where a wide repeat is not safe."""
    sample = _SAMPLE | frozenset(source)
    groups = [_Group()]
    for token in TOKEN.finditer(source):
        pieces = groups[-1].pieces
        if token.lastgroup == "char":
            pieces.append(_single(token[0], sample))
        elif token["open"]:
            groups.append(_Group(around=bool(token["around"])))
        elif token["close"] and len(groups) > 1:
            piece = groups.pop().whole()
            groups[-1].pieces.append(piece)
        elif token["choice"]:
            groups[-1].end_choice()
        elif pieces and is_repeat(token):
            pieces.append(_repeated(pieces.pop(), token, source))
        elif token["again"]:
            pieces.append(_Piece(sample, sample, wide=1, length=None, optional=True))
        elif not token["close"] and not token["idle"]:
            pieces.append(_single(token[0], sample))
    return groups[0].whole()


def _single(text: str, sample: Chars) -> _Piece:
    if len(text) == 1 and text.isascii() and text not in ".^$":
        return _letter(text)
    if text in ("^", "$") or re.fullmatch(r"\\[AbBZ]", text):
        return _Piece(_NONE, _NONE, length=0, optional=True, beyond=0 if text in ("^", r"\A") else _AT_THE_END)
    try:
        pattern = re.compile(text, re.IGNORECASE | re.DOTALL)
    except re.error:
        return _Piece(sample, sample, length=None, optional=True)  # half of something rare: it may take anything
    chars = frozenset(char for char in sample if pattern.fullmatch(char))
    return _Piece(chars, chars)


@lru_cache(maxsize=128)
def _letter(char: str) -> _Piece:
    """A character of ASCII that stands for itself; patterns are mostly made of them."""
    chars = frozenset((char, char.lower(), char.upper()))
    return _Piece(chars, chars)


def _sequence(pieces: list[_Piece]) -> _Piece:
    """Repeats compete, until something that must stand between ends what they can take: then of those that competed
    one is decided, and the others multiply what comes later."""
    if len(pieces) == 1:
        return pieces[0]
    wide = widest = 0
    ways = math.prod(piece.ways for piece in pieces if piece.length is not None)
    competing: list[_Piece] = []
    for piece in pieces:
        if competing and not piece.optional and not piece.chars & _NONE.union(*(each.chars for each in competing)):
            wide, ways = wide + _left_wide(competing), ways * _left_ways(competing)
            competing = []
        if piece.length is None or piece.wide:
            competing.append(piece)
            widest = max(widest, wide + sum(each.wide for each in competing))
    lengths = [piece.length for piece in pieces]
    return _Piece(
        chars=_NONE.union(*(piece.chars for piece in pieces)),
        first=_first_of(pieces),
        wide=widest,
        ways=ways * math.prod(piece.ways for piece in competing),
        length=None if None in lengths else sum(length or 0 for length in lengths),
        optional=all(piece.optional for piece in pieces),
        beyond=_farthest(pieces),
    )


def _left_wide(competing: list[_Piece]) -> int:
    wide = sum(piece.wide for piece in competing)
    return wide - 1 if wide and all(piece.simple for piece in competing) else wide


def _left_ways(competing: list[_Piece]) -> int:
    one = len(competing) == 1 and competing[0].simple
    return 1 if one else math.prod(piece.ways for piece in competing)


def _first_of(pieces: list[_Piece]) -> Chars:
    first = _NONE
    for piece in pieces:
        first |= piece.first
        if not piece.optional:
            break
    return first


def _choice(choices: list[_Piece]) -> _Piece:
    """Of choices that begin differently only one can match."""
    lengths = {choice.length for choice in choices}
    starts = [choice.first for choice in choices if not choice.optional]
    alike = max((sum(char in start for start in starts) for char in _NONE.union(*starts)), default=0)
    alike += len(choices) - len(starts)
    return _Piece(
        chars=_NONE.union(*(choice.chars for choice in choices)),
        first=_NONE.union(*(choice.first for choice in choices)),
        wide=max(choice.wide for choice in choices),
        ways=max(alike, 1) * max(choice.ways for choice in choices),
        length=lengths.pop() if len(lengths) == 1 else None,
        optional=any(choice.optional for choice in choices),
        beyond=_farthest(choices),
    )


def _farthest(pieces: list[_Piece]) -> int | None:
    beyond = [piece.beyond for piece in pieces]
    return None if None in beyond else max((each or 0 for each in beyond), default=0)


def _repeated(piece: _Piece, token: re.Match[str], source: str) -> _Piece:
    least, most = bounds_of(token)
    one_way = piece.ways == 1 and not piece.wide
    if most >= _WIDE and not one_way:
        raise UnsafePattern(
            f"{source!r} repeats something that can match in several ways, which could take for ever; "
            "write it without a repeat or a choice inside a repeat"
        )
    varies = least != most
    length = None if varies or piece.length is None else piece.length * most
    optional = piece.optional or least == 0
    if most >= _WIDE:
        return replace(piece, wide=int(varies), ways=1, length=length, optional=optional, simple=varies)
    ways = (most - least + 1) * piece.ways ** max(most, 1)
    wide, simple = piece.wide * max(most, 1), one_way and varies
    return replace(piece, wide=wide, ways=ways, length=length, optional=optional, simple=simple)
