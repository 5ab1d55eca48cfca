"""Stages in order, and what each of them said."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import DeployError, Unreachable
from orchestrator.plugins.strategies.cascade import Cascade, InstantCascade, fit_cascade
from orchestrator.ports.strategy import RouteQuestion, StrategyOptions
from tests.strategies.desks import DESKS
from tests.strategies.test_intent import Model, reply_of

pytestmark = pytest.mark.anyio
INSTANT = ("rules", "keyword", "lexical")


def instant(*stages: str) -> InstantCascade:
    strategy = fit_cascade(DESKS, StrategyOptions(stages=stages))
    assert isinstance(strategy, InstantCascade)
    return strategy


def test_the_first_stage_that_decides_ends_it() -> None:
    decision = instant(*INSTANT).decide_now(RouteQuestion("about A-1001, the invoice"))
    assert decision.choice == "orders"
    assert decision.why == r'rules: the pattern \bA-\d{4}\b finds "A-1001"'


def test_the_why_lists_what_each_stage_said() -> None:
    decision = instant(*INSTANT).decide_now(RouteQuestion("where is my thing"))
    assert decision.choice == "orders"
    assert decision.why == (
        "rules: the conditions of no route hold | keyword: none of the keywords is in the request"
        ' | lexical: orders, 98% sure (needs 60%); nearest example of orders: "where is my order"'
    )
    assert decision.confidence is not None
    assert decision.strategy == "cascade"


def test_where_nobody_decides_the_scores_are_those_of_the_last_that_had_any() -> None:
    decision = instant("lexical", "rules").decide_now(RouteQuestion("is the bill paid"))
    assert decision.choice is None
    assert list(decision.scores) == ["billing", "orders", "support"]


async def test_a_model_is_asked_only_where_the_cheaper_stages_abstain() -> None:
    strategy = fit_cascade(DESKS, StrategyOptions())
    assert isinstance(strategy, Cascade)
    model = Model(reply_of("support"))
    early = await strategy.decide(RouteQuestion("where is my order", ask=model))
    late = await strategy.decide(RouteQuestion("hello there", ask=model))
    assert (early.choice, late.choice, len(model.asked)) == ("orders", "support", 1)
    assert late.why.endswith(" | intent: tiny chose support of 3")
    assert late.cost_ms > 0


async def test_lexical_is_stricter_only_where_a_model_comes_after_it() -> None:
    text = "the account"
    with_model = await fit_cascade(DESKS, StrategyOptions(stages=("lexical", "intent"))).decide(
        RouteQuestion(text, ask=Model(reply_of("none")))
    )
    without = await fit_cascade(DESKS, StrategyOptions(stages=("lexical", "intent"))).decide(RouteQuestion(text))
    assert "(needs 88%)" in with_model.why
    assert "(needs 60%)" in without.why


async def test_a_failing_model_ends_in_an_abstention_with_every_reason() -> None:
    decision = await fit_cascade(DESKS, StrategyOptions(stages=("keyword", "intent"))).decide(
        RouteQuestion("hello", ask=Model(Unreachable("refused")))
    )
    assert decision.choice is None
    assert decision.why == "keyword: none of the keywords is in the request | intent: Unreachable: refused"


def test_a_stage_that_is_none_is_refused() -> None:
    with pytest.raises(DeployError, match='"lexicl" cannot be a stage') as caught:
        fit_cascade(DESKS, StrategyOptions(stages=("lexicl",)))
    assert caught.value.cure == 'did you mean "lexical"?'
    with pytest.raises(DeployError, match='"cascade" cannot be a stage'):
        fit_cascade(DESKS, StrategyOptions(stages=("cascade",)))


def test_the_notes_of_the_stages_are_gathered() -> None:
    assert fit_cascade(DESKS[:2], StrategyOptions(stages=("keyword", "lexical"))).notes == (
        "only 12 examples to fit the confidence on: mostly assumed, give at least 15",
    )
