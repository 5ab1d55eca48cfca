"""What labelled decisions make of a confidence, on data whose truth is known."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.fitted import ENOUGH, KEEP_NONE, Scale
from orchestrator.core.isotonic import Isotonic
from orchestrator.core.refined import FEW, Line, Refined, enough_of, refine, refinements_of

Truth = Callable[[float], float]
ANY = st.tuples(st.integers(FEW, ENOUGH + 40), st.integers(1, 60), st.integers(-3, 3), st.integers())
"""How many labels, on how many different confidences, how sharply right by them (wrong where negative), and a seed."""
SEEDS = range(20)
TRUTHS: dict[str, Truth] = {
    "too sure": lambda own: own**3,
    "too modest": lambda own: own**0.3,
    "two steps": lambda own: 0.6 if own < 0.9 else 0.99,
}


def any_labels(count: int, steps: int, sharp: int, seed: int) -> list[tuple[float, bool]]:
    """Also absurd ones: all alike, or right the more the less sure."""
    chance = random.Random(seed)
    owns = [chance.randrange(steps + 1) / steps for _ in range(count)]
    return [(own, chance.random() < 0.5 + sharp * (own - 0.5)) for own in owns]


def labels(count: int, truth: Truth, seed: int, lowest: float = 0.5) -> list[tuple[float, bool]]:
    """Own confidences from ``lowest`` on, most of them high; a decision is right as often as ``truth`` says."""
    chance = random.Random(seed)
    owns = [lowest + (1 - lowest) * chance.random() ** 0.5 for _ in range(count)]
    return [(own, chance.random() < truth(own)) for own in owns]


def fitted(count: int, truth: Truth, seed: int = 0, target: float = 0.95) -> Refined:
    """Of so many labels."""
    found = refine(labels(count, truth, seed), target)
    assert found is not None
    return found


def distance(probability: Truth, truth: Truth) -> float:
    """How far a probability is from the truth, on average."""
    owns = [own for own, _ in labels(500, truth, -1)]
    return sum(abs(probability(own) - truth(own)) for own in owns) / len(owns)


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize(("count", "left"), [(FEW, 0.9), (ENOUGH - 1, 0.85), (ENOUGH, 0.55), (2000, 0.3)])
def test_labels_bring_a_confidence_nearer_to_the_truth(name: str, count: int, left: float) -> None:
    """With more of them more so: what is ``left`` of its error, over twenty draws."""
    truth = TRUTHS[name]
    errors = [distance(fitted(count, truth, seed).at, truth) for seed in SEEDS]
    assert sum(errors) / len(errors) < left * distance(lambda own: own, truth)


def test_few_labels_of_a_true_confidence_move_it_little() -> None:
    """The fit from the examples is blended in: it is not thrown away for fifty labels."""
    errors = [distance(fitted(FEW, lambda own: own, seed).at, lambda own: own) for seed in SEEDS]
    assert sum(errors) / len(errors) < 0.05
    curve = fitted(ENOUGH, lambda own: own).curve
    assert isinstance(curve, Isotonic) and isinstance(fitted(ENOUGH - 1, lambda own: own).curve, Line)


@pytest.mark.parametrize("name", TRUTHS)
def test_from_the_threshold_on_as_much_is_right_as_is_wanted(name: str) -> None:
    """On other requests, and the figures that are told say so too, which are of labels that were not fitted on."""
    truth, wanted = TRUTHS[name], 0.9
    found = fitted(2000, truth, target=wanted)
    least = found.least(0.5, strict=False)
    others = [right for own, right in labels(4000, truth, -2) if own >= least]
    assert len(others) > 200 and sum(others) / len(others) > wanted - 0.02
    assert found.kept_right / found.kept > wanted - 0.03
    assert abs(found.kept / found.of - len(others) / 4000) < 0.1
    assert found.ece < 0.05 < found.before
    assert found.least(0.5, strict=True) >= least


def test_where_no_decision_is_right_often_enough_none_is_made() -> None:
    """Whatever the examples said."""
    found = fitted(400, lambda _: 0.5)
    assert found.usual == found.strict == KEEP_NONE == found.least(0.6, strict=False)
    assert (found.kept, found.of) == (0, 400)


def test_what_was_never_labelled_is_only_ever_lowered() -> None:
    """Labels are of what was decided: they say nothing of what was not, and open no door to it."""
    found = fitted(ENOUGH, lambda _: 1.0)
    assert found.at(0.2) == 0.2 and found.at(found.lowest) > 0.85
    assert found.least(0.3, strict=False) == 0.3
    assert found.least(0.9, strict=False) == found.lowest
    wrong = fitted(ENOUGH, lambda _: 0.0)
    assert wrong.at(0.2) < 0.1


@settings(max_examples=60)
@given(ANY)
def test_a_higher_confidence_is_no_worse(drawn: tuple[int, int, int, int]) -> None:
    """Over the whole range, for any labels; all values are probabilities, and the plain form holds the same."""
    found = refine(any_labels(*drawn))
    assert found is not None
    values = [found.at(own / 50) for own in range(51)]
    assert all(0 <= value <= 1 for value in values)
    assert all(one <= other + 1e-9 for one, other in itertools.pairwise(values))
    assert Refined.from_json(json.loads(json.dumps(found.as_json()))) == found


@settings(max_examples=60)
@given(ANY, st.floats(0.5, 1))
def test_the_threshold_reaches_what_is_wanted(drawn: tuple[int, int, int, int], target: float) -> None:
    """The mean probability of the labelled from there on, of fifteen at least, each more right than wrong; it is the lowest."""
    labelled = any_labels(*drawn)
    found = refine(labelled, target)
    assert found is not None

    def mean(least: float) -> float:
        kept = [found.at(own) for own, _ in labelled if own >= least]
        return sum(kept) / len(kept)

    if found.usual <= 1:
        assert mean(found.usual) >= target - 1e-6
    levels: dict[float, float] = {}
    for own, _ in sorted(labelled, reverse=True):
        levels[found.at(own)] = own  # where it begins: what is worth the same is decided together
    lower = [own for value, own in levels.items() if own < found.usual and value >= 0.5]
    lower = [own for own in lower if sum(other >= own for other, _ in labelled) >= 15]
    assert all(mean(own) < target + 1e-6 for own in lower)


def test_fewer_labels_than_enough_fit_nothing() -> None:
    """A model's own confidence comes from no example that it could be blended with, and takes more."""
    some = labels(ENOUGH, lambda own: own, 0)
    assert refine(some[: FEW - 1]) is None and refine(some[: ENOUGH - 1], of_model=True) is None
    of_model = refine(some, of_model=True)
    assert of_model is not None and isinstance(of_model.curve, Isotonic)
    assert sum(block.right for block in of_model.curve.blocks) == sum(right for _, right in some)
    lexical, model = Scale("front", "", "route:lexical"), Scale("front", "vllm", "route:intent")
    assert (enough_of(lexical), enough_of(model), enough_of(Scale("clerk", "", "judge"))) == (FEW, ENOUGH, ENOUGH)


def test_a_router_finds_only_what_is_its_own() -> None:
    """Not what is of another router or version, and each by its stage and kind of server."""
    one = fitted(FEW, lambda own: own)
    scales = [
        Scale("front", "", "route:lexical", "v2"),
        Scale("front", "vllm", "route:intent", "v2"),
        Scale("front", "", "route:semantic", "v1"),
        Scale("back", "", "route:lexical", "v2"),
    ]
    found = refinements_of(dict.fromkeys(scales, one), "front", "v2")
    assert set(found) == {("lexical", ""), ("intent", "vllm")}


def test_a_plain_form_that_is_none_is_refused() -> None:
    """As an unknown form, or half of one."""
    plain = fitted(FEW, lambda own: own).as_json()
    for broken in ({**plain, "form": "levels"}, {**plain, "curve": [1.0]}, {**plain, "more": 1}, {"form": "line"}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Refined.from_json(broken)
