"""What every strategy owes, whatever it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plugins.strategies.cascade import InstantCascade, fit_cascade
from orchestrator.plugins.strategies.fixed import fit_fixed
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.plugins.strategies.keyword import fit_keyword
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.plugins.strategies.rules import fit_rules
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions
from tests.strategies.desks import DESKS, HOSTILE

OPTIONS = StrategyOptions(stages=("rules", "keyword", "lexical"))
Fit = Callable[[tuple[Candidate, ...], StrategyOptions], Instant]


def fit_instant_cascade(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Instant:
    strategy = fit_cascade(candidates, options)
    assert isinstance(strategy, InstantCascade)
    return strategy


UNORDERED: dict[str, Fit] = {"fixed": fit_fixed, "keyword": fit_keyword, "lexical": fit_lexical}
INSTANT: dict[str, Fit] = {**UNORDERED, "rules": fit_rules, "cascade": fit_instant_cascade}
FITTED = {name: fit(DESKS, OPTIONS) for name, fit in INSTANT.items()}
NAMES = {candidate.name for candidate in DESKS}

COMMON = "where is my order invoice refund bill the printer broken password A-1001 zebra of money back"
WORDS = st.sampled_from([*COMMON.split(), "é", "漢字", "📦", "\u202e", "\x00"])
REQUESTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=12).map(" ".join))


@pytest.mark.parametrize("name", INSTANT)
@given(text=REQUESTS)
def test_a_decision_is_a_candidate_or_nobody_and_always_says_why(name: str, text: str) -> None:
    decision = FITTED[name].decide_now(RouteQuestion(text))
    assert decision.choice is None or decision.choice in NAMES
    assert decision.confidence is None or 0 <= decision.confidence <= 1
    assert set(decision.scores) <= NAMES
    assert decision.why
    assert decision.strategy == name


@pytest.mark.parametrize("name", INSTANT)
@given(text=REQUESTS)
def test_the_same_request_is_decided_alike(name: str, text: str) -> None:
    once, again = (FITTED[name].decide_now(RouteQuestion(text)) for _ in range(2))
    assert replace(once, cost_ms=0) == replace(again, cost_ms=0)


@pytest.mark.parametrize("name", UNORDERED)
@given(text=REQUESTS, order=st.permutations(DESKS))
def test_the_order_of_candidates_changes_no_choice(name: str, text: str, order: list[Candidate]) -> None:
    permuted = UNORDERED[name](tuple(order), OPTIONS).decide_now(RouteQuestion(text))
    assert replace(permuted, cost_ms=0) == replace(FITTED[name].decide_now(RouteQuestion(text)), cost_ms=0)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", INSTANT)
def test_hostile_texts_are_decided_quickly(name: str, hostile: str) -> None:
    began = time.process_time()
    decision = FITTED[name].decide_now(RouteQuestion(HOSTILE[hostile]))
    assert time.process_time() - began < 0.5
    assert decision.choice is None or decision.choice in NAMES


@pytest.mark.anyio
@pytest.mark.parametrize("name", INSTANT)
async def test_to_wait_gives_what_deciding_at_once_gives(name: str) -> None:
    question = RouteQuestion("where is the parcel now")
    waited = await FITTED[name].decide(question)
    assert replace(waited, cost_ms=0) == replace(FITTED[name].decide_now(question), cost_ms=0)
    assert waited.cost_ms > 0
