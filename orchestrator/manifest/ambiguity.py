"""Regular expressions that backtracking may take for ever over.

A pattern is exponentially ambiguous where one text can lead from a state back to itself in two ways (``(a+)+``, ``(a|a)*``).
The pattern becomes an automaton of its character positions (Glushkov 1961); two copies of it are walked side by side, and
a pair of different positions that is reached from, and leads back to, a pair of equal ones is the proof
(Weber and Seidl, "On the degree of ambiguity of finite automata", 1991). Look-arounds and back references are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Final

MANY: Final = 10
"""A bounded repeat of this many or more is as slow as an unbounded one."""
MOST_POSITIONS: Final = 4_000
MOST_STEPS: Final = 200_000
"""Work that is spent on one pattern, about a tenth of a second; a pattern that needs more is refused as too complex."""
CUBIC: Final = 3
"""The power of the text's length from which a pattern is refused: 4,000 characters cubed are minutes."""

_SAMPLES: Final = "azAZ09_ \t\n.,;:-/@#$%!?'\"()[]{}\u00e9\u4e2d"
_CATEGORY: Final[dict[Any, Callable[[str], bool]]] = {
    sre.CATEGORY_DIGIT: str.isdigit,
    sre.CATEGORY_NOT_DIGIT: lambda char: not char.isdigit(),
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    sre.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    sre.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


@dataclass(slots=True)
class _Part:
    """A piece of the automaton: the positions that it may begin and end with, and whether it may match nothing."""

    first: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)
    nullable: bool = True


class _TooComplex(Exception):
    pass


@lru_cache(maxsize=4096)
def worst_case(pattern: str) -> str:
    """``exponential`` or ``cubic`` where some text makes a search with ``pattern`` (case ignored) take that many steps, else
    an empty text; ``complex`` where that cannot be told in reasonable time. The pattern must compile."""
    if not any(sign in pattern for sign in "*+{"):
        return ""
    try:
        return _Automaton(pattern).worst_case()
    except _TooComplex:
        return "complex"


class _Automaton:
    def __init__(self, pattern: str) -> None:
        self.chars: list[frozenset[str]] = []
        self.follow: list[set[int]] = []
        self.doubled: set[tuple[int, int]] = set()
        self.anchored = False
        self.steps = 0
        self.nullable_repeat = False
        self.samples = sorted(
            {char for text in (_SAMPLES, pattern) for one in text for char in (one.lower(), one.upper())}
        )
        parsed = sre_parser.parse(pattern, re.IGNORECASE)
        self.anchored = bool(parsed.data) and parsed.data[0] in (
            (sre.AT, sre.AT_BEGINNING),
            (sre.AT, sre.AT_BEGINNING_STRING),
        )
        self.whole = self.part(parsed)

    def part(self, items: Iterable[tuple[Any, Any]]) -> _Part:
        """The pieces of a sequence, joined."""
        whole = _Part()
        for operation, argument in items:
            whole = self._join(whole, self._one(operation, argument))
        return whole

    def _one(self, operation: Any, argument: Any) -> _Part:
        if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(*argument)
        if operation is sre.SUBPATTERN:
            return self.part(argument[3])
        if operation is sre.BRANCH:
            return self._either([self.part(option) for option in argument[1]])
        if operation is sre.GROUPREF_EXISTS:
            return self._either([self.part(option or []) for option in argument[1:]])
        if operation in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            return self._position(frozenset(c for c in self.samples if _matches(operation, argument, c)))
        return _Part()  # an anchor or look-around takes no text; an atomic group gives nothing back

    def _position(self, chars: frozenset[str]) -> _Part:
        if len(self.chars) >= MOST_POSITIONS:
            raise _TooComplex
        self.chars.append(chars)
        self.follow.append(set())
        number = len(self.chars) - 1
        return _Part({number}, {number}, nullable=False)

    def _repeat(self, least: int, most: Any, items: Any) -> _Part:
        part = self.part(items)
        if most is sre.MAXREPEAT or most >= MANY:
            self.nullable_repeat |= part.nullable and most is not sre.MAXREPEAT
            self._link(part.last, part.first)
        else:
            for _ in range(most - 1):
                again = self.part(items)
                again.nullable = again.nullable or least == 0
                part = self._join(part, again)
        part.nullable = part.nullable or least == 0
        return part

    def _either(self, parts: list[_Part]) -> _Part:
        first = set().union(*(part.first for part in parts))
        last = set().union(*(part.last for part in parts))
        return _Part(first, last, any(part.nullable for part in parts))

    def _join(self, before: _Part, after: _Part) -> _Part:
        self._link(before.last, after.first)
        first = before.first | after.first if before.nullable else before.first
        last = after.last | before.last if after.nullable else after.last
        return _Part(first, last, before.nullable and after.nullable)

    def _link(self, sources: set[int], targets: set[int]) -> None:
        for source in sources:
            follow = self.follow[source]
            self.doubled.update((source, target) for target in targets & follow)
            follow |= targets
            self._spend(len(targets))

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise _TooComplex

    def worst_case(self) -> str:
        """How the time of a search may grow with the length of the text."""
        self.loops = _components(self.follow)
        if self.nullable_repeat or any(self.loops[one] == self.loops[two] for one, two in self.doubled):
            return "exponential"
        if any(self._splits(start) for start in range(len(self.chars))):
            return "exponential"
        return "cubic" if self._degree() >= CUBIC else ""

    def _splits(self, start: int) -> bool:
        """Whether a walk from ``start`` back to itself may go two ways over one text."""
        inner = [target for target in self.follow[start] if self.loops[target] == self.loops[start]]
        if len(inner) < 2:
            return False
        away = {pair for pair in self._reach((start, start)) if pair[0] != pair[1]}
        return any((start, start) in self._after(pair) for pair in away)

    def _after(self, pair: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """The pairs that one character leads to, without leaving the loop."""
        home = self.loops[pair[0]]
        for one in self.follow[pair[0]]:
            for other in self.follow[pair[1]]:
                self._spend(1)
                if self.loops[one] == home == self.loops[other] and self.chars[one] & self.chars[other]:
                    yield (one, other)

    def _reach(self, start: tuple[int, int]) -> set[tuple[int, int]]:
        seen: set[tuple[int, int]] = set()
        waiting = [start]
        while waiting:
            for pair in self._after(waiting.pop()):
                if pair not in seen:
                    seen.add(pair)
                    waiting.append(pair)
        return seen

    def _degree(self) -> int:
        """Loops in a row that do not know where to end: each adds a power of the text's length, as does a free start."""
        weights = [int(self._is_loose(position)) for position in range(len(self.chars))]
        best = dict.fromkeys(range(len(self.chars)), 0)
        for position in sorted(best, key=lambda one: self.loops[one]):  # components are numbered from the end
            onward = [best[target] for target in self.follow[position] if self.loops[target] != self.loops[position]]
            best[position] = weights[position] + max(onward, default=0)
        free = 0 if self.anchored else 1
        return max((best[one] + (free if weights[one] else 0) for one in self.whole.first), default=0)

    def _is_loose(self, position: int) -> bool:
        """Whether a position repeats itself and what follows it may begin with the same character."""
        if position not in self.follow[position]:
            return False
        return any(other != position and self.chars[position] & self.chars[other] for other in self.follow[position])


def _components(follow: list[set[int]]) -> list[int]:
    """The strongly connected component of every position, numbered from the end of the graph (Tarjan 1972, without recursion)."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    found = [-1] * len(follow)
    stack: list[int] = []
    closed = 0
    for root in range(len(follow)):
        work: list[tuple[int, Iterator[int]]] = [] if root in number else [(root, iter(follow[root]))]
        while work:
            node, targets = work[-1]
            if node not in number:
                number[node] = low[node] = len(number)
                stack.append(node)
            onward = next((target for target in targets if target not in number), None)
            if onward is not None:
                work.append((onward, iter(follow[onward])))
                continue
            work.pop()
            low[node] = min([number[node], *(low[t] for t in follow[node] if found[t] < 0)])
            if low[node] == number[node]:
                members = stack[stack.index(node) :]
                del stack[-len(members) :]
                for member in members:
                    found[member] = closed
                closed += 1
    return found


def _matches(operation: Any, argument: Any, char: str) -> bool:
    """Whether one element of a pattern matches a character, case ignored."""
    if operation is sre.ANY:
        return char != "\n"
    if operation is sre.LITERAL:
        return chr(argument).lower() == char.lower()
    if operation is sre.NOT_LITERAL:
        return chr(argument).lower() != char.lower()
    negated = argument[0][0] is sre.NEGATE
    return negated != any(_in_set(kind, value, char) for kind, value in argument)


def _in_set(kind: Any, value: Any, char: str) -> bool:
    if kind is sre.LITERAL:
        return chr(value).lower() == char.lower()
    if kind is sre.RANGE:
        return any(value[0] <= ord(one) <= value[1] for one in {char, char.lower(), char.upper()} if len(one) == 1)
    return kind is sre.CATEGORY and _CATEGORY[value](char)
