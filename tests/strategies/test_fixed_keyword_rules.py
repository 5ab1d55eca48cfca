"""The three strategies that only follow what is written."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orchestrator.core.blueprint import ReflexSpec
from orchestrator.core.conditions import Matter
from orchestrator.core.errors import DeployError
from orchestrator.deploy.reflex import compile_reflexes
from orchestrator.plugins.strategies.cascade import InstantCascade, fit_cascade
from orchestrator.plugins.strategies.fixed import fit_fixed
from orchestrator.plugins.strategies.keyword import fit_keyword
from orchestrator.plugins.strategies.rules import fit_rules
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions
from tests.strategies.desks import BILLING, DESKS, ORDERS

OPTIONS = StrategyOptions()


def ask(strategy: object, text: str, complexity: str = "") -> tuple[str | None, str]:
    decision = strategy.decide_now(RouteQuestion(text, complexity=complexity))  # type: ignore[attr-defined] # any of the strategies that decide at once
    return decision.choice, decision.why


def test_fixed_takes_the_default() -> None:
    assert ask(fit_fixed(DESKS, StrategyOptions(default="billing")), "anything") == (
        "billing",
        "billing is the default",
    )


def test_fixed_takes_the_only_candidate() -> None:
    assert ask(fit_fixed((ORDERS,), OPTIONS), "anything") == ("orders", "orders is the only one")


def test_fixed_abstains_where_nobody_is_meant() -> None:
    strategy = fit_fixed(DESKS, OPTIONS)
    assert ask(strategy, "anything") == (None, "no default is set and there are 3 candidates")
    assert strategy.notes == ("no default is set and there are 3 candidates",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Send the INVOICE, please", ("billing", '"invoice" of billing')),
        ("what is the order  status", ("orders", '"order", "order status" of orders')),
        ("order a refund", (None, 'billing and orders have as many keywords: "order", "refund"')),
        ("my order status and refund", ("orders", '"order", "order status" of orders')),
        ("reorder, preorder, orders", (None, "none of the keywords is in the request")),
        ("", (None, "none of the keywords is in the request")),
    ],
)
def test_keyword_counts_whole_words(text: str, expected: tuple[str | None, str]) -> None:
    assert ask(fit_keyword(DESKS, OPTIONS), text) == expected


def test_keyword_folds_case_and_accents() -> None:
    strategy = fit_keyword((Candidate("cafe", keywords=("Perché", "caffè LATTE")), ORDERS), OPTIONS)
    assert ask(strategy, "un CAFFE latte")[0] == "cafe"
    assert ask(strategy, "PERCHE\u0301 no")[0] == "cafe"


def test_keyword_says_when_it_did_not_read_all() -> None:
    decision = fit_keyword(DESKS, OPTIONS).decide_now(RouteQuestion("x " * 10_000 + "invoice"))
    unread = "keywords are looked for in the first 20,000 of 20,007 characters"
    assert (decision.choice, decision.why) == (None, f"none of the keywords is in the request; {unread}")
    assert decision.notes == (unread,)
    assert fit_keyword(DESKS, OPTIONS).decide_now(RouteQuestion("x " * 9_000 + "invoice")).choice == "billing"


def test_rules_say_when_they_did_not_read_all() -> None:
    strategy = fit_rules(
        (Candidate("person", when={"keywords": ["lawyer"]}), Candidate("long", when={"min_chars": 9})), OPTIONS
    )
    decision = strategy.decide_now(RouteQuestion("x " * 10_000 + "lawyer"))
    unread = "conditions that did not hold look at the first 20,000 of 20,006 characters"
    assert (decision.choice, decision.why) == ("long", f"it has at least 9 characters; {unread}")
    assert decision.notes == (unread,)
    assert strategy.decide_now(RouteQuestion("lawyer " + "x " * 10_000)).notes == ()


def test_a_cascade_tells_the_notes_of_its_stages() -> None:
    strategy = fit_cascade(DESKS, StrategyOptions(stages=("rules", "keyword")))
    assert isinstance(strategy, InstantCascade)
    notes = strategy.decide_now(RouteQuestion("x " * 10_000 + "invoice")).notes
    assert [note.split(" look")[0] for note in notes] == ["conditions that did not hold", "keywords are"]


@pytest.mark.parametrize(
    "text", ["do you sell vitamin c?", "a net for fish", "I need C++ and .NET", "an asp.net page", "C++17"]
)
def test_a_rule_and_a_route_with_the_same_keywords_agree(text: str) -> None:
    when = {"keywords": ["C++", ".NET"]}
    routed = fit_rules((Candidate("code", when=when),), OPTIONS).decide_now(RouteQuestion(text)).choice
    keyword = (
        fit_keyword((Candidate("code", keywords=("C++", ".NET")),), OPTIONS).decide_now(RouteQuestion(text)).choice
    )
    usual: dict[str, Any] = {"extract": {}, "call": None, "arguments": {}, "say": "x", "first": True, "unsure": False}
    rules = compile_reflexes([cast(ReflexSpec, {**usual, "when": when})], lambda candidates: pytest.fail("intents"))
    fires = any(rules.fire(Matter(text), first=True))
    assert (routed, keyword, fires) == (
        ("code", "code", True) if "c++" in text.lower() or ".net" in text else (None, None, False)
    )


def test_keyword_scores_every_candidate_that_has_a_match() -> None:
    decision = fit_keyword(DESKS, OPTIONS).decide_now(RouteQuestion("my order status and refund"))
    assert decision.scores == {"orders": 3.0, "billing": 1.0}


def test_keyword_notes_that_there_are_none() -> None:
    assert fit_keyword((Candidate("a"), Candidate("b")), OPTIONS).notes == ("no candidate has keywords",)


@pytest.mark.parametrize(
    ("text", "complexity", "expected"),
    [
        ("and a-1001?", "", ("orders", r'the pattern \bA-\d{4}\b finds "a-1001"')),
        ("I want my money  BACK", "", ("billing", 'it says "money back" and it has at most 200 characters')),
        ("ruckerstattung bitte", "", ("billing", 'it says "Rückerstattung" and it has at most 200 characters')),
        ("money back " * 30, "", (None, "the conditions of no route hold")),
        ("a long story", "complex", ("support", "it is complex")),
        ("A-1001 money back", "complex", ("orders", r'the pattern \bA-\d{4}\b finds "A-1001"')),
        ("A-10011", "", (None, "the conditions of no route hold")),
    ],
)
def test_rules_take_the_first_route_whose_conditions_all_hold(
    text: str, complexity: str, expected: tuple[str | None, str]
) -> None:
    assert ask(fit_rules(DESKS, OPTIONS), text, complexity) == expected


def test_rules_leave_routes_without_conditions_alone() -> None:
    strategy = fit_rules((Candidate("a"), Candidate("b", when={"regex": None, "keywords": []})), OPTIONS)
    assert ask(strategy, "anything") == (None, "the conditions of no route hold")
    assert strategy.notes == ("no route has a condition",)


def test_rules_measure_length() -> None:
    strategy = fit_rules((Candidate("short", when={"max_chars": 3}), Candidate("long", when={"min_chars": 5})), OPTIONS)
    assert [ask(strategy, text)[0] for text in ("abc", "abcd", "abcde")] == ["short", None, "long"]


def test_rules_refuse_a_pattern_that_could_take_for_ever() -> None:
    with pytest.raises(DeployError, match=r"the route to x: .* could take for ever") as caught:
        fit_rules((Candidate("x", when={"regex": r"(a+)+$"}),), OPTIONS)
    assert caught.value.cure == "write a simpler pattern, or use keywords"


def test_rules_refuse_an_unknown_condition() -> None:
    with pytest.raises(DeployError, match='condition "keyword"') as caught:
        fit_rules((BILLING, Candidate("x", when={"keyword": "a"})), OPTIONS)
    assert caught.value.cure == 'did you mean "keywords"?'


def test_of_a_long_pattern_it_is_told_what_it_found() -> None:
    """Such as the many ways to ask for one thing."""
    why, many = "", "|".join(f"show me the number {number}" for number in range(100))
    for key, told in (("asks", 'it asks "show me the number 7"'), ("regex", "the pattern show me the number 0|")):
        strategy = fit_rules(
            (Candidate("shown", when={key: f"(?:{many})(?!\\d)" if key == "asks" else many}),), OPTIONS
        )
        why = strategy.decide_now(RouteQuestion("please show me the number 7, thanks")).why
        assert why.startswith(told) and len(why) < 150
    assert 'finds "show me the number 7"' in why


def test_a_route_may_look_at_what_is_asked() -> None:
    strategy = fit_rules((Candidate("closing", when={"asks": "close"}),), OPTIONS)
    found = strategy.decide_now(RouteQuestion("please close ticket 5"))
    assert (found.choice, found.why) == ("closing", 'it asks "close"')
    assert strategy.decide_now(RouteQuestion("do not close ticket 5")).choice is None


def test_a_keyword_counts_nothing_against_the_very_words_of_an_example() -> None:
    """Nor against those that a rule answers; a number stands for any, unless it is somebody's own."""
    candidates = (
        Candidate("desk", keywords=("ticket",), examples=("close ticket 5",)),
        Candidate(
            "repair", keywords=("laptop",), examples=("close the ticket about the laptop",), answers=("ticket 7",)
        ),
    )
    strategy = fit_keyword(candidates, OPTIONS)
    why = "these are the words of an example of repair"
    assert ask(strategy, "Close the ticket about the laptop!") == ("repair", why)
    assert ask(strategy, "ticket 12") == ("repair", why)
    assert ask(strategy, "close ticket 6")[0] == "desk"
    assert ask(strategy, "the ticket about the door") == ("desk", '"ticket" of desk')


def test_the_very_words_of_an_example_need_no_keyword() -> None:
    candidates = (
        Candidate("alpha", keywords=("apple",), examples=("one kilo of fruit please",)),
        Candidate("beta", keywords=("bolt",)),
        Candidate("gamma", examples=("what is new",)),
    )
    strategy = fit_keyword(candidates, OPTIONS)
    assert ask(strategy, "One kilo of fruit, please") == ("alpha", "these are the words of an example of alpha")
    assert ask(strategy, "what is new")[0] == "gamma"
    assert ask(strategy, "two kilos of fruit please") == (None, "none of the keywords is in the request")
