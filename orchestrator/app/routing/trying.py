"""Ask routers and their stages about labelled requests: what they say, how often they want a model, how long they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.app import catalog
from orchestrator.app.routing.cases import Case
from orchestrator.app.routing.comparison import Measured
from orchestrator.app.routing.examine import NOT_ASKED, Fitted, first_of
from orchestrator.app.routing.figures import Figures, Tried
from orchestrator.app.routing.search import ASKS, LEARNED, Outcome, Stage
from orchestrator.core.errors import ModelError, NoModel
from orchestrator.core.refined import Refined
from orchestrator.plugins.strategies.sureness import sureness
from orchestrator.ports.provider import ChatReply
from orchestrator.ports.strategy import (
    AskModel,
    ModelQuestion,
    RouteQuestion,
    Strategy,
    StrategyOptions,
    without_barred,
)

Clock = Callable[[], float]
"""Seconds of computing so far, of this thread."""
_TIMES: Final = 3
"""A round is timed so often, and the quickest counts: others use the machine too."""
_MOST_TIMED: Final = 300


async def stages_of(
    one: Fitted, names: Sequence[str], options: StrategyOptions, cases: Sequence[Case], clock: Clock
) -> dict[str, Stage]:
    """Each stage by itself, at every confidence."""
    return {name: await _stage(one, name, options, cases, clock) for name in names}


async def _stage(one: Fitted, name: str, options: StrategyOptions, cases: Sequence[Case], clock: Clock) -> Stage:
    strategy = catalog.load("strategy", name)(one.candidates, replace(options, confidence=None))
    thresholds = _thresholds(strategy, one.refined.get((name, "")))
    strategy = strategy.at(0.0) if hasattr(strategy, "at") else strategy
    outcomes = []
    for case in cases:
        question = one.question(case.text, case.complexity)
        decision = without_barred(await strategy.decide(question), question.barred)
        outcomes.append(Outcome(decision.choice, decision.confidence if name in LEARNED else None))
    seconds = await _seconds(strategy, [one.question(case.text, case.complexity) for case in cases], clock)
    asks = name == ASKS and bool(one.spec["models"])
    return Stage(tuple(outcomes), seconds, *thresholds, asks=asks)


def _thresholds(strategy: Any, refined: Refined | None) -> tuple[float, float]:
    """The fitted ones, or as labels refined them: where nobody decides after it, and where somebody does who knows better."""
    calibration = getattr(strategy, "calibration", None)
    if calibration is None:
        return 0.0, 0.0
    usual, strict = sorted(calibration.thresholds)
    own = calibration.thresholds[usual], calibration.thresholds[strict]
    first, second = (sureness(0.0, each, None, refined, strict=at > 0).needed for at, each in enumerate(own))
    return first, second


async def measure(one: Fitted, cases: Sequence[Case], clock: Clock, ask: AskModel | None = None) -> Measured:
    """What the router decides. Its model is asked by ``ask``; without it, it leaves all open that it would ask about."""
    counted = _Counted(ask)
    tried, unheard = [], []
    questions = [one.question(case.text, case.complexity) for case in cases]
    for case, question in zip(cases, questions, strict=True):
        asking = question if question.ask is None else replace(question, ask=counted)
        before = counted.unheard
        decision = await one.decide(asking)
        unheard.append(counted.unheard > before)
        tried.append(Tried(case.id, case.text, case.wanted, decision, first_of(decision)))
    seconds = await _seconds(one.strategy, questions, clock)
    return Measured(Figures(tuple(tried)), counted.calls, seconds, counted.failed, tuple(unheard))


@dataclass(slots=True)
class _Counted:
    """Asks, and counts."""

    ask: AskModel | None
    calls: int = 0
    failed: int = 0
    unheard: int = 0

    async def __call__(self, question: ModelQuestion) -> ChatReply:
        self.calls += 1
        if self.ask is None:
            self.unheard += 1
            raise NoModel(NOT_ASKED)
        try:
            return await self.ask(question)
        except (ModelError, NoModel):
            self.failed += 1
            self.unheard += 1
            raise


async def _seconds(strategy: Strategy, questions: Sequence[RouteQuestion], clock: Clock) -> float:
    """Computing time for one request, of the first few hundred."""
    took, questions = [], questions[:_MOST_TIMED]
    for _ in range(_TIMES):
        began = clock()
        for question in questions:
            await strategy.decide(question)
        took.append(clock() - began)
    return min(took) / len(questions)
