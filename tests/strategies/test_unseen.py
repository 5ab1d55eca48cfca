"""Every strategy can decide about an example of its own as if it had not been there."""

from __future__ import annotations

import pytest

from orchestrator.plugins.strategies.cascade import fit_cascade
from orchestrator.plugins.strategies.intent import fit_intent
from orchestrator.plugins.strategies.keyword import fit_keyword
from orchestrator.plugins.strategies.lexical import Lexical, fit_lexical
from orchestrator.plugins.strategies.overlaps import overlaps_of
from orchestrator.plugins.strategies.ridge import PLAIN_LIMIT
from orchestrator.plugins.strategies.rules import fit_rules
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions
from tests.strategies.desks import BILLING, DESKS, ORDERS

OPTIONS = StrategyOptions()
EXAMPLES = [(desk.name, text) for desk in DESKS for skill in desk.skills for text in skill.examples]


def lexical(*candidates: Candidate) -> Lexical:
    fitted = fit_lexical(candidates, OPTIONS)
    assert isinstance(fitted, Lexical)
    return fitted


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_a_left_out_example_scores_nearly_as_one_that_was_never_there(name: str, text: str) -> None:
    """The closed form against a real fit without it; weights by rarity still count the text, so they differ a little."""
    without = [
        Candidate(
            desk.name,
            desk.description,
            tuple(
                type(skill)(skill.name, skill.description, tuple(e for e in skill.examples if e != text))
                for skill in desk.skills
            ),
            keywords=desk.keywords,
        )
        for desk in DESKS
    ]
    closed = lexical(*DESKS).judge_unseen(RouteQuestion(text), name, whole=False)
    assert closed is not None
    refit = lexical(*without).judge(RouteQuestion(text))
    assert closed.scores.keys() == refit.scores.keys()
    assert all(closed.scores[each] == pytest.approx(refit.scores[each], abs=0.12) for each in closed.scores)


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_a_candidate_that_is_left_out_whole_is_never_chosen(name: str, text: str) -> None:
    for fitted in (lexical(*DESKS), fit_keyword(DESKS, OPTIONS), fit_rules(DESKS, OPTIONS)):
        decision = fitted.judge_unseen(RouteQuestion(text), name, whole=True)
        assert decision is not None
        assert decision.choice != name and name not in decision.scores


def test_the_words_of_an_example_are_no_sign_once_it_is_left_out() -> None:
    text = "has my parcel been sent yet"
    decision = lexical(*DESKS).judge_unseen(RouteQuestion(text), "orders", whole=False)
    assert decision is not None and decision.confidence is not None and decision.confidence < 1
    assert "these are the words" not in decision.why


def test_words_that_only_the_left_out_text_has_are_not_known() -> None:
    fitted = lexical(ORDERS, BILLING)
    decision = fitted.judge_unseen(RouteQuestion("stop the order i placed"), "orders", whole=False)
    assert decision is not None and "is known" not in decision.why and next(iter(decision.scores)) == "orders"
    alone = fitted.judge_unseen(RouteQuestion("has my parcel been sent yet"), "orders", whole=True)
    assert alone is not None and "is known" in alone.why


def test_the_only_candidate_left_out_leaves_nobody() -> None:
    decision = lexical(ORDERS).judge_unseen(RouteQuestion("where is my order"), "orders", whole=True)
    assert decision is not None and (decision.choice, decision.why) == (None, "there is no other candidate")


def test_an_example_that_was_not_tried_gives_no_decision() -> None:
    """Beyond what a regression solves, a part of the texts stands for all."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [f"{one}{two}" for one in letters for two in letters][:PLAIN_LIMIT]
    many = tuple(Candidate(f"desk-{word}", examples=tuple(f"{word}{m * 'z'}" for m in range(4))) for word in words)
    fitted = lexical(*many)
    tried = [fitted.judge_unseen(RouteQuestion(t), c.name, whole=False) for c in many for t in c.examples]
    assert any(decision is None for decision in tried) and any(decision is not None for decision in tried)
    assert fitted.judge_unseen(RouteQuestion("no example of anybody"), "desk-aa", whole=False) is None


def test_a_cascade_leaves_the_example_out_of_every_stage() -> None:
    for stages in (("rules", "keyword", "lexical"), ("rules", "keyword", "lexical", "intent")):
        fitted = fit_cascade(DESKS, StrategyOptions(stages=stages))
        inside = fitted.judge_unseen(RouteQuestion("i cannot log in"), "support", whole=False)
        assert inside is not None and "lexical" in inside.why
        outside = fitted.judge_unseen(RouteQuestion("the printer is broken"), "support", whole=True)
        assert outside is not None and outside.choice is None
    assert fit_intent(DESKS, OPTIONS).judge_unseen(RouteQuestion("x"), "orders", whole=False).choice is None


def test_texts_of_two_candidates_that_are_nearly_the_same_are_found_most_alike_first() -> None:
    returns = Candidate("returns", "Where an order is now", examples=("where is my parcel order", "take it back"))
    found = overlaps_of((ORDERS, returns))
    assert [(each.one.text, each.other.text) for each in found] == [
        ("Where an order is now", "Where an order is now"),
        ("where is my order", "where is my parcel order"),
        ("Tells where an order is.", "Where an order is now"),
    ]
    assert [each.likeness for each in found] == sorted((each.likeness for each in found), reverse=True)
    assert overlaps_of(DESKS) == []
