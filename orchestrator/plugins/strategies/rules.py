"""The strategy ``rules``: the first route, in the order they are written, whose conditions all hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.core.asking import what_is_asked
from orchestrator.core.errors import DeployError
from orchestrator.core.names import did_you_mean
from orchestrator.core.pattern import UnsafePattern, compile_safely
from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.keyword import Phrases
from orchestrator.plugins.strategies.text import shortened, words_of
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "rules"

Check = Callable[[RouteQuestion], str]
"""What holds of a request, in words; empty where it does not hold."""


def _regex(source: Any) -> Check:
    safe = compile_safely(str(source))

    def check(question: RouteQuestion) -> str:
        match = safe.search(question.text)
        if match is None:
            return ""
        return f'the pattern {source} finds "{shortened(match[0])}"'

    return check


def _asks(source: Any) -> Check:
    safe = compile_safely(str(source), whole=True)
    return lambda question: f"it asks for {source}" if safe.begins(what_is_asked(question.text)) else ""


def _keywords(phrases: Any) -> Check:
    wanted = Phrases(tuple(map(str, _several(phrases))))

    def check(question: RouteQuestion) -> str:
        found = wanted.found_in(words_of(question.text))
        return "it says " + ", ".join(f'"{phrase}"' for phrase in found) if found else ""

    return check


def _min_chars(least: Any) -> Check:
    return lambda question: f"it has at least {least} characters" if len(question.text) >= int(least) else ""


def _max_chars(most: Any) -> Check:
    return lambda question: f"it has at most {most} characters" if len(question.text) <= int(most) else ""


def _complexity(wanted: Any) -> Check:
    accepted = tuple(map(str, _several(wanted)))
    return lambda question: f"it is {question.complexity}" if question.complexity in accepted else ""


_CHECKS: Final[Mapping[str, Callable[[Any], Check]]] = {
    "regex": _regex,
    "asks": _asks,
    "keywords": _keywords,
    "min_chars": _min_chars,
    "max_chars": _max_chars,
    "complexity": _complexity,
}
"""The table of conditions that a route's ``when`` may hold."""


class Rules(Instant):
    """Tries each route's checks in order."""

    def __init__(self, routes: Sequence[tuple[str, tuple[Check, ...]]]) -> None:
        self._routes = tuple(routes)
        self.notes = () if routes else ("no route has a condition",)

    def judge(self, question: RouteQuestion) -> Decision:
        for name, checks in self._routes:
            reasons = _all_hold(checks, question)
            if reasons:
                return Decision(NAME, name, why=" and ".join(reasons))
        return Decision(NAME, None, why="the conditions of no route hold")


def fit_rules(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Rules:  # noqa: ARG001 - the port gives it
    """Compile every route's ``when``; a route without one is left to other strategies. Raises ``DeployError``."""
    routes = []
    for candidate in candidates:
        checks = tuple(_check_of(candidate.name, key, value) for key, value in candidate.when.items() if _is_set(value))
        if checks:
            routes.append((candidate.name, checks))
    return Rules(routes)


def _check_of(name: str, key: str, value: Any) -> Check:
    make = _CHECKS.get(key)
    if make is None:
        raise DeployError(
            f'the route to {name} has a condition "{key}" that the strategy rules does not know',
            cure=did_you_mean(key, _CHECKS) or f"conditions are {', '.join(_CHECKS)}",
        )
    try:
        return make(value)
    except UnsafePattern as error:
        raise DeployError(f"the route to {name}: {error}", cure="write a simpler pattern, or use keywords") from error


def _all_hold(checks: Sequence[Check], question: RouteQuestion) -> list[str]:
    """The reasons of all, or nothing where one does not hold."""
    reasons = []
    for check in checks:
        reason = check(question)
        if not reason:
            return []
        reasons.append(reason)
    return reasons


def _is_set(value: Any) -> bool:
    return value is not None and value not in ("", [], ())


def _several(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str) else list(value)
