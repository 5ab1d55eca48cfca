r"""Regular expressions of users, made safe to run on strangers' texts.

Python's ``re`` tries alternatives one after another, so that some patterns take time that doubles with every character.
Those (a repeat or a choice inside a wide repeat) are refused. The others take at most about ``n ** (k + 1)`` steps on ``n``
characters, with ``k`` wide repeats that can compete for the same ones; the text that they look at is cut so that this
stays within a budget. ``where\s+is`` holds none: ``i`` ends what ``\s+`` can take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_BUDGET: Final = 20_000_000
"""Steps of matching in the worst case: about a tenth of a second."""
LONGEST: Final = 20_000
_WIDE: Final = 10
_ENDLESS: Final = 1_000_000
_SIGNS: Final = {"*": (0, _ENDLESS), "+": (1, _ENDLESS), "?": (0, 1)}
_TOKEN: Final = re.compile(
    r"""(?P<idle>\(\?(?:\#[^)]*|[aiLmsux]+)\))
      | (?P<again>\\[1-9]\d?|\(\?P=\w+\))
      | (?P<escape>\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|N\{[^}]*\}|0[0-7]{0,2}|.)|\[\^?\]?(?:\\.|[^\]\\])*\])
      | (?P<open>\((?:\?(?:P<\w+>|[aiLmsux-]*:|<?[=!]|>))?)
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
        """The first match in the first ``longest`` characters; case does not matter."""
        return self.pattern.search(text, 0, self.longest)


_SAMPLE: Final = frozenset(map(chr, range(128))) | frozenset("é—漢")

Chars = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Element:
    """A piece of a pattern: the characters it can take (of a sample), its wide repeats, whether its length varies,
    and whether it may take nothing."""

    chars: Chars
    wide: int = 0
    varies: bool = False
    optional: bool = False


def compile_safely(source: str) -> SafePattern:
    """Compile it, case-insensitive. Raises :class:`UnsafePattern`."""
    try:
        re.compile(source)
        needed = _without_idle_ends(source)
        pattern = re.compile(needed, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsafePattern(f"{source!r} is no valid pattern: {error}") from error
    if pattern.flags & re.VERBOSE:
        raise UnsafePattern(f"{source!r} is written in the verbose form (?x), which is not read here")
    return SafePattern(pattern, min(LONGEST, int(_BUDGET ** (1 / (_competing_repeats(needed) + 1)))))


def _competing_repeats(source: str) -> int:
    """How many wide repeats may compete for the same characters; raises where one stands inside another."""
    sample = _SAMPLE | frozenset(source)
    groups: list[list[_Element]] = [[]]
    for token in _TOKEN.finditer(source):
        elements = groups[-1]
        if token["open"]:
            groups.append([])
        elif token["close"] and len(groups) > 1:
            whole = _joined(groups.pop())
            groups[-1].append(whole)
        elif token["choice"]:
            elements[:] = [_Element(sample, _joined(elements).wide, varies=True, optional=True)]
        elif token["repeat"] and elements and not _is_literal_brace(token):
            elements.append(_repeated(elements.pop(), token, source))
        elif token["again"]:
            elements.append(_Element(sample, wide=1, varies=True, optional=True))
        elif not token["close"] and not token["idle"]:
            elements.append(_single(token[0], sample))
    return _joined(groups[0]).wide


def _single(piece: str, sample: Chars) -> _Element:
    if piece in ("^", "$") or re.fullmatch(r"\\[AbBZ]", piece):
        return _Element(frozenset(), optional=True)
    try:
        pattern = re.compile(piece, re.IGNORECASE | re.DOTALL)
    except re.error:
        return _Element(sample, optional=True)  # half of something rare: it may take anything
    return _Element(frozenset(char for char in sample if pattern.fullmatch(char)))


def _joined(elements: list[_Element]) -> _Element:
    """A sequence as one piece. Wide repeats compete unless something that must stand between them ends the first."""
    chars: Chars = frozenset().union(*(element.chars for element in elements))
    running = widest = 0
    taking: Chars = frozenset()
    for element in elements:
        if element.wide:
            running += element.wide
            taking |= element.chars
        elif not element.optional and not element.chars & taking:
            running, taking = 0, frozenset()
        widest = max(widest, running)
    varies = any(element.varies for element in elements)
    return _Element(chars, widest, varies, all(element.optional for element in elements))


def _repeated(element: _Element, token: re.Match[str], source: str) -> _Element:
    least, most = _bounds(token)
    if most >= _WIDE and element.varies:
        raise UnsafePattern(
            f"{source!r} repeats something whose own length varies, which could take for ever; "
            "write it without a repeat or a choice inside a repeat"
        )
    wide = element.wide * max(most, 1) + (1 if most >= _WIDE and least != most else 0)
    return _Element(element.chars, wide, element.varies or least != most, element.optional or least == 0)


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
