"""Which threshold and which stages a router should have, chosen from what each stage said of labelled requests. Pure.

A stage is asked once about each request, as if every confidence were enough. What a cascade of such stages does at any threshold
and in any order follows from that without asking again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from orchestrator.app.routing.figures import wilson

MOVABLE: Final = ("keyword", "lexical", "semantic")
"""Stages that go by what a request is about and ask nobody: whose order, and which of them, is tried."""
LEARNED: Final = ("lexical", "semantic")
"""Stages with a threshold."""
ASKS: Final = "intent"
THRESHOLDS: Final = (*(share / 100 for share in range(1, 100)), 0.995, 0.999)
CHEAPER: Final = 0.75
"""Of two settings that decide the same, one must take less than this share of the other's time to be proposed for that."""
CHANCE: Final = 0.05
"""A gain that would come by chance more often than this is none."""
FOUR_OF_FIVE: Final = 0.8416
"""Standard deviations: 80 % of a normal distribution lie above that many below its mean."""
LEAST_HALF: Final = 10
"""Requests in each half, whatever the target."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The stages in order, the confidence that is written (``None``: as fitted), and another model to ask (empty: the present)."""

    stages: tuple[str, ...]
    confidence: float | None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage says of a request: whom it would choose if every confidence were enough, and how sure it is. Without a
    ``confidence`` no threshold counts."""

    choice: str | None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's outcome for each request, the seconds that it takes for one, its fitted thresholds (where nobody decides after it,
    and where somebody does who knows better), and whether what it leaves open is asked of a model."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    usual: float = 0.0
    strict: float = 0.0
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """What a setting does with requests: ``kept`` were decided and ``right`` of them rightly; ``calls`` went to a model;
    ``seconds`` is the computing time of all."""

    of: int
    kept: int
    right: int
    calls: int
    seconds: float

    @property
    def wrong(self) -> int:
        """Decided, and not rightly."""
        return self.kept - self.right

    def keeps(self, target: float) -> bool:
        """Whether ``target`` of what is kept is right here."""
        return not self.kept or self.right / self.kept >= target

    def reaches(self, target: float) -> bool:
        """Whether ``target`` of what is kept is right, so surely that four of five such findings hold on other requests: a plain
        share would be the luckiest of many."""
        return self.kept > 0 and wilson(self.right, self.kept, FOUR_OF_FIVE)[0] >= target


Stages = Mapping[str, Stage]
Wanted = Sequence[tuple[str, ...]]
"""By request, who may answer it."""


def needed(target: float) -> int:
    """Requests of each half below which one wrong decision alone would miss the target."""
    return max(LEAST_HALF, math.ceil(1 / (1 - target) - 1e-9))


def halves(wanted: Wanted, seed: int, texts: Sequence[str] = ()) -> tuple[list[int], list[int]]:
    """The requests in two, each with as many for everybody: to propose from, and to measure on. Those of one of ``texts`` are in
    the same half."""
    chance = random.Random(seed)  # noqa: S311 - a fair split that can be had again
    together: dict[str, list[int]] = {}
    for at in range(len(wanted)):
        together.setdefault(texts[at] if texts else str(at), []).append(at)
    groups: dict[tuple[str, ...], list[list[int]]] = {}
    for rows in together.values():
        groups.setdefault(wanted[rows[0]], []).append(rows)
    mixed: list[list[int]] = []
    for names in sorted(groups):
        chance.shuffle(groups[names])
        mixed += groups[names]
    one, other = mixed[::2], mixed[1::2]
    return sorted(at for rows in one for at in rows), sorted(at for rows in other for at in rows)


def settings(now: Setting, stages: Stages, *, may_move: bool) -> list[Setting]:
    """What is tried: every threshold, with the stages as they are and in every sensible order of fewer or more of them.

    Conditions that are written stay in front, as they are exact, and what does not go by the matter stays behind. A model is asked
    last, and only where it is asked now.
    """
    orders = _orders(now.stages, stages) if may_move else [now.stages]
    found = {now: None}
    for order in orders:
        found[Setting(order, now.confidence)] = None
        if any(name in LEARNED for name in order):
            found |= dict.fromkeys(Setting(order, share) for share in THRESHOLDS)
    return list(found)


def _orders(now: tuple[str, ...], stages: Stages) -> list[tuple[str, ...]]:
    places = [at for at, name in enumerate(now) if name in MOVABLE]
    if not places or places != list(range(places[0], places[-1] + 1)):
        return [now]
    front, back = now[: places[0]], now[places[-1] + 1 :]
    free = [name for name in MOVABLE if name in stages]
    found = [(*front, *some, *back) for count in range(1, len(free) + 1) for some in permutations(free, count)]
    kept = "semantic" in now  # an encoder that is named must be used
    return [now, *(order for order in found if order != now and ("semantic" in order or not kept))]


def decided(setting: Setting, stages: Stages, at: int) -> tuple[str | None, int, float]:
    """Whom a cascade chooses for a request, how often a model was asked, and how long it took."""
    calls, seconds = 0, 0.0
    for number, name in enumerate(setting.stages):
        stage = stages[name]
        outcome = stage.outcomes[at]
        calls, seconds = calls + stage.asks, seconds + stage.seconds
        if outcome.choice is None:
            continue
        if name not in LEARNED or outcome.confidence is None:
            return outcome.choice, calls, seconds
        if outcome.confidence >= _threshold(setting, stages, number):
            return outcome.choice, calls, seconds
    return None, calls, seconds


def _threshold(setting: Setting, stages: Stages, number: int) -> float:
    if setting.confidence is not None:
        return setting.confidence
    name = setting.stages[number]
    better = any(later == "semantic" or stages[later].asks for later in setting.stages[number + 1 :])
    return stages[name].strict if name == "lexical" and better else stages[name].usual


def tally(setting: Setting, stages: Stages, wanted: Wanted, rows: Sequence[int]) -> Tally:
    """What it does with these requests."""
    kept = right = calls = 0
    seconds = 0.0
    for at in rows:
        choice, asked, took = decided(setting, stages, at)
        kept += choice is not None
        right += choice in wanted[at]
        calls, seconds = calls + asked, seconds + took
    return Tally(len(rows), kept, right, calls, seconds)


def choose(now: Setting, tried: Mapping[Setting, Tally], target: float) -> Setting | None:
    """The setting that decides most requests rightly, of those that reach the target; of equals the one that asks a model less
    often; then the present one, but for one that is clearly cheaper; then the one that changes least. ``None``: none reaches it.
    """
    reaching = {setting: of for setting, of in tried.items() if of.reaches(target)}
    if not reaching:
        return None
    best = min((-of.right, of.calls) for of in reaching.values())
    equal = [setting for setting, of in reaching.items() if (-of.right, of.calls) == best]
    if now in equal:
        cheap = [setting for setting in equal if tried[setting].seconds < CHEAPER * tried[now].seconds]
        return min(cheap, key=lambda one: (tried[one].seconds, _changes(now, one))) if cheap else now
    return min(equal, key=lambda one: _changes(now, one))


def proposals(now: Setting, tried: Mapping[Setting, Tally], target: float) -> list[Setting]:
    """What is chosen for the target, then for stricter ones, each once, as far as that is not what is there: where the first is too
    bold for other requests, a later one may not be."""
    found: dict[Setting, None] = {}
    for level in (target, *(share for share in THRESHOLDS if share > target)):
        chosen = choose(now, tried, level)
        if chosen is None or chosen == now:
            break
        found[chosen] = None
    return list(found)


def _changes(now: Setting, other: Setting) -> tuple[bool, int, float]:
    """Other stages are more than another threshold; of thresholds that decide the same the strictest."""
    return other.stages != now.stages, len(other.stages), -(other.confidence or 0.0)


def by_chance(better: int, worse: int) -> float:
    """How probable at least so many of the pairs that differ are ``better``, if both were as good (the exact sign test)."""
    pairs = better + worse
    return float(sum(math.comb(pairs, count) for count in range(better, pairs + 1)) / 2**pairs)


def curve(order: tuple[str, ...], stages: Stages, wanted: Wanted, rows: Sequence[int]) -> list[tuple[float, Tally]]:
    """Accuracy against coverage: what each threshold does, those left out that do the same as the one below."""
    found: list[tuple[float, Tally]] = []
    for share in (0.0, *THRESHOLDS):
        of = tally(Setting(order, share), stages, wanted, rows)
        if not found or (of.kept, of.right) != (found[-1][1].kept, found[-1][1].right):
            found.append((share, of))
    return found
