"""Reflex rules, compiled: which rule fires on a text, and what it takes from it. No model, no wait.

No rule can hold a request up: conditions look at no more of a text than they can afford (``core/conditions.py``), and
templates have a budget (``deploy/template.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.blueprint import ReflexSpec
from orchestrator.core.conditions import Condition, Matter, compile_when, why_all_hold
from orchestrator.core.errors import DeployError
from orchestrator.core.pattern import SafePattern, UnsafePattern, compile_safely
from orchestrator.deploy.template import Render, compile_template
from orchestrator.ports.strategy import Candidate, InstantStrategy, RouteQuestion

ESCALATE: Final = "agent.escalate"
"""The ``call`` by which a rule hands over to the agent's ``escalate_to``."""

_OF_INTENTS: Final = ("intent", "examples")
"""Keys of a ``when`` that are no conditions on the text alone."""

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

    def fire(self, matter: Matter, *, first: bool) -> Iterator[Firing]:
        """The rules that fire, in order: with ``first`` only those tried before a model, else all. ``matter`` notes where a rule
        that did not fire had looked at a part of the text only."""
        meant: str | None = None
        asked = False
        for rule in self.rules:
            if first and not rule.first:
                continue
            if rule.intent and not asked:
                asked, meant = True, self._intent(matter.text)
            if rule.intent and meant != rule.intent:
                continue
            if why_all_hold(rule.conditions, matter) is None:
                continue
            values = _extract(rule, matter)
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
            conditions=compile_when({key: value for key, value in spec["when"].items() if key not in _OF_INTENTS}),
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


def _extract(rule: Reflex, matter: Matter) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for name, pattern in rule.extract:
        match = pattern.taken_from(matter.text)
        if match is None:
            if pattern.longest < len(matter.text):
                matter.saw_only(pattern.longest)
            return None
        value = match[1] if match.re.groups and match[1] is not None else match[0]
        values[name] = value.strip()
    return values
