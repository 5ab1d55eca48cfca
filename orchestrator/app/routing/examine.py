"""Try the routers of a manifest: on their own examples, each left out, and on labelled cases. Without a runtime, and without a
model unless servers are given that are asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.to_thread

from orchestrator.app import catalog
from orchestrator.app.routing.cases import Case
from orchestrator.app.routing.evidence import evidence_of
from orchestrator.app.routing.figures import Figures, Tried
from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, ModelSpec, RouterSpec
from orchestrator.core.errors import NoModel, UsageError
from orchestrator.core.fitted import Scale
from orchestrator.core.names import did_you_mean
from orchestrator.core.refined import Fit, Refinements, refinements_of
from orchestrator.core.request import Decision
from orchestrator.deploy.candidates import candidates_of
from orchestrator.deploy.distant import ServerEncoder
from orchestrator.deploy.guards import Guards, barred_by, guards_of
from orchestrator.deploy.make import options_of, version_of
from orchestrator.plugins.strategies.overlaps import Overlap, overlaps_of
from orchestrator.plugins.strategies.text import words_of
from orchestrator.ports.encoder import OpenEncoder
from orchestrator.ports.host import DATABASE_NAME
from orchestrator.ports.provider import ChatReply
from orchestrator.ports.strategy import (
    Candidate,
    LeavesOut,
    ModelQuestion,
    RouteQuestion,
    Strategy,
    without_barred,
)

if TYPE_CHECKING:
    from orchestrator.app.routing.asking import Asked

NOT_ASKED: Final = "no model is asked here"
NO_SERVER: Final = "no server is asked here"
MOST_OVERLAPS: Final = 500
"""Pairs that are listed, the most alike; how many there are is told too."""
Labels = Mapping[Scale, Fit]
NO_LABELS: Final[Labels] = {}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A router that has learned; ``refined`` is what labelled decisions of it say, ``guards`` what its strict routes ask for, and
    ``asked`` are the servers that it asks (``None``: none)."""

    spec: RouterSpec
    candidates: tuple[Candidate, ...]
    strategy: Strategy
    refined: Refinements = field(default_factory=dict)
    guards: Guards = field(default_factory=dict)
    asked: Asked | None = None

    def question(self, text: str, complexity: str = "") -> RouteQuestion:
        """A request to it. Where it has a model its other stages are as strict as they are with one, though it is not asked."""
        barred = barred_by(self.guards, text, complexity)
        found = RouteQuestion(text, complexity=complexity, refined=self.refined, barred=barred)
        models = self.spec["models"]
        if self.asked is None:
            return replace(found, ask=_not_asked if models else None)
        ask = self.asked.ask(models[0]) if models else None
        return replace(found, ask=ask, embed=partial(self.asked.embed, self.spec["encoder"]))

    async def decide(self, question: RouteQuestion) -> Decision:
        """As in a run: by no strict way whose condition does not hold."""
        return without_barred(await self.strategy.decide(question), question.barred)


@dataclass(frozen=True, slots=True)
class Means:
    """What routers learn and decide with: ``encoder`` opens those that they name, ``labels`` are what was fitted on labels where
    the deployment serves, ``asked`` are the servers that are asked (``None``: none)."""

    encoder: OpenEncoder
    labels: Labels = field(default_factory=dict)
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of one router: ``own`` is ``None`` where its strategy cannot leave its examples out, ``untried`` counts
    examples that were not tried as there are very many."""

    router: str
    strategy: str
    candidates: int
    thresholds: tuple[str, ...]
    refined: Refinements
    notes: tuple[str, ...]
    own: Figures | None
    untried: int
    cases: Figures | None
    overlaps: tuple[Overlap, ...]

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {
            "router": self.router,
            "strategy": self.strategy,
            "candidates": self.candidates,
            "thresholds": list(self.thresholds),
            "refined": [
                {"stage": stage, "server": server, **fit.as_json()} for (stage, server), fit in self.refined.items()
            ],
            "notes": list(self.notes),
            "examples": self.own.as_json() if self.own else None,
            "untried": self.untried,
            "cases": self.cases.as_json() if self.cases else None,
            "overlaps_found": len(self.overlaps),
            "overlaps": [
                {
                    "likeness": round(each.likeness, 3),
                    "texts": [
                        {"agent": row.candidate, "source": row.source, "text": row.text}
                        for row in (each.one, each.other)
                    ],
                }
                for each in self.overlaps[:MOST_OVERLAPS]
            ],
        }


async def examine(
    blueprint: Blueprint,
    cases: Sequence[Case],
    means: Means,
    router: str = "",
) -> list[Examined]:
    """Every router, or the one that is named. Cases are tried at that one, else at the router that requests enter at.

    Raises ``UsageError`` where there is no such router, or a case wants an agent that there is not.
    """
    learned = [
        partial(fit_router, spec, blueprint, means.encoder, means.labels, means.asked) for spec in routers_of(blueprint)
    ]
    fits = [await anyio.to_thread.run_sync(fit) for fit in learned]  # who learns with a server's encoder waits for it
    fitted = {one.spec["name"]: one for one in fits}
    first = router or entry_of(blueprint, fitted)
    if first not in fitted:
        raise UsageError(
            f'no router is called "{first}"', cure=did_you_mean(first, fitted) or f"there are: {', '.join(fitted)}"
        )
    check_wanted(cases, fitted)
    found = []
    for name, one in fitted.items():
        if router in ("", name):
            tried = tuple([await _try(case, first, fitted) for case in cases]) if name == first else ()
            known = evidence_of(cases, one.candidates).cautions() if name == first else []
            found.append(_examined(one, Figures(tried) if tried else None, known))
    return found


def routers_of(blueprint: Blueprint) -> list[RouterSpec]:
    """Those of a deployment; raises ``UsageError`` where there is none."""
    routers = [cast(RouterSpec, element.spec) for element in blueprint.of_kind("router")]
    if not routers:
        raise UsageError(f'"{blueprint.name}" has no router', cure="give it several agents, or an agent of role router")
    return routers


def fit_router(
    spec: RouterSpec,
    blueprint: Blueprint,
    encoder: OpenEncoder,
    labels: Labels = NO_LABELS,
    asked: Asked | None = None,
) -> Fitted:
    """Let it learn, as ``apply`` does; where servers are ``asked`` from a thread of the event loop."""
    elements = [*blueprint.of_kind("agent"), *blueprint.of_kind("router")]
    targets = {each.spec["name"]: cast(Any, each.spec) for each in elements}
    models = {each.spec["alias"]: cast(ModelSpec, each.spec) for each in blueprint.of_kind("model")}
    candidates = candidates_of(spec, targets)
    options = options_of(spec, opener_of(spec, blueprint, encoder, asked))
    refined = refinements_of(labels, spec["name"], version_of(spec, targets, models))
    strategy = catalog.load("strategy", spec["strategy"])(candidates, options)
    return Fitted(spec, candidates, strategy, refined, guards_of(spec), asked)


def labels_of(name: str, state: Path) -> Labels:
    """What was fitted on labels of this deployment, where it serves from this ``state`` folder. Raises ``StateUnusable``."""
    database = state / DATABASE_NAME
    if not database.exists():  # nobody serves here, and nothing needs to be loaded that reads it
        return NO_LABELS
    from orchestrator.plugins.stores.outcomes import fitted_at

    return fitted_at(database).get(name, NO_LABELS)


def opener_of(spec: RouterSpec, blueprint: Blueprint, encoder: OpenEncoder, asked: Asked | None = None) -> OpenEncoder:
    """What opens the router's encoder: one on a server only where servers are ``asked``."""
    if Address.of("model", spec["encoder"]) not in blueprint.elements:
        return encoder
    return _absent if asked is None else asked.encoder


def _absent(name: str) -> ServerEncoder:
    """No server is asked here: the stage says so and leaves all open."""
    return ServerEncoder(name, (), NO_SERVER)


def entry_of(blueprint: Blueprint, fitted: Collection[str]) -> str:
    """The router that requests enter at, of those ``fitted``."""
    name = blueprint.entry.partition(".")[2]
    return name if name in fitted else next(iter(fitted))


def check_wanted(cases: Sequence[Case], fitted: Mapping[str, Fitted]) -> None:
    """Raises ``UsageError`` for a case that wants somebody to whom no router leads."""
    names = {candidate.name for one in fitted.values() for candidate in one.candidates}
    for case in cases:
        for name in case.wanted:
            if name not in names:
                cure = did_you_mean(name, names) or f"there are: {', '.join(sorted(names))}"
                raise UsageError(f'{case.id}: no router sends requests to "{name}"', cure=cure)


async def _try(case: Case, router: str, fitted: dict[str, Fitted]) -> Tried:
    """Ask from router to router, as a run does; who scored best is followed where nobody is chosen."""
    decision = await fitted[router].decide(fitted[router].question(case.text, case.complexity))
    first, last, left = first_of(decision), decision, len(fitted)
    while first in fitted and first not in case.wanted and left:
        left -= 1
        inner = await fitted[first].decide(fitted[first].question(case.text, case.complexity))
        first = first_of(inner)
        last = inner if last.choice is not None else last  # who was not chosen is not asked
    return Tried(case.id, case.text, case.wanted, last, first)


def _examined(one: Fitted, cases: Figures | None, known: Sequence[str]) -> Examined:
    own, untried = None, 0
    if hasattr(one.strategy, "judge_unseen"):
        judge = cast(LeavesOut, one.strategy).judge_unseen
        tried = []
        for name, text in _examples(one.candidates):
            question = one.question(text)
            inside, outside = (judge(question, name, whole=whole) for whole in (False, True))
            if inside is None or outside is None:
                untried += 1
                continue
            inside, outside = (without_barred(each, question.barred) for each in (inside, outside))
            tried.append(Tried(f"{name}, left out", text, (name,), inside, first_of(inside)))
            tried.append(Tried(f"all of {name} left out", text, (), outside, first_of(outside)))
        own = Figures(tuple(tried))
    return Examined(
        one.spec["name"],
        ", ".join(one.spec["stages"]) or one.spec["strategy"],
        len(one.candidates),
        tuple(getattr(one.strategy, "thresholds", ())),
        one.refined,
        (*getattr(one.strategy, "notes", ()), *known),
        own,
        untried,
        cases,
        tuple(overlaps_of(one.candidates)),
    )


def _examples(candidates: Sequence[Candidate]) -> Iterator[tuple[str, str]]:
    """Each once, in whatever case and with whatever marks it is written, however many routes lead to its agent."""
    found: dict[tuple[str, str], str] = {}
    for candidate in candidates:
        of_skills = [example for skill in candidate.skills for example in skill.examples]
        for text in (*candidate.examples, *of_skills):
            found.setdefault((candidate.name, " ".join(words_of(text)) or text), text)
    for (name, _), text in found.items():
        yield name, text


def first_of(decision: Decision) -> str | None:
    """Who was chosen, else who scored best."""
    return decision.choice or next(iter(decision.scores), None)


async def _not_asked(question: ModelQuestion) -> ChatReply:
    del question
    raise NoModel(NOT_ASKED)
