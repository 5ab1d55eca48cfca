"""How sure a score is: a probability fitted from left-out examples, and the least one that keeps a wanted accuracy.

Traffic is imitated from the manifest alone: each example scored as if it had not been there, and each example scored as
if its whole agent had not been there, which makes it a request that nobody should get. A logistic curve over two features
(top score, distance to the second) is fitted on both; its prior keeps it sane where examples are few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

USUAL: Final = 0.95
"""Wanted accuracy of what is kept, where nothing decides after it."""
STRICT: Final = 0.98
"""Wanted accuracy where a model can be asked next: an error here cannot be mended there."""
ENOUGH_TRIALS: Final = 15
"""Examples below which the confidence is mostly the assumed one."""
DRAWN_BY: Final = 5
"""So many examples the usual threshold counts as, beside the one that is fitted."""
LEAST: Final = 0.5
"""The lowest fitted threshold: what is more probably wrong than right is not decided, however sure the rest is."""

Curve = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed before there are examples: the curve, how firmly (one over the variance of each of its numbers), the
    thresholds, and ``outside``, the weight of requests that nobody should get among the imitated traffic."""

    curve: Curve
    precision: Curve
    thresholds: dict[float, float]
    outside: float


# Mean and spread of the curve and of the thresholds over 20 random manifests of 8 agents drawn from CLINC150
# (benchmarks/routing); the spread is widened threefold. Words alone are taken for surer than they are, so that they get twice
# the usual share of requests that nobody should get; for meaning half as much more is enough.
WORDS: Final = Prior((-3.5, 11.0, 6.0), (0.4, 0.04, 0.04), {USUAL: 0.75, STRICT: 0.92}, 0.2)
MEANING: Final = Prior((-3.4, 15.5, 14.5), (0.2, 0.02, 0.02), {USUAL: 0.75, STRICT: 0.92}, 0.15)


@dataclass(frozen=True, slots=True)
class Trial:
    """One imitated request: top score, its distance to the second, whether the top was right, its weight, and whether it is one
    for nobody."""

    top: float
    margin: float
    right: bool
    weight: float
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted curve, the least probability for each wanted accuracy, and what it was fitted on."""

    curve: Curve
    thresholds: dict[float, float]
    trials: int
    accuracy: float | None

    @property
    def few(self) -> int | None:
        """On how many examples it was fitted, where these are too few to say much; else ``None``."""
        return self.trials if self.trials < ENOUGH_TRIALS else None

    def told(self, name: str, written: float | None, wanted: Sequence[float]) -> str:
        """From which confidence a strategy decides, for people: as ``written`` in the manifest, else as fitted for what is
        ``wanted``."""
        if written is not None:
            return f"{name} decides from {written:.0%} on, as written"
        where = ("", " where a later stage knows better")
        fitted = [
            f"from {self.thresholds[share]:.0%} on{place}, so that {share:.0%} of all that it decides is right"
            for share, place in zip(wanted, where, strict=False)
        ]
        return f"{name} decides {'; '.join(fitted)}"

    def probability(self, top: float, margin: float) -> float:
        """That the top-scored candidate is right, 0..1."""
        return _logistic(_linear(self.curve, top, margin))


def top_and_margin(scores: Sequence[float]) -> tuple[float, float]:
    """The best score and its distance to the second; nobody counts as a candidate that scores 0."""
    best = second = 0.0
    for score in scores:
        if score > best:
            best, second = score, best
        elif score > second:
            second = score
    return best, best - second


def trials_of(
    left_out: Sequence[Sequence[float]],
    group_left_out: Sequence[Sequence[float]],
    classes: Sequence[int],
    prior: Prior = WORDS,
) -> list[Trial]:
    """Imitated traffic: the first as requests for their class, the second as requests for nobody."""
    inside = [
        Trial(*top_and_margin(scores), max(scores) > 0 and scores[own] == max(scores), 1 - prior.outside)
        for scores, own in zip(left_out, classes, strict=True)
    ]
    outside = [Trial(*top_and_margin(scores), False, prior.outside, True) for scores in group_left_out]
    return inside + outside


def calibrate(trials: Sequence[Trial], prior: Prior = WORDS) -> Calibration:
    """Fit the curve and the thresholds. Without trials it is the prior's."""
    curve = _fit_curve(trials, prior)
    inside = [trial for trial in trials if not trial.outside]
    return Calibration(
        curve=curve,
        thresholds={wanted: _threshold(curve, trials, wanted, prior) for wanted in (USUAL, STRICT)},
        trials=len(inside),
        accuracy=sum(trial.right for trial in inside) / len(inside) if inside else None,
    )


def _threshold(curve: Curve, trials: Sequence[Trial], wanted: float, prior: Prior) -> float:
    """The lowest probability such that those above it have a mean of at least ``wanted``, drawn towards the usual one where there
    are few examples; never above ``wanted``, which each of those above has itself then, nor below ``LEAST``.

    The mean of the fitted probabilities, not the share of right ones: one odd example among few would move that by a lot. And
    drawn, as examples that are nearly the same leave a gap between those that are sure and those that are not: the mean is
    reached anywhere in it, and real requests fall into it.
    """
    found = _reaching(curve, trials, wanted)
    inside = sum(not trial.outside for trial in trials)
    drawn = (inside * found + DRAWN_BY * prior.thresholds[wanted]) / (inside + DRAWN_BY)
    return max(LEAST, drawn)


def _reaching(curve: Curve, trials: Sequence[Trial], wanted: float) -> float:
    ranked = sorted(((_logistic(_linear(curve, t.top, t.margin)), t.weight) for t in trials), reverse=True)
    found, expected, total = wanted, 0.0, 0.0
    for probability, weight in ranked:
        expected += weight * probability
        total += weight
        if expected < wanted * total:
            break
        found = min(wanted, probability)
    return found


def _fit_curve(trials: Sequence[Trial], prior: Prior) -> Curve:
    """The most probable curve, by Newton's method with halved steps."""
    curve = prior.curve
    loss = _loss(curve, trials, prior)
    for _ in range(50):
        step = _newton_step(curve, trials, prior)
        while True:
            tried = (curve[0] - step[0], curve[1] - step[1], curve[2] - step[2])
            better = _loss(tried, trials, prior)
            if better <= loss or max(map(abs, step)) < 1e-9:
                break
            step = (step[0] / 2, step[1] / 2, step[2] / 2)
        gained, curve, loss = loss - better, tried, better
        if gained < 1e-10:
            break
    return curve


def _loss(curve: Curve, trials: Sequence[Trial], prior: Prior) -> float:
    fit = sum(trial.weight * _log_loss(_linear(curve, trial.top, trial.margin), trial.right) for trial in trials)
    away = sum(p * (c - mean) ** 2 for p, c, mean in zip(prior.precision, curve, prior.curve, strict=True))
    return fit + away / 2


def _newton_step(curve: Curve, trials: Sequence[Trial], prior: Prior) -> Curve:
    slope = [p * (c - mean) for p, c, mean in zip(prior.precision, curve, prior.curve, strict=True)]
    bend = [[prior.precision[i] if i == j else 0.0 for j in range(3)] for i in range(3)]
    for trial in trials:
        features = (1.0, trial.top, trial.margin)
        probability = _logistic(_linear(curve, trial.top, trial.margin))
        error = trial.weight * (probability - trial.right)
        weight = trial.weight * probability * (1 - probability)
        for i in range(3):
            slope[i] += error * features[i]
            for j in range(3):
                bend[i][j] += weight * features[i] * features[j]
    return _solve_three(bend, slope)


def _solve_three(matrix: list[list[float]], right: list[float]) -> Curve:
    """By Cramer's rule; the matrix is positive definite because the prior is."""
    whole = _determinant(matrix)
    parts = [
        _determinant([[right[i] if j == column else matrix[i][j] for j in range(3)] for i in range(3)]) / whole
        for column in range(3)
    ]
    return (parts[0], parts[1], parts[2])


def _determinant(m: list[list[float]]) -> float:
    return (
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    )


def _linear(curve: Curve, top: float, margin: float) -> float:
    return curve[0] + curve[1] * top + curve[2] * margin


def _logistic(value: float) -> float:
    if value < -700:
        return 0.0
    return 1.0 / (1.0 + math.exp(-value))


def _log_loss(value: float, right: bool) -> float:
    signed = value if right else -value
    return math.log1p(math.exp(-signed)) if signed > -30 else -signed
