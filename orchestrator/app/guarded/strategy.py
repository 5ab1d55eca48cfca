"""The door around a routing strategy of another package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.app.guarded.guard import Guard
from orchestrator.core.errors import DeployError, RunError
from orchestrator.core.request import Decision
from orchestrator.ports.strategy import Candidate, FitStrategy, RouteQuestion, Strategy, StrategyOptions


def guarded_strategy(name: str, fit: Callable[..., Any]) -> FitStrategy:
    """Fit it; raises ``DeployError`` where it cannot. Its failures are :class:`RunError` from then on."""

    def fit_guarded(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Strategy:
        names = frozenset(candidate.name for candidate in candidates)
        with Guard(name, DeployError).doing("learn"):
            inner = fit(candidates, options)
            door = GuardedInstant if hasattr(inner, "decide_now") else GuardedStrategy
            return door(name, inner, names)

    return fit_guarded


class GuardedStrategy:
    """A ``Strategy`` that chooses among its candidates, or abstains, or fails like one of ours."""

    def __init__(self, name: str, inner: Any, candidates: frozenset[str]) -> None:
        self._inner = inner
        self._candidates = candidates
        self._guard = Guard(name, RunError)

    async def decide(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain."""
        with self._guard.doing("decide"):
            decision = await self._inner.decide(question)
        return self._checked(decision)

    def _checked(self, decision: Any) -> Decision:
        self._guard.wants(Decision, decision)
        if decision.choice is not None and decision.choice not in self._candidates:
            self._guard.refuse(
                f"{decision.choice!r} as its choice, which is none of: {', '.join(sorted(self._candidates))}"
            )
        return decision  # type: ignore[no-any-return] # wants() has looked


class GuardedInstant(GuardedStrategy):
    """An ``InstantStrategy`` too."""

    def decide_now(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain, at once."""
        with self._guard.doing("decide"):
            decision = self._inner.decide_now(question)
        return self._checked(decision)

    async def decide(self, question: RouteQuestion) -> Decision:
        """The same."""
        return self.decide_now(question)
