"""The search: what it counts, what it never proposes, and that it is as good as trying everything."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from orchestrator.app.routing.search import (
    LEARNED,
    THRESHOLDS,
    Outcome,
    Setting,
    Stage,
    by_chance,
    choose,
    curve,
    decided,
    halves,
    needed,
    settings,
    tally,
)

NAMES = ("a", "b", "c")
CHOICES = st.sampled_from((*NAMES, None))
SHARES = st.floats(0, 1)
NOW = Setting(("rules", "keyword", "lexical"), None)


@st.composite
def asked(draw: st.DrawFn) -> tuple[dict[str, Stage], list[tuple[str, ...]]]:
    """Stages that said something of some requests, and who was wanted."""
    count = draw(st.integers(1, 25))
    stages = {}
    for name in ("rules", "keyword", "lexical", "semantic", "intent"):
        said = draw(st.lists(st.tuples(CHOICES, SHARES), min_size=count, max_size=count))
        sure = name in LEARNED
        outcomes = tuple(
            Outcome(None if name == "intent" else choice, share if sure else None) for choice, share in said
        )
        stages[name] = Stage(outcomes, draw(SHARES), draw(SHARES), draw(SHARES), asks=name == "intent")
    wanted = draw(st.lists(st.sets(st.sampled_from(NAMES)).map(sorted).map(tuple), min_size=count, max_size=count))
    return stages, wanted


@given(asked(), st.integers(0, 9))
def test_the_halves_share_no_request_and_each_has_as_many_for_everybody(
    case: tuple[dict[str, Stage], list[tuple[str, ...]]], seed: int
) -> None:
    _, wanted = case
    one, other = halves(wanted, seed)
    assert sorted(one + other) == list(range(len(wanted)))
    assert halves(wanted, seed) == (one, other)
    for names in set(wanted):
        counts = [sum(wanted[at] == names for at in half) for half in (one, other)]
        assert abs(counts[0] - counts[1]) <= 1


@given(st.lists(st.sampled_from(["ask", "call", "write"]), min_size=1), st.integers(0, 9))
def test_one_text_is_in_one_half(texts: list[str], seed: int) -> None:
    wanted = [(NAMES[at % 3],) for at in range(len(texts))]
    one, other = halves(wanted, seed, texts)
    assert sorted(one + other) == list(range(len(texts)))
    assert not {texts[at] for at in one} & {texts[at] for at in other}


@given(asked(), st.sampled_from(THRESHOLDS))
def test_a_stricter_threshold_never_decides_more(
    case: tuple[dict[str, Stage], list[tuple[str, ...]]], share: float
) -> None:
    stages, wanted = case
    rows = range(len(wanted))
    kept = [tally(Setting(NOW.stages, each), stages, wanted, rows).kept for each in (0.0, share, 1.0)]
    assert kept == sorted(kept, reverse=True)


@trials(max_examples=25)
@given(asked(), st.integers(0, 3))
def test_of_all_that_reach_the_target_it_takes_the_one_that_decides_most_rightly(
    case: tuple[dict[str, Stage], list[tuple[str, ...]]], tenths: int
) -> None:
    stages, wanted = case
    target = 0.5 + tenths / 10
    tried = {each: tally(each, stages, wanted, range(len(wanted))) for each in settings(NOW, stages, may_move=True)}
    found = choose(NOW, tried, target)
    reaching = [of for of in tried.values() if of.reaches(target)]
    assert (found is None) is (not reaching)
    if found is not None:
        assert tried[found].right == max(of.right for of in reaching)
        assert tried[found].right >= target * tried[found].kept
        as_good = tried[NOW].reaches(target) and tried[NOW].right == tried[found].right
        if as_good and found != NOW:
            fewer = tried[found].calls < tried[NOW].calls
            assert fewer or tried[found].seconds < tried[NOW].seconds


@given(asked(), st.permutations(("rules", "keyword", "lexical", "semantic", "intent")))
def test_rules_stay_in_front_a_model_last_and_a_named_encoder_is_used(
    case: tuple[dict[str, Stage], list[tuple[str, ...]]], order: list[str]
) -> None:
    stages, _ = case
    now = Setting(tuple(order), 0.5)
    found = settings(now, stages, may_move=True)
    assert now in found and len(found) <= 16 * (len(THRESHOLDS) + 1)
    for each in found:
        assert [name for name in each.stages if name in ("rules", "intent")] == [
            name for name in order if name in ("rules", "intent")
        ]
        assert "semantic" in each.stages
        assert len(set(each.stages)) == len(each.stages)
    assert {each.stages for each in settings(now, stages, may_move=False)} == {now.stages}


@given(asked())
def test_the_curve_leads_from_most_decided_to_least(case: tuple[dict[str, Stage], list[tuple[str, ...]]]) -> None:
    stages, wanted = case
    points = curve(NOW.stages, stages, wanted, range(len(wanted)))
    kept = [of.kept for _, of in points]
    assert points[0][0] == 0.0 and kept == sorted(set(kept), reverse=True)


def test_what_is_left_open_goes_on_and_the_model_is_counted() -> None:
    stages = {
        "lexical": Stage((Outcome("a", 0.9), Outcome("a", 0.7), Outcome(None, 0.9)), 0.1, usual=0.6, strict=0.8),
        "intent": Stage((Outcome(None),) * 3, 0.2, asks=True),
    }
    now = Setting(("lexical", "intent"), None)
    assert decided(now, stages, 0) == ("a", 0, 0.1)
    choice, calls, seconds = decided(now, stages, 1)
    assert (choice, calls) == (None, 1), "strict, as a model comes next"
    assert math.isclose(seconds, 0.3)
    assert decided(Setting(("lexical",), None), stages, 1) == ("a", 0, 0.1)
    assert tally(Setting(("lexical", "intent"), 0.7), stages, [("a",), ("b",), ()], range(3)).calls == 1


def test_the_numbers_that_are_needed_and_the_sign_test() -> None:
    assert [needed(target) for target in (0.5, 0.9, 0.95, 0.98, 0.99)] == [10, 10, 20, 50, 100]
    assert by_chance(5, 0) == 1 / 32 and by_chance(0, 0) == 1.0
    assert math.isclose(by_chance(8, 2), 56 / 1024)
