"""Propose thresholds and stages for the routers of a manifest, from one half of labelled requests, and measure them on the other.

What is printed is of routers that really learned and really decided; only the search goes by what each stage said alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from orchestrator.app.routing.cases import Case
from orchestrator.app.routing.examine import Fitted, check_wanted, entry_of, fit_router, opener_of, routers_of
from orchestrator.app.routing.search import (
    LEARNED,
    MOVABLE,
    Setting,
    Stages,
    Tally,
    choose,
    curve,
    halves,
    needed,
    settings,
    tally,
)
from orchestrator.app.routing.trying import Clock, measure, stages_of
from orchestrator.app.routing.verdict import Measured, Verdict, compare
from orchestrator.core.blueprint import Blueprint, RouterSpec
from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean
from orchestrator.deploy.make import options_of
from orchestrator.ports.encoder import OpenEncoder

NONE_REACHES: Final = "no threshold and no order of stages reaches the target"
IS_BEST: Final = "the present one is the best that was found"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: the share of what is decided that should be right, the seed of the halves, and which router (all)."""

    target: float
    seed: int = 0
    router: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """What routers are tried with: the deployment they are of, what opens encoders, and what tells seconds of computing."""

    blueprint: Blueprint
    encoder: OpenEncoder
    clock: Clock

    def fit(self, spec: RouterSpec) -> Fitted:
        """Let a router learn."""
        return fit_router(spec, self.blueprint, self.encoder)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of one router. ``proposed`` was found on ``from_`` requests, and is measured beside ``now`` on others; the
    ``verdict`` says whether it is better. ``curves`` are of the measured half, by stages: threshold, and what it does."""

    router: str
    now: Setting
    now_measured: Measured
    proposed: Setting | None
    proposed_measured: Measured | None
    verdict: Verdict
    from_: int
    notes: tuple[str, ...]
    curves: Mapping[tuple[str, ...], Sequence[tuple[float, Tally]]]


async def tune(bench: Bench, cases: Sequence[Case], wish: Wish) -> tuple[list[Tuned], list[str]]:
    """Every router, or the one that is named, and what was left out with why.

    Raises ``UsageError`` where there is no such router, a case wants somebody to whom none leads, or no router has cases enough.
    """
    fitted = {spec["name"]: bench.fit(spec) for spec in routers_of(bench.blueprint)}
    first = wish.router or entry_of(bench.blueprint, fitted)
    if first not in fitted:
        cure = did_you_mean(first, fitted) or f"there are: {', '.join(fitted)}"
        raise UsageError(f'no router is called "{first}"', cure=cure)
    check_wanted(cases, fitted)
    found, left = [], []
    for name, one in fitted.items():
        if wish.router not in ("", name):
            continue
        own = cases_of(one, cases, fitted, whole=name == first)
        fault = _too_few(own, wish.target) or _nothing_to_tune(one.spec)
        if fault:
            left.append(f"router {name}: {fault}")
        else:
            found.append(await _tuned(one, own, bench, wish))
    if not found:
        raise UsageError("; ".join(left), cure="collect more labelled requests, or name another target or router")
    return found, left


def cases_of(one: Fitted, cases: Sequence[Case], fitted: Mapping[str, Fitted], *, whole: bool) -> list[Case]:
    """The cases as this router meets them: who is behind a route is wanted by that route. Of a router behind another (not
    ``whole``) only those that it can answer."""
    ways = {candidate.name: _behind(candidate.name, fitted, frozenset()) for candidate in one.candidates}
    own = [
        Case(
            case.id, case.text, tuple(way for way, behind in ways.items() if behind & set(case.wanted)), case.complexity
        )
        for case in cases
    ]
    return [new for new, case in zip(own, cases, strict=True) if new.wanted or (whole and not case.wanted)]


def _behind(name: str, fitted: Mapping[str, Fitted], above: frozenset[str]) -> frozenset[str]:
    if name not in fitted or name in above:
        return frozenset((name,))
    inner = (_behind(each.name, fitted, above | {name}) for each in fitted[name].candidates)
    return frozenset((name,)).union(*inner)


def _too_few(cases: Sequence[Case], target: float) -> str:
    count, least = sum(bool(case.wanted) for case in cases), 2 * needed(target)
    if count >= least:
        return ""
    return (
        f"{count} cases that it answers are too few: {least} are needed for {target * 100:.4g}%, "
        "half to propose from and half to measure on"
    )


def _nothing_to_tune(spec: RouterSpec) -> str:
    stages = now_of(spec).stages
    return (
        "" if any(name in MOVABLE for name in stages) else f"{', '.join(stages)} has no threshold and no order to tune"
    )


def now_of(spec: RouterSpec) -> Setting:
    """What the router has."""
    stages = tuple(spec["stages"]) if spec["strategy"] == "cascade" else (spec["strategy"],)
    return Setting(stages, spec["confidence"])


def spec_with(spec: RouterSpec, setting: Setting) -> RouterSpec:
    """The router with other stages and another threshold."""
    changed: dict[str, Any] = {"confidence": setting.confidence}
    if setting.stages != now_of(spec).stages:
        changed |= {"strategy": "cascade", "stages": list(setting.stages)}
    return cast(RouterSpec, {**spec, **changed})


async def _tuned(one: Fitted, cases: Sequence[Case], bench: Bench, wish: Wish) -> Tuned:
    now = now_of(one.spec)
    pool, notes = _pool(one, now)
    if all(case.wanted for case in cases):
        notes.append("no case is for nobody: requests that nobody should get may be decided more often")
    options = options_of(one.spec, opener_of(one.spec, bench.blueprint, bench.encoder))
    stages = await stages_of(one, pool, options, cases, bench.clock)
    wanted = [case.wanted for case in cases]
    proposing, measuring = halves(wanted, wish.seed)
    tried = {each: tally(each, stages, wanted, proposing) for each in settings(now, stages, may_move=True)}
    proposed = choose(now, tried, wish.target)
    held = [cases[at] for at in measuring]
    measured = await measure(one, held, bench.clock)
    then, verdict = None, Verdict(False, NONE_REACHES if proposed is None else IS_BEST)
    if proposed is not None and proposed != now:
        then = await measure(bench.fit(spec_with(one.spec, proposed)), held, bench.clock)
        verdict = compare(measured, then, wish.target, missed=tried[now].right < wish.target * tried[now].kept)
    found = proposed if then is not None else None
    curves = _curves(now, found, stages, wanted, measuring)
    return Tuned(one.spec["name"], now, measured, found, then, verdict, len(proposing), tuple(notes), curves)


def _pool(one: Fitted, now: Setting) -> tuple[list[str], list[str]]:
    """The stages that are tried, and why others are not."""
    notes = []
    pool = list(now.stages)
    if any(candidate.keywords for candidate in one.candidates):
        pool.append("keyword")
    if any(candidate.examples or candidate.skills for candidate in one.candidates):
        pool.append("lexical")
    if "semantic" not in pool:
        notes.append("semantic was not tried: the router names no encoder")
    if one.spec["models"]:
        notes.append("no model was asked: what a smaller one would do was not tried")
    return list(dict.fromkeys(pool)), notes


def _curves(
    now: Setting, proposed: Setting | None, stages: Stages, wanted: Sequence[tuple[str, ...]], rows: Sequence[int]
) -> dict[tuple[str, ...], list[tuple[float, Tally]]]:
    orders = dict.fromkeys([now.stages, *([proposed.stages] if proposed else [])])
    return {order: curve(order, stages, wanted, rows) for order in orders if any(name in LEARNED for name in order)}
