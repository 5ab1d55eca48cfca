"""Patterns of users cannot hold a request up: they are refused, or look at no more of a text than they can afford."""

from __future__ import annotations

import time

import pytest

from orchestrator.core.pattern import LONGEST, UnsafePattern, compile_safely

ENDLESS = [
    "(a+)+$",
    "(a|a)*$",
    "(a|aa)+$",
    "(.*)*x",
    r"(\w+\s?)+$",
    "(x+x+)+y",
    "(?:a{1,30}){1,30}b",
    "([a-z]+)*=",
    "(?:(?:a|b)+)+c",
    r"(?i:(a+)+)b",
    r"\b(?:\w+[-.]?)+@",
    "(a?){30}a{30}",
    "(a{0,9}){9}b",
    "((a?a?)?a?){8}b",
    "a{0,5}a{0,5}a{0,5}a{0,5}a{0,5}a{0,5}a{0,5}a{0,5}b",
    "a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?b",
    r"(?:(?:\d{1,3}\.?){1,4})+x",
]
COSTLY = [
    r"[\w.]+@[\w.]+\.\w+",
    ".*.*.*.*.*x",
    r"\border\b.*\b\d{5}\b",
    "(?=(a+))\\1b",
    "(a|b)*c",
    "(?:a?b)*c",
    "a*a*ba*a*ba*a*bc",
    r"\s+$",
    "(?P<n>a+)b(?P=n)c",
]
NASTY = ["a" * 20_000 + "!", "aaaa " * 4_000, "1" * 20_000, "a." * 10_000, " " * 20_000, "aab" * 7_000, "ab" * 10_000]


@pytest.mark.parametrize("source", ENDLESS)
def test_a_pattern_that_could_take_for_ever_is_refused(source: str) -> None:
    with pytest.raises(UnsafePattern):
        compile_safely(source)


@pytest.mark.parametrize("source", COSTLY)
def test_a_costly_pattern_ends_within_a_second_on_any_text(source: str) -> None:
    pattern = compile_safely(source)
    began = time.process_time()
    for text in NASTY:
        pattern.search(text)
    assert time.process_time() - began < len(NASTY)


@pytest.mark.parametrize(
    "source",
    [r"\b(quotes?|quotation|bulk)\b", r"\b[a-z]{2}-\d{4}\b", r"\d{5}", "where is", "(?<![a-z])(v|w|mm)(?![a-z])"],
)
def test_everyday_patterns_look_at_long_texts(source: str) -> None:
    assert compile_safely(source).longest == LONGEST


def test_what_stands_between_two_repeats_lets_them_look_further() -> None:
    assert compile_safely(r"\d+,\d+,\d+;").longest > compile_safely(r"\d+\d+\d+;").longest


def test_a_pattern_that_is_none_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsafePattern, match="no valid pattern: missing"):
        compile_safely("(")


def test_the_whole_match_keeps_what_a_search_does_not_need() -> None:
    found = compile_safely(r"order .*", whole=True).search("my order of nails")
    assert found is not None and found[0] == "order of nails"


def test_a_match_that_may_go_on_beyond_what_is_looked_at_is_none() -> None:
    """Half a value would be worse than none."""
    pattern = compile_safely(r"to .+ for .+ amount (\d+)", whole=True)
    within = "transfer to Anna for the table amount 125000"
    found = pattern.search(within)
    assert found is not None and found[1] == "125000"
    for longer in range(1, 60):
        found = pattern.search("x" * longer + within)
        assert found is None or found[1] == "125000"
    assert pattern.search("x" * LONGEST + within) is None
