"""What strategies share that never wait: the time they took, and the two ways to ask them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from time import perf_counter

from orchestrator.core.request import Decision
from orchestrator.ports.strategy import RouteQuestion


class Instant(ABC):
    """A strategy that decides without waiting. A subclass gives ``judge``."""

    notes: tuple[str, ...] = ()
    """What its makers should know: what it could not learn, and where it is weaker than it could be."""

    thresholds: tuple[str, ...] = ()
    """From which confidence it decides, for people."""

    @abstractmethod
    def judge(self, question: RouteQuestion) -> Decision:
        """The decision, without its time."""

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        """The decision on an example of the candidate ``of`` as if it had not been there; with ``whole`` as if nothing of ``of``
        had been there, so that ``of`` cannot be chosen. ``None`` where that is not known. What learns from examples overrides it.
        """
        decision = self.judge(question)
        return without(decision, of) if whole else decision

    def decide_now(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain."""
        began = perf_counter()
        decision = self.judge(question)
        return replace(decision, cost_ms=(perf_counter() - began) * 1000)

    async def decide(self, question: RouteQuestion) -> Decision:
        """The same, for callers that wait."""
        return self.decide_now(question)


def without(decision: Decision, of: str) -> Decision:
    """The same where it chose another than ``of``, else an abstention."""
    if decision.choice != of:
        return decision
    scores = {name: score for name, score in decision.scores.items() if name != of}
    return replace(decision, choice=None, scores=scores, why=f"nobody but {of}, which is left out")
