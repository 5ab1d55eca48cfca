"""What strategies do with labelled requests, a tenth of which is for nobody, and how far their confidence can be trusted."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.routing_sets import Task
from orchestrator.core.request import Decision
from orchestrator.ports.strategy import RouteQuestion

OUTSIDE_SHARE = 0.1
_BINS = 10

Judge = Callable[[RouteQuestion], Decision]


@dataclass(frozen=True)
class Judged:
    """A decision, and who was wanted (``None``: nobody)."""

    decision: Decision
    wanted: str | None

    @property
    def order(self) -> list[str]:
        """Names, best first; up to five."""
        return list(self.decision.scores)

    @property
    def kept(self) -> bool:
        """Whether somebody was chosen."""
        return self.decision.choice is not None

    @property
    def right(self) -> bool:
        """Whether the best one, chosen or not, is wanted."""
        return bool(self.order) and self.order[0] == self.wanted

    @property
    def sure(self) -> float:
        """The confidence."""
        return self.decision.confidence or 0.0

    @property
    def top(self) -> float:
        """The best score."""
        return next(iter(self.decision.scores.values()), 0.0)


@dataclass(frozen=True)
class Outcome:
    """A task through one strategy. Shares are 0..1."""

    inside: Sequence[Judged]
    far: Sequence[Judged]
    near: Sequence[Judged]

    @property
    def accuracy(self) -> float:
        """Of the requests for somebody: the best one is right."""
        return share(one.right for one in self.inside)

    @property
    def top_three(self) -> float:
        """The right one is among the best three."""
        return share(one.wanted in one.order[:3] for one in self.inside)

    @property
    def kept_inside(self) -> float:
        """Of the requests for somebody: decided."""
        return share(one.kept for one in self.inside)

    @property
    def right_of_kept_inside(self) -> float:
        """Of those that were decided: rightly. 1 where none was."""
        return share(one.decision.choice == one.wanted for one in self.inside if one.kept)

    def kept(self, outside: Sequence[Judged]) -> float:
        """Of the traffic with so many requests for nobody: decided."""
        return (1 - OUTSIDE_SHARE) * self.kept_inside + OUTSIDE_SHARE * share(one.kept for one in outside)

    def right_of_kept(self, outside: Sequence[Judged]) -> float:
        """Of what was decided of it: rightly. 1 where nothing was."""
        kept = self.kept(outside)
        right = (1 - OUTSIDE_SHARE) * share(one.decision.choice == one.wanted for one in self.inside)
        return right / kept if kept else 1.0

    def error_of_confidence(self, outside: Sequence[Judged]) -> float:
        """Expected calibration error of the traffic, in ten bins of equal width."""
        weights = [
            *((one, (1 - OUTSIDE_SHARE) / len(self.inside)) for one in self.inside),
            *((one, OUTSIDE_SHARE / len(outside)) for one in outside),
        ]
        bins = [0.0] * _BINS
        for one, weight in weights:
            bins[min(int(one.sure * _BINS), _BINS - 1)] += weight * (one.sure - (one.right and one.wanted is not None))
        return sum(map(abs, bins))

    def told_apart(self, outside: Sequence[Judged]) -> float:
        """Area under the curve: how often a request for somebody has a better score than one for nobody."""
        low = sorted(one.top for one in outside)
        places = [bisect.bisect_left(low, one.top) + bisect.bisect_right(low, one.top) for one in self.inside]
        return statistics.fmean(places) / 2 / len(low)

    def passed_at_95(self, outside: Sequence[Judged]) -> float:
        """Of the requests for nobody: how many score above what 95 % of the others reach."""
        limit = sorted(one.top for one in self.inside)[int(0.05 * len(self.inside))]
        return share(one.top >= limit for one in outside)


def judged(judge: Judge, task: Task, most_near: int = 600) -> Outcome:
    """Every request of a task; of those nearby an even part."""
    step = max(1, len(task.near) // most_near)
    return Outcome(
        [Judged(judge(RouteQuestion(text)), wanted) for text, wanted in task.requests],
        [Judged(judge(RouteQuestion(text)), None) for text in task.far],
        [Judged(judge(RouteQuestion(text)), None) for text in task.near[::step]],
    )


def share(holds: Iterable[bool]) -> float:
    """How many hold; 1 of none."""
    found = list(holds)
    return sum(found) / len(found) if found else 1.0


def mean(outcomes: Sequence[Outcome], figure: Callable[[Outcome], float]) -> float:
    """Over the draws."""
    return statistics.fmean(map(figure, outcomes))


def best_of_five_nearest(vectors: Any, owners: Sequence[str], wanted: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """How semantic-router 1.1.1 chooses by default, written anew: of the five nearest examples, the route whose mean
    similarity is highest. ``wanted`` are the vectors of requests by text."""
    import numpy as np

    chosen = {}
    for text, vector in wanted.items():
        likeness = vectors @ np.asarray(vector)
        groups: dict[str, list[float]] = {}
        for row in np.argsort(-likeness)[:5]:
            groups.setdefault(owners[row], []).append(float(likeness[row]))
        chosen[text] = max(groups, key=lambda name: statistics.fmean(groups[name]))
    return chosen
