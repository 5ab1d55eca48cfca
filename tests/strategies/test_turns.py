"""Sharing requests among agents that are alike."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest

from orchestrator.plugins.strategies.cascade import InstantCascade, fit_cascade
from orchestrator.plugins.strategies.turns import fit_least_loaded, fit_priority, fit_round_robin, fit_sticky
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

OPTIONS = StrategyOptions()
THREE = (Candidate("c"), Candidate("a"), Candidate("b"))
SESSIONS = [f"visitor-{number}" for number in range(600)]


def busy(session: str = "", **loads: float) -> RouteQuestion:
    return RouteQuestion("hello", session=session, load=loads.__getitem__)


def test_round_robin_takes_each_in_the_order_written() -> None:
    strategy = fit_round_robin(THREE, OPTIONS)
    chosen = [strategy.decide_now(RouteQuestion("hello")).choice for _ in range(7)]
    assert chosen == ["c", "a", "b", "c", "a", "b", "c"]


def test_a_session_stays_where_it_is_and_only_those_of_a_lost_agent_move() -> None:
    strategy, fewer = fit_sticky(THREE, OPTIONS), fit_sticky(THREE[:2], OPTIONS)
    before = {each: strategy.decide_now(RouteQuestion("hi", session=each)).choice for each in SESSIONS}
    again = {each: strategy.decide_now(RouteQuestion("bye", session=each)).choice for each in SESSIONS}
    after = {each: fewer.decide_now(RouteQuestion("hi", session=each)).choice for each in SESSIONS}
    assert before == again
    assert all(after[each] == before[each] for each in SESSIONS if before[each] != "b")
    assert all(150 < number < 250 for number in Counter(before.values()).values())


def test_one_that_does_not_answer_is_passed_over_until_it_does() -> None:
    """The others take its turns, and its sessions only; where none answers each has its turn, and may have a way of its own."""
    strategy, away = fit_round_robin(THREE, OPTIONS), busy(a=inf, b=0.0, c=9.0)
    assert [strategy.decide_now(away).choice for _ in range(3)] == ["c", "b", "c"]
    assert strategy.decide_now(away).why == "it is the turn of b, one of 2; what serves a does not answer"
    assert strategy.decide_now(busy(a=inf, b=inf, c=inf)).why == "it is the turn of a, one of 3"
    sticky = fit_sticky(THREE, OPTIONS)
    all_there = {each: sticky.decide_now(RouteQuestion("hi", session=each)).choice for each in SESSIONS}
    one_away = {each: sticky.decide_now(busy(each, a=inf, b=0.0, c=9.0)).choice for each in SESSIONS}
    assert set(one_away.values()) == {"b", "c"}
    assert all(one_away[each] == all_there[each] for each in SESSIONS if all_there[each] != "a")


def test_without_a_session_sticky_abstains_and_the_next_stage_decides() -> None:
    cascade = fit_cascade(THREE, StrategyOptions(stages=("sticky", "round-robin")))
    assert isinstance(cascade, InstantCascade)
    decision = cascade.decide_now(RouteQuestion("hello"))
    assert decision.choice == "c"
    assert decision.why == "sticky: the request belongs to no session | round-robin: it is the turn of c, one of 3"


@pytest.mark.parametrize(
    ("question", "chosen"),
    [
        (busy(a=0.5, b=0.25, c=1.0), ["b", "b"]),
        (busy(a=0.5, b=0.5, c=2.0), ["a", "b"]),
        (busy(a=inf, b=inf, c=3.0), ["c", "c"]),
        (busy(a=inf, b=inf, c=inf), [None, None]),
        (RouteQuestion("nobody knows"), ["c", "a"]),
    ],
    ids=["least", "equal", "others-away", "all-away", "unknown"],
)
def test_the_least_busy_is_taken_and_equals_in_turn(question: RouteQuestion, chosen: list[str | None]) -> None:
    strategy = fit_least_loaded(THREE, OPTIONS)
    assert [strategy.decide_now(question).choice for _ in range(2)] == chosen


@pytest.mark.parametrize(
    ("question", "chosen", "why"),
    [
        (busy(c=0.9, a=0.0, b=0.0), "c", "c is the first with a free slot"),
        (busy(c=1.0, a=0.5, b=0.0), "a", "a is the first with a free slot"),
        (busy(c=3.0, a=2.0, b=inf), "a", "all are full, and a is the least busy"),
        (busy(c=inf, a=inf, b=inf), None, "nothing that serves any of them answers"),
    ],
    ids=["first", "second", "full", "away"],
)
def test_the_first_with_a_free_slot_has_priority(question: RouteQuestion, chosen: str | None, why: str) -> None:
    decision = fit_priority(THREE, OPTIONS).decide_now(question)
    assert (decision.choice, decision.why) == (chosen, why)
    assert list(decision.scores.values()) == sorted(decision.scores.values(), reverse=True)


def test_they_say_nothing_of_an_example() -> None:
    for fit in (fit_round_robin, fit_sticky, fit_least_loaded, fit_priority):
        assert fit(THREE, OPTIONS).judge_unseen(RouteQuestion("hello"), "a", whole=False) is None
    cascade = fit_cascade(THREE, StrategyOptions(stages=("rules", "priority")))
    assert cascade.judge_unseen(RouteQuestion("hello"), "a", whole=True) is None
