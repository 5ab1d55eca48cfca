"""The pure parts of the lexical strategy: features, regression, calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plugins.strategies import ridge
from orchestrator.plugins.strategies.calibration import (
    DRAWN_BY,
    LEAST,
    STRICT,
    USUAL,
    WORDS,
    Trial,
    calibrate,
    top_and_margin,
)
from orchestrator.plugins.strategies.features import Vocabulary
from orchestrator.plugins.strategies.learned import learn_by_means, learn_by_ridge
from orchestrator.plugins.strategies.text import fold, shortened, words_of

TEXTS = ["where is my order", "cancel my order", "send me the invoice", "the printer is broken", "my password is lost"]
CLASSES = [0, 0, 1, 2, 2]


def product(one: dict[int, float], other: dict[int, float]) -> float:
    return sum(value * other[feature] for feature, value in one.items() if feature in other)


def test_folding_drops_case_and_accents() -> None:
    assert fold("Però, ÇA è NAÏF ﬁn") == "pero, ca e naif fin"
    assert words_of("Dov'è l'ordine A-1001?") == ["dov", "e", "l", "ordine", "a", "1001"]


def test_a_text_is_shortened_to_one_line() -> None:
    assert shortened("a\n b", 60) == "a b"
    assert shortened("abcdef", 4) == "abc…"


def test_a_known_text_has_length_one_and_unknown_words_shorten_it() -> None:
    vocabulary = Vocabulary(TEXTS)
    known = vocabulary.read(TEXTS[0])
    assert product(known.vector, known.vector) == pytest.approx(1)
    assert known.known == 1
    partly = vocabulary.read("where is my zebra")
    assert product(partly.vector, partly.vector) < 0.8
    assert 0.3 < partly.known < 0.8
    assert vocabulary.read("zzz qqq").known == 0
    assert vocabulary.read("").vector == {}


def test_numbers_all_read_alike() -> None:
    vocabulary = Vocabulary(["where is order 12345", "cancel it"])
    assert vocabulary.read("where is order 777").vector == vocabulary.read("where is order 12345").vector


def random_vectors(seed: int, rows: int) -> tuple[list[dict[int, float]], list[int]]:
    chance = np.random.default_rng(seed)
    dense = chance.random((rows, 12)) * (chance.random((rows, 12)) < 0.4)
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)
    vectors = [{column: float(value) for column, value in enumerate(row) if value} for row in dense]
    return vectors, [int(one) for one in chance.integers(0, 3, rows)]


def dense_of(vectors: list[dict[int, float]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    dense = np.zeros((len(vectors), 12))
    for row, vector in enumerate(vectors):
        for feature, value in vector.items():
            dense[row, feature] = value
    return dense


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_left_out_predictions_are_those_of_a_regression_without_the_row_or_group(seed: int, rows: int) -> None:
    vectors, classes = random_vectors(seed, rows)
    learned = learn_by_ridge(vectors, classes, 3)
    dense, targets = dense_of(vectors), np.eye(3)[classes]
    for row in range(rows):
        others = [one for one in range(rows) if one != row]
        strangers = [one for one in range(rows) if classes[one] != classes[row]]
        assert learned.left_out[row] == pytest.approx(predict(dense, targets, others, row).tolist(), abs=1e-9)
        expected = predict(dense, targets, strangers, row) if strangers else np.zeros(3)
        expected[classes[row]] = 0
        assert learned.group_left_out[row] == pytest.approx(expected.tolist(), abs=1e-9)


def predict(dense: np.ndarray, targets: np.ndarray, rows: list[int], row: int) -> np.ndarray:
    kernel = dense[rows] @ dense[rows].T + 0.2 * np.eye(len(rows))
    found: np.ndarray = (dense[row] @ dense[rows].T) @ np.linalg.solve(kernel, targets[rows])
    return found


def test_plain_python_and_numpy_solve_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, classes = random_vectors(1, 40)
    plain = learn_by_ridge(vectors, classes, 3)
    monkeypatch.setattr(ridge, "PLAIN_LIMIT", 10)
    fast = learn_by_ridge(vectors, classes, 3)
    for one, other in zip(plain.left_out, fast.left_out, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


def test_the_mean_of_a_skill_is_taken_without_the_text_itself() -> None:
    vocabulary = Vocabulary(TEXTS)
    vectors = [vocabulary.read(text).vector for text in TEXTS]
    learned = learn_by_means(vectors, CLASSES, (0, 1, 2), 3)
    assert learned.left_out[0][0] == pytest.approx(product(vectors[0], vectors[1]))  # the only other text of its column
    assert learned.left_out[2][1] == 0  # nothing is left of that column
    assert learned.group_left_out[0][0] == 0
    assert learned.scores(vectors[3])[2] == max(learned.scores(vectors[3]))


def test_nobody_counts_as_a_candidate_that_scores_nothing() -> None:
    assert top_and_margin([0.4]) == (0.4, 0.4)
    assert top_and_margin([0.4, -0.2, 0.1]) == pytest.approx((0.4, 0.3))
    assert top_and_margin([-0.4, -0.2]) == (0.0, 0.0)
    assert top_and_margin([]) == (0.0, 0.0)


def test_without_trials_the_confidence_is_the_assumed_one() -> None:
    calibration = calibrate([])
    assert calibration.accuracy is None
    assert calibration.thresholds == pytest.approx({USUAL: 0.75, STRICT: 0.92})
    assert calibration.probability(0, 0) == pytest.approx(1 / (1 + math.exp(3.5)))
    assert calibration.probability(0, 0) < 0.05 < 0.95 < calibration.probability(0.7, 0.7)


TRIAL = st.builds(Trial, st.floats(-1, 2), st.floats(0, 2), st.booleans(), st.sampled_from([0.2, 0.8]))


@settings(max_examples=60, deadline=None)
@given(st.lists(TRIAL, max_size=60), st.floats(-10, 10), st.floats(0, 10))
def test_any_trials_give_probabilities_and_thresholds_within_bounds(
    trials: list[Trial], top: float, margin: float
) -> None:
    calibration = calibrate(trials)
    assert 0 <= calibration.probability(top, margin) <= 1
    assert LEAST <= calibration.thresholds[USUAL] <= calibration.thresholds[STRICT]
    assert all(threshold <= wanted + 1e-9 for wanted, threshold in calibration.thresholds.items())


@settings(max_examples=40, deadline=None)
@given(st.lists(TRIAL, min_size=40, max_size=80))
def test_what_passes_a_threshold_was_right_as_often_as_wanted(trials: list[Trial]) -> None:
    """But for what the usual threshold draws it down, which fades with the examples."""
    calibration = calibrate(trials)
    for wanted, threshold in calibration.thresholds.items():
        kept = [t for t in trials if calibration.probability(t.top, t.margin) > threshold]
        if len(kept) >= 15:
            right = sum(t.weight for t in kept if t.right)
            most = max(t.weight for t in kept)
            drawn = DRAWN_BY / (DRAWN_BY + len(trials)) * (wanted - WORDS.thresholds[wanted])
            assert right >= (wanted - drawn) * sum(t.weight for t in kept) - most


def test_a_gap_between_sure_and_unsure_examples_is_not_decided_in() -> None:
    """Examples that are nearly the same are all sure, and those of nobody all unsure: the mean is reached anywhere between them."""
    for count in (3, 10, 100):
        trials = [Trial(0.9, 0.8, True, 0.8)] * count + [Trial(0.1, 0.05, False, 0.2, True)] * count
        assert calibrate(trials).thresholds[USUAL] >= LEAST


def test_few_examples_that_tell_nothing_leave_the_usual_threshold() -> None:
    """Not one that nothing reaches; and never more than is wanted, which each decision then has by itself."""
    hopeless = [Trial(0.1, 0.1, False, 0.8)] * 2
    assert calibrate(hopeless).thresholds[USUAL] == pytest.approx((2 * USUAL + DRAWN_BY * 0.75) / (2 + DRAWN_BY))
    assert calibrate(hopeless * 500).thresholds[USUAL] == pytest.approx(USUAL, abs=0.01)


def test_cleanly_separated_trials_give_a_steep_but_finite_curve() -> None:
    trials = [Trial(0.9, 0.8, True, 0.8)] * 50 + [Trial(0.1, 0.05, False, 0.2)] * 50
    calibration = calibrate(trials)
    assert all(map(math.isfinite, calibration.curve))
    assert calibration.probability(0.9, 0.8) > 0.97
    assert calibration.probability(0.1, 0.05) < 0.1
