"""A stage's confidence as labels refined it: what it decides by, what it says, and that no other stage or kind goes by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.fitted import KEEP_NONE
from orchestrator.core.refined import Line, Refined
from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.cascade import Cascade, InstantCascade, fit_cascade
from orchestrator.plugins.strategies.intent import Intent
from orchestrator.plugins.strategies.lexical import Lexical, fit_lexical
from orchestrator.plugins.strategies.sureness import Sureness, sureness
from orchestrator.ports.provider import ChatReply
from orchestrator.ports.strategy import RouteQuestion, StrategyOptions
from tests.strategies.desks import DESKS
from tests.strategies.test_intent import Model, reply_of

pytestmark = pytest.mark.anyio
TEXT = "where is my thing"
"""``lexical`` is 98 % sure of it, and decides from 60 % on."""


def refined(offset: float, usual: float = 0.5, strict: float = 0.9, slope: float = 1.0) -> Refined:
    """Labels that move all log-odds by so much; the lowest labelled confidence was 50 %."""
    return Refined(Line(offset, slope), 0.5, usual, strict, 0.95, 100, 90, 90, 85, 0.02, 0.1)


def judged(fit: Refined | None, confidence: float | None = None, at: tuple[str, str] = ("lexical", "")) -> Decision:
    """By ``lexical``."""
    strategy = fit_lexical(DESKS, StrategyOptions(confidence=confidence))
    assert isinstance(strategy, Lexical)
    return strategy.judge(RouteQuestion(TEXT, refined={at: fit} if fit else {}))


def test_labels_move_the_confidence_and_what_it_takes() -> None:
    """What is decided, told and kept is the probability; beside it stands the stage's own confidence."""
    plain = judged(None)
    assert plain.raw == plain.confidence and plain.as_json().keys().isdisjoint({"raw", "stage"})
    moved = judged(refined(-1.0, usual=0.9))
    assert (moved.choice, moved.raw) == ("orders", plain.raw)
    assert moved.confidence == pytest.approx(0.958, abs=0.001) and moved.as_json()["raw"] == plain.raw
    assert moved.why.startswith("orders, 96% sure (needs 77%, by labels); nearest")
    none = judged(refined(-1.0, usual=KEEP_NONE))
    assert none.choice is None and none.why.startswith("not sure enough: orders 96% (needs 100%, by labels)")


def test_where_all_labels_were_right_enough_the_threshold_is_the_fitted_one() -> None:
    """Or the lowest that was labelled, whichever is lower."""
    assert "(needs 50%, by labels)" in judged(refined(0.0)).why
    lower = sureness(0.45, 0.4, None, refined(0.0), strict=False)
    assert lower.enough and lower.needed == pytest.approx(0.4)


def test_what_the_manifest_writes_goes_before_and_is_of_the_probability() -> None:
    """80 % of what was right, not of what the stage believed."""
    assert judged(None, 0.97).choice == "orders"
    held = judged(refined(-1.0), 0.97)
    assert held.choice is None and "(needs 97%, by labels)" in held.why
    assert judged(refined(-1.0, usual=KEEP_NONE), 0.9).choice == "orders"


@pytest.mark.parametrize("at", [("semantic", ""), ("intent", ""), ("lexical", "vllm")])
def test_nothing_else_goes_by_them(at: tuple[str, str]) -> None:
    """Another stage, or another kind of server."""
    assert judged(refined(-9.0, usual=KEEP_NONE), at=at) == judged(None)


async def test_a_model_of_each_kind_of_server_has_its_own() -> None:
    """A probability of tokens is of its own kind's scale; without log-probabilities there is nothing to refine."""

    async def chosen(kind: str, reply: ChatReply) -> Decision:
        fit = {("intent", "vllm"): refined(-3.0, usual=0.99)}
        asked = RouteQuestion("hello there", ask=Model(replace(reply, kind=kind)), refined=fit)
        return await Intent(DESKS, StrategyOptions()).decide(asked)

    sure = reply_of("support", ("support", 0.9))
    assert ((await chosen("ollama", sure)).choice, (await chosen("vllm", sure)).choice) == ("support", None)
    refused = await chosen("vllm", sure)
    assert refused.why == "tiny chose support (31%, by labels), but 83% is needed of vllm"
    assert refused.raw == pytest.approx(0.9) and refused.confidence == pytest.approx(0.31, abs=0.01)
    silent = await chosen("vllm", reply_of("support"))
    assert (silent.choice, silent.confidence, silent.raw) == ("support", None, None)


async def test_a_cascade_names_the_stage_that_decided() -> None:
    """Or whose scores are shown where none did; a stage that labels hold back leaves the request to the next one."""
    strategy = fit_cascade(DESKS, StrategyOptions())
    assert isinstance(strategy, Cascade)
    model = Model(replace(reply_of("support", ("support", 0.8)), kind="vllm"))
    early = await strategy.decide(RouteQuestion(TEXT, ask=model))
    assert (early.stage, early.choice, early.kind) == ("lexical", "orders", "")
    held = {("lexical", ""): refined(-9.0, usual=KEEP_NONE, strict=KEEP_NONE)}
    late = await strategy.decide(RouteQuestion(TEXT, ask=model, refined=held))
    assert (late.stage, late.choice, late.kind) == ("intent", "support", "vllm")
    assert late.raw == pytest.approx(0.8) and late.as_json()["stage"] == "intent"
    instant = fit_cascade(DESKS, StrategyOptions(stages=("rules", "lexical")))
    assert isinstance(instant, InstantCascade)
    by_rule = instant.decide_now(RouteQuestion("about A-1001, the invoice"))
    assert (by_rule.stage, by_rule.raw) == ("rules", None)
    exact = instant.decide_now(RouteQuestion("where is my order"))
    assert (exact.stage, exact.confidence, exact.raw) == ("lexical", 1.0, None)
    unsure = instant.decide_now(RouteQuestion(TEXT, refined=held))
    assert (unsure.choice, unsure.stage) == (None, "lexical")
    unseen = instant.judge_unseen(RouteQuestion("where is my order", refined=held), "orders", whole=False)
    assert unseen is not None and unseen.choice is None and "by labels" in unseen.why


@pytest.mark.parametrize(
    ("probability", "needed", "enough", "told"),
    [
        (0.861, 0.6, True, "a, 86% sure (needs 60%)"),
        (0.8691, 0.8694, False, "not sure enough: a 86.91% (needs 86.94%)"),
        (0.8749, 0.8751, False, "not sure enough: a 87% (needs 88%)"),
        (0.9999, 0.5, True, "a, 99% sure (needs 50%)"),
        (0.997, 0.9951, True, "a, 99.7% sure (needs 99.5%)"),
        (0.9, 1.0, False, "not sure enough: a 90% (needs 100%)"),
    ],
)
def test_the_words_never_say_the_opposite(probability: float, needed: float, enough: bool, told: str) -> None:
    """Finer than whole percents only where these would not tell which is more."""
    assert Sureness(probability, probability, needed, enough).told("a") == told


@pytest.mark.parametrize(("few", "told"), [(None, ""), (1, "1 example"), (6, "6 examples")])
def test_a_confidence_of_few_examples_is_told_as_assumed(few: int | None, told: str) -> None:
    """Whether it decides or not; labels say more than examples."""
    more = f", mostly assumed from {told}" if told else ""
    assert (
        sureness(0.99, 0.86, None, None, strict=False).fitted_on(few).told("hours")
        == f"hours, 99% sure (needs 86%){more}"
    )
    unsure = sureness(0.5, 0.86, None, None, strict=False).fitted_on(few).told("hours")
    assert unsure == f"not sure enough: hours 50% (needs 86%){more}"
