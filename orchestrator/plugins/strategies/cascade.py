"""The strategy ``cascade``: asks its stages in order, cheapest first, and stops at the first that decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Final

from orchestrator.core.errors import DeployError
from orchestrator.core.names import did_you_mean
from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.calibration import STRICT, USUAL
from orchestrator.plugins.strategies.complexity import fit_complexity
from orchestrator.plugins.strategies.fixed import fit_fixed
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.intent import NAME as INTENT
from orchestrator.plugins.strategies.intent import Intent, fit_intent
from orchestrator.plugins.strategies.keyword import fit_keyword
from orchestrator.plugins.strategies.lexical import Lexical, fit_lexical
from orchestrator.plugins.strategies.rules import fit_rules
from orchestrator.plugins.strategies.semantic import DistantSemantic, Semantic, fit_semantic
from orchestrator.plugins.strategies.turns import fit_least_loaded, fit_priority, fit_round_robin, fit_sticky
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions, without_barred

NAME: Final = "cascade"
USUAL_STAGES: Final = ("rules", "keyword", "lexical", "intent")

Stage = Instant | Intent | DistantSemantic

_FIT: Final[dict[str, Callable[[tuple[Candidate, ...], StrategyOptions], Stage]]] = {
    "rules": fit_rules,
    "keyword": fit_keyword,
    "lexical": fit_lexical,
    "semantic": fit_semantic,
    "intent": fit_intent,
    "complexity": fit_complexity,
    "fixed": fit_fixed,
    "round-robin": fit_round_robin,
    "sticky": fit_sticky,
    "least-loaded": fit_least_loaded,
    "priority": fit_priority,
}


class InstantCascade(Instant):
    """A cascade of stages that never wait."""

    def __init__(self, stages: Sequence[Instant]) -> None:
        self._stages = tuple(stages)
        self.notes = _notes_of(stages)
        self.thresholds = _thresholds_of(stages)

    def judge(self, question: RouteQuestion) -> Decision:
        said: list[Decision] = []
        for number, stage in enumerate(self._stages, 1):
            said.append(without_barred(_judged(stage, self._stages[number:], question), question.barred))
            if said[-1].choice is not None:
                break
        return _summary(said)

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        return _unseen(self._stages, question, of, whole)


class Cascade:
    """A cascade in which a stage may ask a model."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)
        self.notes = _notes_of(stages)
        self.thresholds = _thresholds_of(stages)

    @property
    def outdated(self) -> bool:
        """Whether a stage learned from what is there no more."""
        return any(isinstance(stage, DistantSemantic) and stage.outdated for stage in self._stages)

    async def decide(self, question: RouteQuestion) -> Decision:
        """Choose one candidate or abstain."""
        began = perf_counter()
        said: list[Decision] = []
        for number, stage in enumerate(self._stages, 1):
            if isinstance(stage, Intent):
                said.append(await stage.decide(replace(question, shortlist=_shortlist(said))))
            elif isinstance(stage, DistantSemantic):
                said.append(await stage.decide(question))
            else:
                said.append(_judged(stage, self._stages[number:], question))
            said[-1] = without_barred(said[-1], question.barred)
            if said[-1].choice is not None:
                break
        return replace(_summary(said), cost_ms=(perf_counter() - began) * 1000)

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> Decision | None:
        """As ``Instant.judge_unseen``; a stage that would ask a model leaves it open."""
        return _unseen(self._stages, question, of, whole)


def _shortlist(said: Sequence[Decision]) -> tuple[str, ...]:
    """Of the last stage that has one: the later knows better."""
    return next((decision.shortlist for decision in reversed(said) if decision.shortlist), ())


def _judged(stage: Instant, later: Sequence[Stage], question: RouteQuestion) -> Decision:
    return stage.judge_for(question, _wanted(later, question)) if isinstance(stage, Lexical) else stage.judge(question)


def _wanted(later: Sequence[Stage], question: RouteQuestion) -> float:
    """How much of what words alone accept must be right: more where a later stage knows better."""
    return STRICT if any(_knows_better(one, question) for one in later) else USUAL


def _knows_better(stage: Stage, question: RouteQuestion) -> bool:
    if isinstance(stage, Intent):
        return question.ask is not None
    return isinstance(stage, Semantic) or (isinstance(stage, DistantSemantic) and question.embed is not None)


def _unseen(stages: Sequence[Stage], question: RouteQuestion, of: str, whole: bool) -> Decision | None:
    said: list[Decision] = []
    for number, stage in enumerate(stages, 1):
        if isinstance(stage, Lexical):
            decision = stage.judge_unseen_for(question, of, whole=whole, wanted=_wanted(stages[number:], question))
        else:
            decision = stage.judge_unseen(question, of, whole=whole)
        if decision is None:
            return None
        said.append(without_barred(decision, question.barred))
        if said[-1].choice is not None:
            break
    return _summary(said)


def fit_cascade(candidates: tuple[Candidate, ...], options: StrategyOptions) -> InstantCascade | Cascade:
    """Fit the stages, in the order that they are written. Raises ``DeployError`` for a stage that is none."""
    stages: list[Stage] = []
    for name in options.stages or USUAL_STAGES:
        learned = next((stage for stage in stages if isinstance(stage, Lexical)), None)
        asks = name == INTENT and learned is not None  # what knows the words already is not learned twice
        stages.append(Intent(candidates, options, learned) if asks else _fit_stage(name, candidates, options))
    instant = [stage for stage in stages if isinstance(stage, Instant)]
    return InstantCascade(instant) if len(instant) == len(stages) else Cascade(stages)


def _fit_stage(name: str, candidates: tuple[Candidate, ...], options: StrategyOptions) -> Stage:
    fit = _FIT.get(name)
    if fit is None:
        cure = did_you_mean(name, _FIT) or f"stages are {', '.join(_FIT)}"
        raise DeployError(f'"{name}" cannot be a stage of a cascade', cure=cure)
    return fit(candidates, options)


def _summary(said: Sequence[Decision]) -> Decision:
    """The last decision where it chose somebody, else the scores of the last that had any; with what each stage said."""
    shown = said[-1]
    if shown.choice is None:
        shown = next((decision for decision in reversed(said) if decision.scores), shown)
    why = " | ".join(f"{decision.strategy}: {decision.why}" for decision in said)
    notes = tuple(note for decision in said for note in decision.notes)
    return Decision(
        *(NAME, said[-1].choice, shown.scores, shown.confidence, why),
        notes=notes,
        kind=shown.kind,
        stage=shown.strategy,
        raw=shown.raw,
    )


def _thresholds_of(stages: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(each for stage in stages if not isinstance(stage, Intent) for each in stage.thresholds)


def _notes_of(stages: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(note for stage in stages for note in stage.notes)
