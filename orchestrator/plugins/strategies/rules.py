"""The strategy ``rules``: the first route, in the order they are written, whose conditions all hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.core.conditions import Condition, Matter, compile_when, why_all_hold
from orchestrator.core.errors import DeployError
from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

NAME: Final = "rules"


class Rules(Instant):
    """Tries each route's conditions in order."""

    def __init__(self, routes: Sequence[tuple[str, tuple[Condition, ...]]]) -> None:
        self._routes = tuple(routes)
        self.notes = () if routes else ("no route has a condition",)

    def judge(self, question: RouteQuestion) -> Decision:
        matter = Matter(question.text, question.complexity)
        choice, why = self._first(matter)
        if not matter.unread:
            return Decision(NAME, choice, why=why)
        cut = f"conditions that did not hold look at {matter.unread}"
        return Decision(NAME, choice, why=f"{why}; {cut}", notes=(cut,))

    def _first(self, matter: Matter) -> tuple[str | None, str]:
        for name, conditions in self._routes:
            reasons = why_all_hold(conditions, matter)
            if reasons is not None:
                return name, " and ".join(reasons)
        return None, "the conditions of no route hold"


def fit_rules(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Rules:  # noqa: ARG001 - the port gives it
    """Compile every route's ``when``; a route without one is left to other strategies. Raises ``DeployError``."""
    routes = []
    for candidate in candidates:
        try:
            conditions = compile_when(candidate.when)
        except DeployError as error:
            raise DeployError(f"the route to {candidate.name}: {error.message}", cure=error.cure) from error
        if conditions:
            routes.append((candidate.name, conditions))
    return Rules(routes)
