r"""Regular expressions of users, made safe to run on strangers' texts.

Python's ``re`` tries alternatives one after another, so that some patterns take time that doubles with every character.
Those (a wide repeat of something that can match the same text in several ways) are refused. The others take at most about
``ways * n ** (k + 1)`` steps on ``n`` characters, with ``k`` wide repeats that can compete for the same ones; the text that
they look at is cut so that this stays within a budget. ``where\s+is`` holds none: ``i`` ends what ``\s+`` can take.
The bound is that of a backtracking matcher, after "Static Detection of DoS Vulnerabilities in Programs that use Regular
Expressions" (Wüstholz and others, 2017), on characters of a sample instead of an automaton: coarser, but short.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_BUDGET: Final = 20_000_000
"""Steps of matching in the worst case: about a tenth of a second."""
LONGEST: Final = 20_000
_SHORTEST: Final = 20
_WIDE: Final = 10
_ENDLESS: Final = 1_000_000
_SIGNS: Final = {"*": (0, _ENDLESS), "+": (1, _ENDLESS), "?": (0, 1)}
_TOKEN: Final = re.compile(
    r"""(?P<idle>\(\?(?:\#[^)]*|[aiLmsux]+)\))
      | (?P<again>\\[1-9]\d?|\(\?P=\w+\))
      | (?P<escape>\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|N\{[^}]*\}|0[0-7]{0,2}|.)|\[\^?\]?(?:\\.|[^\]\\])*\])
      | (?P<open>\((?:\?(?:P<\w+>|[aiLmsux-]*:|(?P<around><?[=!])|>))?)
      | (?P<close>\))
      | (?P<choice>\|)
      | (?P<repeat>[*+?]|\{(?P<least>\d*)(?P<comma>,)?(?P<most>\d*)\})[?+]?
      | (?P<char>.)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


class UnsafePattern(ValueError):
    """A pattern that is no pattern, or that could take for ever. Its text says why and what to do."""


@dataclass(frozen=True, slots=True)
class SafePattern:
    """A compiled pattern, and the most characters of a text that it may look at."""

    pattern: re.Pattern[str]
    longest: int

    def search(self, text: str) -> re.Match[str] | None:
        """The first match in the first ``longest`` characters; case does not matter. One that reaches the end of what is
        looked at is none where the text goes on: what it would have taken there is not known."""
        return self._within(self.pattern.search(text, 0, self.longest), text)

    def begins(self, text: str) -> bool:
        """Whether the text begins with a match, of which the same holds."""
        return self._within(self.pattern.match(text, 0, self.longest), text) is not None

    def _within(self, found: re.Match[str] | None, text: str) -> re.Match[str] | None:
        return found if found is None or found.end() < self.longest or len(text) <= self.longest else None


_SAMPLE: Final = frozenset(map(chr, range(128))) | frozenset("é—漢")

Chars = frozenset[str]
_NONE: Final[Chars] = frozenset()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a pattern, by how a backtracking matcher fares with it.

    ``chars`` it can take (of a sample), and may begin with (``first``); ``wide``: its wide repeats that compete;
    ``ways``: in how many ways the rest of it can match the same text; ``length`` in characters, ``None`` where it
    varies; ``optional``: it may take nothing; ``simple``: a repeat of something that matches in one way.
    """

    chars: Chars
    first: Chars
    wide: int = 0
    ways: int = 1
    length: int | None = 1
    optional: bool = False
    simple: bool = False


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
            return _Piece(_NONE, _NONE, piece.wide, piece.ways, length=0, optional=True)
        return piece


def compile_safely(source: str, *, whole: bool = False) -> SafePattern:
    """Compile it, case-insensitive. Raises :class:`UnsafePattern`.

    ``whole`` keeps ``.*`` at its ends, for those who want the text that it matched and not only whether it did.
    """
    try:
        re.compile(source)
        needed = source if whole else _without_idle_ends(source)
        pattern = re.compile(needed, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsafePattern(f"{source!r} is no valid pattern: {error}") from error
    if pattern.flags & re.VERBOSE:
        raise UnsafePattern(f"{source!r} is written in the verbose form (?x), which is not read here")
    piece = _read(needed)
    longest = int((_BUDGET / piece.ways) ** (1 / (piece.wide + 1)))
    if longest < _SHORTEST:
        raise UnsafePattern(f"{source!r} can match the same text in too many ways; write it with fewer repeats")
    return SafePattern(pattern, min(LONGEST, longest))


def _read(source: str) -> _Piece:
    """The whole pattern as one piece; raises where a wide repeat is not safe."""
    sample = _SAMPLE | frozenset(source)
    groups = [_Group()]
    for token in _TOKEN.finditer(source):
        pieces = groups[-1].pieces
        if token["open"]:
            groups.append(_Group(around=bool(token["around"])))
        elif token["close"] and len(groups) > 1:
            piece = groups.pop().whole()
            groups[-1].pieces.append(piece)
        elif token["choice"]:
            groups[-1].end_choice()
        elif token["repeat"] and pieces and not _is_literal_brace(token):
            pieces.append(_repeated(pieces.pop(), token, source))
        elif token["again"]:
            pieces.append(_Piece(sample, sample, wide=1, length=None, optional=True))
        elif not token["close"] and not token["idle"]:
            pieces.append(_single(token[0], sample))
    return groups[0].whole()


def _single(text: str, sample: Chars) -> _Piece:
    if text in ("^", "$") or re.fullmatch(r"\\[AbBZ]", text):
        return _Piece(_NONE, _NONE, length=0, optional=True)
    if len(text) == 1 and text.isascii() and text != ".":
        chars = sample & {text, text.lower(), text.upper()}
        return _Piece(chars, chars)
    try:
        pattern = re.compile(text, re.IGNORECASE | re.DOTALL)
    except re.error:
        return _Piece(sample, sample, length=None, optional=True)  # half of something rare: it may take anything
    chars = frozenset(char for char in sample if pattern.fullmatch(char))
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
        if not piece.optional and not piece.chars & _NONE.union(*(each.chars for each in competing)):
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
    )


def _repeated(piece: _Piece, token: re.Match[str], source: str) -> _Piece:
    least, most = _bounds(token)
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
        return _Piece(piece.chars, piece.first, int(varies), 1, length, optional, simple=varies)
    ways = (most - least + 1) * piece.ways ** max(most, 1)
    return _Piece(
        piece.chars, piece.first, piece.wide * max(most, 1), ways, length, optional, simple=one_way and varies
    )


def _bounds(token: re.Match[str]) -> tuple[int, int]:
    sign = token["repeat"]
    if sign in _SIGNS:
        return _SIGNS[sign]
    least = int(token["least"] or 0)
    if token["most"]:
        return least, int(token["most"])
    return least, _ENDLESS if token["comma"] else least


def _is_literal_brace(token: re.Match[str]) -> bool:
    return token["repeat"].startswith("{") and not (token["least"] or token["most"])


def _without_idle_ends(source: str) -> str:
    """``.*`` at either end changes nothing about whether a search finds something, but costs time."""
    return re.sub(r"(?<!\\)\.\*\??$", "", re.sub(r"^\.\*\??(?![+*?{])", "", source))
