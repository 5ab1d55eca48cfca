"""Reflex rules: which one fires, what it takes from a text, and that no text and no pattern holds a request up."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.blueprint import ReflexSpec
from orchestrator.core.conditions import Matter
from orchestrator.core.errors import DeployError
from orchestrator.core.words import LONGEST_TEXT, fold
from orchestrator.deploy.reflex import Firing, ReflexTable, compile_reflexes, fill_value
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.ports.strategy import Candidate, InstantStrategy, StrategyOptions


def fit(candidates: tuple[Candidate, ...]) -> InstantStrategy:
    """As the runtime does."""
    return fit_lexical(candidates, StrategyOptions())


def table(*rules: dict[str, Any]) -> ReflexTable:
    """Compiled rules; ``say`` is the rule's number where none is given."""
    usual: dict[str, Any] = {"when": {}, "extract": {}, "call": None, "arguments": {}, "first": True, "unsure": False}
    specs = [{**usual, "say": str(number), **rule} for number, rule in enumerate(rules, 1)]
    return compile_reflexes(cast(list[ReflexSpec], specs), fit)


def fired(rules: ReflexTable, text: str, *, first: bool = True) -> Firing | None:
    """The first rule that fires."""
    return next(rules.fire(Matter(text), first=first), None)


def number(rules: ReflexTable, text: str, *, first: bool = True) -> int:
    """The number of the first rule that fires, or 0."""
    found = fired(rules, text, first=first)
    return found.reflex.number if found else 0


def test_rules_are_tried_in_order_and_all_that_fire_are_given() -> None:
    rules = table({"when": {"regex": "a"}}, {"when": {"regex": "b"}}, {})
    assert [each.reflex.number for each in rules.fire(Matter("b"), first=True)] == [2, 3]


def test_rules_that_are_for_when_no_model_serves_wait_for_that() -> None:
    rules = table({"first": False}, {"when": {"regex": "x"}})
    assert (number(rules, "y"), number(rules, "y", first=False), number(rules, "x")) == (0, 1, 2)


@pytest.mark.parametrize(
    ("when", "text", "fires"),
    [
        ({"regex": "order"}, "My ORDER", True),
        ({"regex": "^order$"}, "my order", False),
        ({"keywords": ["café"]}, "to the CAFE!", True),
        ({"keywords": ["cafe"]}, "the Café", True),
        ({"keywords": ["art"]}, "start", False),
        ({"keywords": ["opening hours"]}, "the opening \n hours?", True),
        ({"keywords": ["a.b"]}, "axb", False),
        ({"keywords": ["straße"]}, "STRASSE", True),
        ({"min_chars": 3}, "ab", False),
        ({"min_chars": 3}, "abc", True),
        ({"max_chars": 2}, "abc", False),
        ({"asks": "close it$"}, "Hi, can you please close it?", True),
        ({"asks": "close it$"}, "do not close it", False),
        ({"asks": "close it$"}, "why did you close it", False),
        ({"asks": "close it$"}, "close it when the part is here", False),
        ({"asks": "(?:a|b)*$"}, "a" * 3_000 + " no", False),
        ({"regex": "a", "keywords": ["b"]}, "a b", True),
        ({"regex": "a", "keywords": ["b"]}, "a c", False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(when: dict[str, Any], text: str, fires: bool) -> None:
    assert bool(number(table({"when": when}), text)) is fires


def test_values_are_taken_from_the_text_and_a_rule_without_its_values_does_not_fire() -> None:
    rules = table({"extract": {"number": r"order (\d+)", "all": r"\bfrom .*", "name": r"(?:mr|ms) (?P<who>\w+)"}})
    found = fired(rules, "order 12 of Ms Bell from Rome to Oslo")
    assert found is not None
    assert found.values == {"number": "12", "all": "from Rome to Oslo", "name": "Bell"}
    assert fired(rules, "order twelve of Ms Bell from Rome") is None


def test_an_intent_is_recognised_by_its_examples() -> None:
    rules = table(
        {"when": {"intent": "hours", "examples": ["when do you open", "opening hours", "when are you closed"]}},
        {"when": {"intent": "returns", "examples": ["return a product", "send it back", "I want my money back"]}},
        {"say": "else"},
    )
    assert number(rules, "when do you open") == 1
    assert number(rules, "I want to send it back") == 2


def test_arguments_are_templates_at_any_depth() -> None:
    rules = table({"arguments": {"a": "{{ x }}", "b": ["{{ x }}", {"c": "plain"}], "n": 3}})
    filled = fill_value(rules.rules[0].arguments, {"x": "{{ 7 * 7 }}"})
    assert filled == {"a": "{{ 7 * 7 }}", "b": ["{{ 7 * 7 }}", {"c": "plain"}], "n": 3}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"when": {"regex": "("}}, "reflex rule 1: '\\(' is no valid pattern"),
        ({"when": {"regex": "(a+)+$"}}, "reflex rule 1: .* could take for ever"),
        ({"when": {"asks": "(a+)+$"}}, "reflex rule 1: .* could take for ever"),
        ({"extract": {"x": "(a+)+$"}}, "reflex rule 1: .* could take for ever"),
        ({"say": "{{ x.__class__ }}"}, "reflex rule 1: a template, line 1: '__class__'"),
        ({"arguments": {"a": ["{% for %}"]}}, "reflex rule 1: a template, line 1"),
    ],
)
def test_a_rule_that_is_not_valid_is_named(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(DeployError, match=told):
        table(rule)


EVERY_KIND = table(
    {"when": {"regex": r"\b(order|parcel)\b.*\d"}, "extract": {"n": r"(\d+)", "rest": r"\s(.*)$"}},
    {"when": {"keywords": ["café", "opening hours", "?"]}},
    {"when": {"intent": "x", "examples": ["where is it", "what is that", "how are you"]}},
    {"when": {"min_chars": 2, "max_chars": 9}},
)


@given(st.text())
def test_any_text_fires_a_rule_or_none(text: str) -> None:
    for found in EVERY_KIND.fire(Matter(text), first=True):
        assert all(value == value.strip() for value in found.values.values())


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    "text",
    [
        "order " * 600 + "1",
        "\x00" * 4_000,
        "\u202e" + "\u0301" * 3_000,
        "order 1 " + "\U0001f600" * 3_000,
        "ﷺ" * 4_000,
        "\ud800",
        "order 1\r\n\x1b[31m" * 300,
    ],
)
def test_hostile_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    list(EVERY_KIND.fire(Matter(text), first=False))
    assert time.process_time() - began < 0.5


def test_a_rule_without_conditions_fires_whatever_the_length() -> None:
    assert number(table({}), "x" * (LONGEST_TEXT + 1)) == 1


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ({"when": {"keywords": ["lawyer"]}}, LONGEST_TEXT),
        ({"when": {"regex": "lawyer"}}, LONGEST_TEXT),
        ({"when": {"regex": "law.+yer", "keywords": ["lawyer"]}}, 4_472),
        ({"extract": {"who": "(lawyer)"}}, LONGEST_TEXT),
        ({"when": {"keywords": ["lawyer"], "max_chars": 5}}, None),
        ({"when": {"regex": "fine", "min_chars": 1}}, None),
        ({"when": {"complexity": "simple"}}, None),
    ],
)
def test_a_rule_that_did_not_see_all_of_a_text_says_how_much(rule: dict[str, Any], seen: int | None) -> None:
    """Unless it fires, or does not for what it saw."""
    matter = Matter("fine " + "x" * LONGEST_TEXT + " lawyer")
    fires = [firing.reflex.number for firing in table(rule).fire(matter, first=True)]
    assert (fires, matter.seen) == ([1] if "min_chars" in rule.get("when", {}) else [], seen)
    assert matter.unread == ("" if seen is None else f"the first {seen:,} of 20,012 characters")


def test_a_rule_takes_a_value_whole_that_goes_on_behind_where_it_must_begin() -> None:
    found = fired(table({"extract": {"note": r"note (.*)"}}), "note " + "word " * 2_000 + "end")
    assert found is not None and found.values["note"].endswith("word end")


def test_what_a_request_says_of_itself_is_a_condition_of_a_rule_too() -> None:
    rules = table({"when": {"complexity": "complex"}})
    assert [len(list(rules.fire(Matter("x", said), first=True))) for said in ("complex", "simple", "")] == [1, 0, 0]


def test_a_condition_that_is_none_is_refused_with_its_rule() -> None:
    with pytest.raises(DeployError, match='reflex rule 1: there is no condition "keyword"') as caught:
        table({"when": {"keyword": ["a"]}})
    assert caught.value.cure == 'did you mean "keywords"?'
