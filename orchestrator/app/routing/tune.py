"""Propose thresholds and stages for the routers of a manifest, from one half of labelled requests, and measure them on the other.

What is printed is of routers that really learned and really decided; only the search goes by what each stage said alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.app.routing.cases import Case
from orchestrator.app.routing.comparison import Comparison, Measured, compare
from orchestrator.app.routing.evidence import evidence_of, texts_of
from orchestrator.app.routing.examine import Fitted, Labels, check_wanted, entry_of, fit_router, opener_of, routers_of
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
    proposals,
    settings,
    tally,
)
from orchestrator.app.routing.smaller import as_good, smaller_models, smallest_as_good, told_size
from orchestrator.app.routing.trying import Clock, measure, stages_of
from orchestrator.core.blueprint import Blueprint, RouterSpec
from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean
from orchestrator.deploy.make import options_of
from orchestrator.ports.encoder import DistantEncoder, OpenEncoder
from orchestrator.ports.strategy import AskModel, StrategyOptions

if TYPE_CHECKING:
    from orchestrator.app.routing.asking import Models

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
    """What routers are tried with: the deployment they are of, what opens encoders, what tells seconds of computing, and the models
    that may be asked (``None``: no model is)."""

    blueprint: Blueprint
    encoder: OpenEncoder
    clock: Clock
    models: Models | None = None
    labels: Labels = field(default_factory=dict)

    def ask(self, spec: RouterSpec, model: str = "") -> AskModel | None:
        """How the router's model is asked, or another one."""
        found = (self.models or {}).get(model or next(iter(spec["models"]), ""))
        return None if isinstance(found, str) else found

    def fit(self, spec: RouterSpec) -> Fitted:
        """Let a router learn."""
        return fit_router(spec, self.blueprint, self.encoder, self.labels)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of one router. ``proposed`` was found on ``from_`` requests, and is measured beside ``now`` on others; the
    ``comparison`` says whether it is better. ``curves`` are of the measured half, by stages: threshold, and what it does."""

    router: str
    now: Setting
    now_measured: Measured
    proposed: Setting | None
    proposed_measured: Measured | None
    comparison: Comparison
    from_: int
    notes: tuple[str, ...]
    curves: Mapping[tuple[str, ...], Sequence[tuple[float, Tally]]]


@dataclass(frozen=True, slots=True)
class _Best:
    """What a search found (``None``: nothing but what is there), what it does, and how many bolder ones missed the target."""

    setting: Setting | None
    measured: Measured | None
    comparison: Comparison
    bolder: int = 0

    def told(self) -> list[str]:
        """What to say of the bolder ones."""
        if not self.bolder:
            return []
        several = f"{self.bolder} bolder settings of the search miss"
        some = "a bolder setting of the search misses" if self.bolder == 1 else several
        return [f"{some} the target on the requests that it is measured on"]


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
        evidence = evidence_of(cases_of(one, cases, fitted, whole=name == first), one.candidates)
        said = evidence.left_out()
        fault = _too_few(evidence.cases, wish.target) or _nothing_to_tune(one.spec)
        if fault:
            left.append("; ".join([f"router {name}: {fault}", *said]))
        else:
            tuned = await _tuned(one, evidence.cases, bench, wish)
            found.append(replace(tuned, notes=(*said, *tuned.notes)))
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
    if setting.model:
        changed["models"] = [setting.model]
    return cast(RouterSpec, {**spec, **changed})


async def _tuned(one: Fitted, cases: Sequence[Case], bench: Bench, wish: Wish) -> Tuned:
    now = now_of(one.spec)
    options = options_of(one.spec, opener_of(one.spec, bench.blueprint, bench.encoder))
    pool, notes = _pool(one, now, options)
    if all(case.wanted for case in cases):
        notes.append("no case is for nobody: requests that nobody should get may be decided more often")
    stages = await stages_of(one, pool, options, cases, bench.clock)
    wanted = [case.wanted for case in cases]
    proposing, measuring = halves(wanted, wish.seed, texts_of(cases))
    tried = {each: tally(each, stages, wanted, proposing) for each in settings(now, stages, may_move=True)}
    ask = bench.ask(one.spec)
    held = [cases[at] for at in measuring]
    measured = await measure(one, held, bench.clock, ask)
    best = _Best(None, None, Comparison(False, NONE_REACHES))
    for some in _searches(now, tried, asks=any(stage.asks for stage in stages.values()), asked=ask is not None):
        bolder, proposed = _proposed(
            now, some, wish.target, lambda each: tally(each, stages, wanted, measuring).keeps(wish.target)
        )
        if proposed in (None, now):
            best = best if proposed is None or best.setting else _Best(None, None, Comparison(False, IS_BEST))
            continue
        then = await measure(bench.fit(spec_with(one.spec, proposed)), held, bench.clock, ask)
        missed = tried[now].right < wish.target * tried[now].kept
        best = _Best(proposed, then, compare(measured, then, wish.target, missed=missed), bolder)
        if best.comparison.better:
            break
    found = Tuned(
        router=one.spec["name"],
        now=now,
        now_measured=measured,
        proposed=best.setting,
        proposed_measured=best.measured,
        comparison=best.comparison,
        from_=len(proposing),
        notes=(*notes, *best.told()),
        curves=_curves(now, best.setting, stages, wanted, measuring),
    )
    if ask is None:
        return replace(found, notes=(*found.notes, *_why_not_asked(one.spec, bench)))
    return await _with_smaller(found, one.spec, bench, ([cases[at] for at in proposing], held))


def _searches(
    now: Setting, tried: Mapping[Setting, Tally], *, asks: bool, asked: bool
) -> list[Mapping[Setting, Tally]]:
    """What is searched, in turn until something better is found. What reaches a model counts as not decided, so that the boldest
    takes from it what it would decide rightly: without asking it, only what decides no more wrongly is looked at."""
    careful = {setting: of for setting, of in tried.items() if of.wrong <= tried[now].wrong}
    if not asks:
        return [tried]
    return [tried, careful] if asked else [careful]


def _proposed(
    now: Setting, tried: Mapping[Setting, Tally], target: float, keeps: Callable[[Setting], bool]
) -> tuple[int, Setting | None]:
    """The boldest that keeps to the target on other requests, and how many bolder ones do not; where none does, the boldest."""
    found = proposals(now, tried, target)
    for bolder, setting in enumerate(found):
        if keeps(setting):
            return bolder, setting
    return 0, found[0] if found else choose(now, tried, target)


def _why_not_asked(spec: RouterSpec, bench: Bench) -> list[str]:
    if not spec["models"]:
        return []
    if bench.models is None:
        return [f"no model was asked: what {spec['models'][0]} decides, or a smaller one, was not tried (--ask)"]
    return [f"{spec['models'][0]} was not asked, and no smaller one tried: {bench.models.get(spec['models'][0])}"]


async def _with_smaller(
    found: Tuned, spec: RouterSpec, bench: Bench, halves_: tuple[Sequence[Case], Sequence[Case]]
) -> Tuned:
    """The same, with a smaller model where that does as well on both halves: chosen on the first, measured on the second."""
    base = found.proposed if found.comparison.better and found.proposed is not None else found.now
    router = bench.fit(spec_with(spec, base))
    models, notes = _smaller(spec, bench)

    async def attempt(alias: str, cases: Sequence[Case]) -> Measured:
        return await measure(router, cases, bench.clock, bench.ask(spec, alias))

    proposing, held = halves_
    present = await attempt("", proposing) if models else None
    alias = await smallest_as_good(models, present, lambda each: attempt(each, proposing)) if present else ""
    if not alias:
        worse = [f"no smaller model does as well: tried {', '.join(models)}"] if models else []
        return replace(found, notes=(*found.notes, *notes, *worse))
    before = found.proposed_measured if base is not found.now and found.proposed_measured else found.now_measured
    after = await attempt(alias, held)
    told = f"{told_size(bench.blueprint, alias)} in the place of {told_size(bench.blueprint, spec['models'][0])}"
    if not as_good(before, after):
        notes = [*notes, f"{told} does as well on the requests that it was chosen on, but not on the others"]
        return replace(found, notes=(*found.notes, *notes))
    why = f"{told} decides no fewer rightly and no more wrongly"
    comparison = Comparison(True, f"{found.comparison.why}; {why}" if base is not found.now else why)
    return replace(
        found,
        proposed=replace(base, model=alias),
        proposed_measured=after,
        comparison=comparison,
        notes=(*found.notes, *notes),
    )


def _smaller(spec: RouterSpec, bench: Bench) -> tuple[dict[str, int], list[str]]:
    """The smaller models that can be asked, and why others are not tried."""
    if len(spec["models"]) > 1:
        return {}, ["the router names several models: smaller ones were not tried"]
    models = smaller_models(bench.blueprint, spec)
    silent = {alias: why for alias in models if isinstance(why := (bench.models or {}).get(alias), str)}
    notes = [f"{alias} was not tried: {why}" for alias, why in silent.items()]
    if not models:
        notes.append(f"the manifest has no model that is known to be smaller than {spec['models'][0]}")
    return {alias: size for alias, size in models.items() if alias not in silent}, notes


def _pool(one: Fitted, now: Setting, options: StrategyOptions) -> tuple[list[str], list[str]]:
    """The stages that are tried, and why others are not."""
    notes = []
    pool = list(now.stages)
    if any(candidate.keywords for candidate in one.candidates):
        pool.append("keyword")
    if any(candidate.examples or candidate.skills for candidate in one.candidates):
        pool.append("lexical")
    if one.spec["encoder"] and isinstance(options.encoder, DistantEncoder):
        notes.append("the encoder's server was not asked: the stage semantic leaves all open here")
    elif "semantic" not in pool:
        notes.append("semantic was not tried: the router names no encoder")
    return list(dict.fromkeys(pool)), notes


def _curves(
    now: Setting, proposed: Setting | None, stages: Stages, wanted: Sequence[tuple[str, ...]], rows: Sequence[int]
) -> dict[tuple[str, ...], list[tuple[float, Tally]]]:
    orders = dict.fromkeys([now.stages, *([proposed.stages] if proposed else [])])
    return {order: curve(order, stages, wanted, rows) for order in orders if any(name in LEARNED for name in order)}
