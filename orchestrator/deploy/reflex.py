"""Reflex rules, compiled: which rule fires on a text, and what it takes from it. No model, no wait.

No rule can hold a request up: patterns look at no more of a text than they can afford (``core/pattern.py``), texts that
are longer than ``LONGEST_TEXT`` are no reflex, and templates have a budget (``deploy/template.py``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.asking import what_is_asked
from orchestrator.core.blueprint import ReflexSpec
from orchestrator.core.errors import DeployError
from orchestrator.core.pattern import SafePattern, UnsafePattern, compile_safely
from orchestrator.deploy.template import Render, compile_template
from orchestrator.ports.strategy import Candidate, InstantStrategy, RouteQuestion

LONGEST_TEXT: Final = 4_000
"""Characters of a request that patterns look at; longer requests are no reflex."""
ESCALATE: Final = "agent.escalate"
"""The ``call`` by which a rule hands over to the agent's ``escalate_to``."""

Condition = Callable[[str, str], bool]
"""Takes the text and its folded form."""
FitIntents = Callable[[tuple[Candidate, ...]], InstantStrategy]


@dataclass(frozen=True, slots=True)
class Reflex:
    """A compiled rule. ``arguments`` are values, or templates for texts."""

    number: int
    conditions: tuple[Condition, ...]
    intent: str
    extract: tuple[tuple[str, SafePattern], ...]
    call: str
    arguments: Mapping[str, Any | Render]
    say: Render
    first: bool
    unsure: bool


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule that fired, with the values that it took from the text."""

    reflex: Reflex
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReflexTable:
    """The rules of one agent, in order. ``intents`` recognises the rules' intents where any rule names one."""

    rules: tuple[Reflex, ...]
    intents: InstantStrategy | None = None

    def fire(self, text: str, *, first: bool) -> Iterator[Firing]:
        """The rules that fire, in order: with ``first`` only those tried before a model, else all."""
        if not self.rules or len(text) > LONGEST_TEXT:
            return
        folded = fold(text)
        meant: str | None = None
        asked = False
        for rule in self.rules:
            if first and not rule.first:
                continue
            if rule.intent and not asked:
                asked, meant = True, self._intent(text)
            if rule.intent and meant != rule.intent:
                continue
            if not all(condition(text, folded) for condition in rule.conditions):
                continue
            values = _extract(rule, text)
            if values is not None:
                yield Firing(rule, values)

    def _intent(self, text: str) -> str | None:
        return self.intents.decide_now(RouteQuestion(text)).choice if self.intents else None


def compile_reflexes(specs: Sequence[ReflexSpec], fit: FitIntents) -> ReflexTable:
    """Compile an agent's rules. Raises ``DeployError`` that names the rule where one is not valid."""
    rules = tuple(_compile(number, spec) for number, spec in enumerate(specs, 1))
    named = tuple(
        Candidate(str(spec["when"]["intent"]), examples=tuple(spec["when"].get("examples") or ()))
        for spec in specs
        if spec["when"].get("intent") and spec["when"].get("examples")
    )
    return ReflexTable(rules, fit(named) if named else None)


def _compile(number: int, spec: ReflexSpec) -> Reflex:
    try:
        return Reflex(
            number=number,
            conditions=tuple(conditions_of(spec["when"])),
            intent=str(spec["when"].get("intent") or ""),
            extract=tuple((name, compile_safely(source, whole=True)) for name, source in spec["extract"].items()),
            call=spec["call"] or "",
            arguments={name: compile_value(value) for name, value in spec["arguments"].items()},
            say=compile_template(spec["say"]),
            first=spec["first"],
            unsure=spec["unsure"],
        )
    except UnsafePattern as error:
        raise DeployError(f"reflex rule {number}: {error}", cure="Write a simpler pattern, or use keywords.") from error
    except DeployError as error:
        raise DeployError(f"reflex rule {number}: {error.message}", cure=error.cure) from error


def compile_value(value: Any) -> Any:
    """A text becomes a ``Render``; lists and maps are gone through; everything else stays."""
    if isinstance(value, str):
        return compile_template(value)
    if isinstance(value, Mapping):
        return {key: compile_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [compile_value(inner) for inner in value]
    return value


def fill_value(value: Any, values: Mapping[str, Any]) -> Any:
    """The other half of :func:`compile_value`: fill every template in."""
    if callable(value):
        return value(values)
    if isinstance(value, Mapping):
        return {key: fill_value(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill_value(inner, values) for inner in value]
    return value


def conditions_of(when: Mapping[str, Any]) -> list[Condition]:
    """The written conditions of a rule, except its intent."""
    found: list[Condition] = []
    if when.get("regex"):
        pattern = compile_safely(str(when["regex"]))
        found.append(lambda text, folded: pattern.search(text) is not None)
    if when.get("asks"):
        asked = compile_safely(str(when["asks"]), whole=True)
        found.append(lambda text, folded: asked.begins(what_is_asked(text)))
    if when.get("keywords"):
        words = _any_word(when["keywords"])
        found.append(lambda text, folded: words.search(folded) is not None)
    if when.get("min_chars") is not None:
        least = int(when["min_chars"])
        found.append(lambda text, folded: len(text) >= least)
    if when.get("max_chars") is not None:
        most = int(when["max_chars"])
        found.append(lambda text, folded: len(text) <= most)
    return found


def _any_word(words: Sequence[str]) -> re.Pattern[str]:
    folded = sorted((re.escape(fold(word)) for word in words), key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(folded) + r")(?!\w)")


def _extract(rule: Reflex, text: str) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for name, pattern in rule.extract:
        match = pattern.search(text)
        if match is None:
            return None
        value = match[1] if match.re.groups and match[1] is not None else match[0]
        values[name] = value.strip()
    return values


def fold(text: str) -> str:
    """Lower case without accents, spaces made single."""
    flat = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(char for char in flat if not unicodedata.combining(char)).split())
