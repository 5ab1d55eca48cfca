"""Isotonic regression and the threshold: what must hold for any labels."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.fitted import ENOUGH, KEEP_NONE, Fitted, ece_of, fit, threshold_of
from orchestrator.core.isotonic import Isotonic, fit_isotonic

LABELS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)
SEED = 20


@given(LABELS)
def test_a_higher_score_is_no_worse(labelled: list[tuple[float, bool]]) -> None:
    """The curve never falls, over all of its range and beyond; its blocks hold every answer."""
    curve = fit_isotonic(labelled)
    scores = sorted({score for score, _ in labelled})
    values = [curve.at(score) for score in [-1.0, *scores, 2.0]]
    assert values == sorted(values) and all(0 <= value <= 1 for value in values)
    assert sum(block.of for block in curve.blocks) == len(labelled)
    assert sum(block.right for block in curve.blocks) == sum(right for _, right in labelled)
    assert all(one.value < other.value for one, other in itertools.pairwise(curve.blocks))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=8))
def test_no_rising_curve_is_nearer(labelled: list[tuple[int, bool]]) -> None:
    """Against all rising curves on a fine grid: none has a smaller squared error."""
    curve = fit_isotonic(labelled)
    mine = sum((curve.at(score) - right) ** 2 for score, right in labelled)
    scores = sorted({score for score, _ in labelled})
    for values in itertools.combinations_with_replacement([n / 12 for n in range(13)], len(scores)):
        at = dict(zip(scores, values, strict=True))
        assert mine <= sum((at[score] - right) ** 2 for score, right in labelled) + 1e-9


@given(LABELS, st.randoms())
def test_the_order_of_the_labels_does_not_matter(labelled: list[tuple[float, bool]], chance: random.Random) -> None:
    """Nor does a rising change of the scores change the values."""
    mixed = list(labelled)
    chance.shuffle(mixed)
    curve, other = fit_isotonic(labelled), fit_isotonic(mixed)
    assert curve == other
    stretched = fit_isotonic([(score * 8, right) for score, right in labelled])
    assert [curve.at(score) for score, _ in labelled] == [stretched.at(score * 8) for score, _ in labelled]


@given(LABELS)
def test_a_curve_survives_its_plain_form(labelled: list[tuple[float, bool]]) -> None:
    """Through JSON."""
    curve = fit_isotonic(labelled)
    assert Isotonic.from_json(json.loads(json.dumps(curve.as_json()))) == curve


def test_nothing_is_fitted_on_nothing() -> None:
    """Nor read from nothing."""
    with pytest.raises(ValueError, match="nothing to fit on"):
        fit_isotonic([])
    with pytest.raises(ValueError, match="without a block"):
        Isotonic.from_json([])


@given(LABELS, st.floats(0.5, 1), st.floats(0, 20))
def test_what_is_kept_is_as_right_as_is_wanted(labelled: list[tuple[float, bool]], target: float, wrong: float) -> None:
    """And no threshold that keeps the target costs less."""
    curve = fit_isotonic(labelled)

    def kept_at(threshold: float) -> list[bool]:
        return [right for score, right in labelled if curve.at(score) >= threshold]

    def cost(threshold: float) -> float:
        kept = kept_at(threshold)
        return len(labelled) - len(kept) + wrong * kept.count(False)

    chosen = threshold_of(curve, target, wrong)
    assert sum(kept_at(chosen)) >= target * len(kept_at(chosen))
    for block in curve.blocks:
        kept = kept_at(block.value)
        if sum(kept) >= target * len(kept):
            assert cost(chosen) <= cost(block.value) + 1e-9


def test_where_nothing_is_good_enough_nothing_is_kept() -> None:
    """All go up."""
    assert threshold_of(fit_isotonic([(0.1, False), (0.9, False)]), 0.9) == KEEP_NONE


def labels(count: int) -> list[tuple[float, bool]]:
    """Scores from 0 to 1; an answer of the score ``s`` is right with the probability ``s`` squared."""
    chance = random.Random(SEED)
    scores = [chance.random() for _ in range(count)]
    return [(score, chance.random() < score * score) for score in scores]


def test_fewer_labels_than_enough_fit_nothing() -> None:
    """The score is the probability until then."""
    assert fit(labels(ENOUGH - 1)) is None
    assert fit(labels(ENOUGH)) is not None


def test_the_figures_are_of_answers_that_were_not_fitted_on() -> None:
    """The curve finds the probability behind the scores, the threshold the wanted share, and the plain form holds both."""
    fitted = fit(labels(4000), target=0.8)
    assert fitted is not None
    assert all(abs(fitted.curve.at(score) - score * score) < 0.12 for score in (0.1, 0.3, 0.5, 0.7, 0.9))
    assert fitted.ece < 0.03
    assert abs(fitted.kept_right / fitted.kept - 0.8) < 0.03
    assert 0.2 < fitted.kept / fitted.of < 0.5
    assert Fitted.from_json(json.loads(json.dumps(fitted.as_json()))) == fitted


def test_the_calibration_error_is_what_it_says() -> None:
    """Two bins of two: one off by 0.4, one by 0."""
    assert ece_of([(0.9, True), (0.9, False), (0.5, True), (0.5, False)]) == pytest.approx(0.2)
    assert ece_of([]) == 0
