"""A written ``when``, compiled: the same conditions, whether a router's way or a reflex rule has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.asking import what_is_asked
from orchestrator.core.errors import DeployError
from orchestrator.core.names import did_you_mean
from orchestrator.core.pattern import UnsafePattern, compile_safely
from orchestrator.core.words import LONGEST_TEXT, Phrases, Wording

_EVERYTHING: Final = 1 << 62


class Matter:
    """A request as conditions look at it. What several of them need is made once; ``seen`` is how much of the text was looked
    at where one that looked at a part of it does not hold, and might on the whole: ``None`` where there was none."""

    __slots__ = ("_asked", "_wording", "complexity", "seen", "text")

    def __init__(self, text: str, complexity: str = "") -> None:
        self.text = text
        self.complexity = complexity
        self.seen: int | None = None
        self._wording: Wording | None = None
        self._asked: str | None = None

    @property
    def wording(self) -> Wording:
        """Its words, to look for phrases."""
        if self._wording is None:
            self._wording = Wording(self.text)
        return self._wording

    @property
    def asked(self) -> str:
        """What it asks for, without greetings and polite words."""
        if self._asked is None:
            self._asked = what_is_asked(self.text)
        return self._asked

    def saw_only(self, characters: int) -> None:
        """Note that something was not found in the first ``characters`` of a longer text."""
        self.seen = characters if self.seen is None else min(self.seen, characters)

    @property
    def unread(self) -> str:
        """How much was looked at, in words for people; empty where all was that mattered."""
        return "" if self.seen is None else beginning_of(self.text, self.seen)


Check = Callable[[Matter], str]
"""What holds of a request, in words; empty where it does not hold."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of a ``when``, and how many characters of a text it looks at."""

    check: Check
    longest: int = _EVERYTHING


def compile_when(when: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Its conditions in the order written; keys without a value are none. Raises ``DeployError`` for a key that is no
    condition, and for a pattern that is not safe."""
    return tuple(_compile(key, value) for key, value in when.items() if value is not None and value not in ("", [], ()))


def why_all_hold(conditions: Sequence[Condition], matter: Matter) -> list[str] | None:
    """Why each holds; ``None`` where one does not."""
    reasons: list[str] = []
    seen = length = len(matter.text)
    for condition in conditions:
        reason = condition.check(matter)
        if reason:
            reasons.append(reason)
        elif condition.longest < length:
            seen = min(seen, condition.longest)  # it may hold of the whole: the others decide whether that matters
        else:
            return None
    if seen == length:
        return reasons
    matter.saw_only(seen)
    return None


def _compile(key: str, value: Any) -> Condition:
    make = _CONDITIONS.get(key)
    if make is None:
        cure = did_you_mean(key, _CONDITIONS) or f"conditions are {', '.join(_CONDITIONS)}"
        raise DeployError(f'there is no condition "{key}"', cure=cure)
    try:
        return make(value)
    except UnsafePattern as error:
        raise DeployError(str(error), cure="write a simpler pattern, or use keywords") from error


def _regex(source: Any) -> Condition:
    safe, written = compile_safely(str(source)), shortened(str(source))

    def check(matter: Matter) -> str:
        match = safe.found_in(matter.text)
        return "" if match is None else f'the pattern {written} finds "{shortened(match[0])}"'

    return Condition(check, safe.longest)


def _asks(source: Any) -> Condition:
    """Its reason is what the request says: such a pattern lists many ways to ask, and is long."""
    safe = compile_safely(str(source), whole=True)

    def check(matter: Matter) -> str:
        match = safe.begins(matter.asked)
        return "" if match is None else f'it asks "{shortened(match[0])}"'

    return Condition(check, safe.reach)


def _keywords(phrases: Any) -> Condition:
    wanted = Phrases(_several(phrases))

    def check(matter: Matter) -> str:
        found = wanted.found_in(matter.wording)
        return "it says " + ", ".join(f'"{phrase}"' for phrase in found) if found else ""

    return Condition(check, LONGEST_TEXT)


def _min_chars(least: Any) -> Condition:
    return Condition(lambda matter: f"it has at least {least} characters" if len(matter.text) >= int(least) else "")


def _max_chars(most: Any) -> Condition:
    return Condition(lambda matter: f"it has at most {most} characters" if len(matter.text) <= int(most) else "")


def _complexity(wanted: Any) -> Condition:
    accepted = tuple(_several(wanted))
    return Condition(lambda matter: f"it is {matter.complexity}" if matter.complexity in accepted else "")


_CONDITIONS: Final[Mapping[str, Callable[[Any], Condition]]] = {
    "regex": _regex,
    "asks": _asks,
    "keywords": _keywords,
    "min_chars": _min_chars,
    "max_chars": _max_chars,
    "complexity": _complexity,
}


def _several(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value]


def shortened(text: str, length: int = 60) -> str:
    """On one line, cut at ``length`` characters, for explanations."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def beginning_of(text: str, seen: int) -> str:
    """How much of a text was looked at, for explanations."""
    return f"the first {seen:,} of {len(text):,} characters"
