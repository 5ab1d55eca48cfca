"""Patterns of users can neither be nonsense nor take for ever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.pattern import LONGEST, SafePattern, UnsafePattern, compile_safely

ATTACKS = (
    "a" * 30_000,
    "refund" * 5_000,
    " " * 30_000,
    '"' * 30_000,
    "a@a." * 8_000,
    "aaaa bbbb " * 3_000,
    "aA0_" * 7_000,
)


@pytest.mark.parametrize(
    "source",
    [
        r"(a+)+$",
        r"(a*)*b",
        r"(a|aa)+b",
        r"(\w+\s?)*x",
        r"(?:a?){20}a{20}",
        r"((ab)*c?){10,}",
        r"(a(?#note)b+)+",
        r"(?:a|\s*)*",
    ],
)
def test_a_repeat_inside_a_repeat_is_refused(source: str) -> None:
    with pytest.raises(UnsafePattern, match="repeats something whose own length varies"):
        compile_safely(source)


@pytest.mark.parametrize("source", ["[", "(", "a{2,1}", "*a", r"\1", "(?P<x", "(?z)"])
def test_what_is_no_pattern_is_refused(source: str) -> None:
    with pytest.raises(UnsafePattern, match="is no valid pattern"):
        compile_safely(source)


@pytest.mark.parametrize(
    ("source", "longest"),
    [
        (r"where\s+is\s+my\s+order", 4472),
        (r"\bA-\d{4}\b", LONGEST),
        (r"(?:\d{1,3}\.){3}\d{1,3}", LONGEST),
        (r"(?:how|what) (?:is|are)", LONGEST),
        (r".*refund.*", LONGEST),
        (r"refund.*order", 4472),
        (r"open.*ticket.*printer", 271),
        (r"(\w+) \1", 4472),
    ],
)
def test_a_pattern_sees_as_much_text_as_its_repeats_allow(source: str, longest: int) -> None:
    assert compile_safely(source).longest == longest


@pytest.mark.parametrize(
    "source", [r"refund.*order", r"(\w+) \1", r".*.*=.*", r'([^"]*)"([^"]*)"', r"\w+@\w+\.\w+", r"a.*b.*c.*d"]
)
def test_an_accepted_pattern_is_done_within_a_second_on_any_text(source: str) -> None:
    safe = compile_safely(source)
    began = time.perf_counter()
    for text in ATTACKS:
        safe.search(text)
    assert time.perf_counter() - began < len(ATTACKS)


PIECES = st.sampled_from(["a", "b", r"\w", r"\s", ".", "[^b]", r"\d", "(a|b)", "(?:ab)", "x"])
QUANTIFIED = st.builds("".join, st.tuples(PIECES, st.sampled_from(["", "*", "+", "?", "{2,}", "{0,30}"])))
GROUPED = st.builds(
    "({}){}".format, st.lists(QUANTIFIED, min_size=1, max_size=3).map("".join), st.sampled_from(["", "*", "+", "{2}"])
)


def accepted(source: str) -> SafePattern | None:
    try:
        return compile_safely(source)
    except UnsafePattern:
        return None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(QUANTIFIED, GROUPED), min_size=1, max_size=4).map("".join))
def test_whatever_is_accepted_is_quick(source: str) -> None:
    safe = accepted(source)
    if safe is None:
        return
    for text in ("a" * 6_000 + "!", "ab" * 3_000 + "!", "a " * 3_000 + "!"):
        began = time.perf_counter()
        safe.search(text)
        assert time.perf_counter() - began < 2
