"""Patterns of users cannot hold a request up: they are refused, or look at no more of a text than they can afford."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.pattern import BUDGET, SafePattern, UnsafePattern, compile_safely
from orchestrator.core.pattern_text import without_idle_ends
from orchestrator.core.words import LONGEST_TEXT
from tests.core.yardstick import lines_run_by, seconds_a_step, seconds_of

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
    "(a+){,}b",
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
def test_a_costly_pattern_keeps_its_budget_of_steps_on_any_text(source: str) -> None:
    """The budget for the search, and once more for the place that it looks at again; counted in steps that are timed beside it."""
    pattern = compile_safely(source)
    most = 2 * BUDGET * seconds_a_step()
    for text in NASTY:
        assert seconds_of(lambda text=text: pattern.found_in(text)) < most  # type: ignore[misc] # bound now: the loop goes on
        assert seconds_of(lambda text=text: pattern.begins(text * 60)) < most  # type: ignore[misc] # bound now: the loop goes on


@pytest.mark.parametrize(
    "source",
    [r"\b(quotes?|quotation|bulk)\b", r"\b[a-z]{2}-\d{4}\b", r"\d{5}", "where is", "(?<![a-z])(v|w|mm)(?![a-z])"],
)
def test_everyday_patterns_look_at_long_texts(source: str) -> None:
    assert compile_safely(source).longest == LONGEST_TEXT


def test_what_stands_between_two_repeats_lets_them_look_further() -> None:
    assert compile_safely(r"\d+,\d+,\d+;").longest > compile_safely(r"\d+\d+\d+;").longest


def test_a_pattern_that_is_none_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsafePattern, match="no valid pattern: missing"):
        compile_safely("(")


def test_the_whole_match_keeps_what_a_search_does_not_need() -> None:
    found = compile_safely(r"order .*", whole=True).taken_from("my order of nails")
    assert found is not None and found[0] == "order of nails"


def test_a_match_that_may_go_on_beyond_what_is_looked_at_is_none() -> None:
    """Half a value would be worse than none."""
    pattern = compile_safely(r"to .+ for .+ amount (\d+)", whole=True)
    within = "transfer to Anna for the table amount 125000"
    found = pattern.taken_from(within)
    assert found is not None and found[1] == "125000"
    for longer in range(1, 60):
        found = pattern.taken_from("x" * longer + within)
        assert found is None or found[1] == "125000"
    assert pattern.taken_from("x" * LONGEST_TEXT + within) is None


LONG = "I want a refund " + "of what I paid " * 300


@pytest.mark.parametrize(
    "source",
    [
        "refund.+",
        "(?:refund|return).*",
        r"refund[\s\S]*",
        "want.{2,}",
        r"refund\b.*$",
        r"(refund\s.+?)",
        r"\bwant\b.+paid",
    ],
)
def test_a_repeat_that_goes_on_behind_the_cut_is_a_match_for_who_asks_whether_there_is_one(source: str) -> None:
    assert compile_safely(source).found_in(LONG) is not None


def test_what_must_not_follow_is_looked_for_behind_the_cut_too() -> None:
    pattern = compile_safely(r"refund(?!.*\burgent\b)")
    assert pattern.longest < len(LONG)
    assert pattern.found_in(LONG) is not None
    assert pattern.found_in(LONG + "urgent") is None
    assert pattern.found_in(LONG + "x" * pattern.reach) is None  # it may stand behind that: not known


@pytest.mark.parametrize(
    ("source", "shorter"),
    [
        ("refund.+", "refund."),
        (".*refund.*", "refund"),
        (r"refund\.*", "refund"),
        (r"refund\.+", r"refund\."),
        ("refund[.*]", "refund[.*]"),
        ("(a|b+)|c(?:d|e*)", "(a|b)|c(?:d|)"),
        ("x(?:ab)*", "x"),
        ("x(?:ab+)+", "x(?:ab)"),
        ("x(?:ab+){2,5}", "x(?:ab+){2}"),
        (r"a+\b", r"a+\b"),
        ("a+$", "a+$"),
        ("(?i)refund.*?", "(?i)refund"),
        ("(?!refund.*)", "(?!refund)"),
        (r"(a+) \1*", r"(a+) \1*"),
        ("(a)?b(?(1)c|d+)", "(a)?b(?(1)c|d+)"),
    ],
)
def test_no_more_is_kept_of_a_repeat_at_the_end_than_must_be_there(source: str, shorter: str) -> None:
    assert without_idle_ends(source) == shorter


ATOMS = st.sampled_from(
    ["a", "b", r"\w", r"\s", ".", "[^b]", "(a|b+)", "(?:ab*)", "x", r"\b", "$", "(?=a)", "(?!.*b)", "(?<=a)"]
)
SIGNS = st.sampled_from(["", "", "*", "+", "?", "{2,}", "{0,3}", "+?", "*?"])
SOURCES = st.lists(st.builds("".join, st.tuples(ATOMS, SIGNS)), min_size=1, max_size=5).map("".join)
BRANCHES = st.one_of(
    SOURCES, st.builds("{}|{}".format, SOURCES, SOURCES), st.builds("(?:{}|{})".format, SOURCES, SOURCES)
)
TEXTS = st.text(st.sampled_from("ab x\n"), max_size=24)


def compiles(source: str) -> bool:
    try:
        re.compile(source)
    except re.error:
        return False
    return True


@settings(deadline=None)
@given(BRANCHES.filter(compiles), TEXTS)
def test_without_idle_ends_a_pattern_is_found_in_the_same_texts(source: str, text: str) -> None:
    assert bool(re.search(source, text)) == bool(re.search(without_idle_ends(source), text))


@settings(deadline=None)
@given(BRANCHES.filter(compiles), TEXTS, st.integers(1, 8), st.integers(0, 8))
def test_what_is_found_in_a_part_of_a_text_is_true_of_the_whole(
    source: str, text: str, longest: int, more: int
) -> None:
    """Whatever the cut: that something is found, that the text begins with it, and what was taken."""
    safe = accepted(source)
    if safe is None:
        return
    short = replace(safe, longest=longest, reach=longest + more)
    whole = re.compile(source, re.IGNORECASE)
    if short.found_in(text) is not None:
        assert whole.search(text)
    taken = replace(short, pattern=whole)
    if taken.begins(text):
        assert whole.match(text)
    match = taken.taken_from(text)
    if match is not None:
        there = whole.match(text, match.start())
        assert there is not None and there[0] == match[0]


def accepted(source: str) -> SafePattern | None:
    try:
        return compile_safely(source, whole=True)
    except UnsafePattern:
        return None


def test_a_pattern_of_many_words_is_judged_in_about_the_time_that_compiling_it_takes() -> None:
    """Twice for Python's compiler is the most; a manifest may have hundreds of them."""
    words = "|".join(f"word{number}" for number in range(250))
    compile_safely("a")
    compiling = lines_run_by(lambda: re.compile(f"({words})", re.IGNORECASE))
    re.purge()
    assert lines_run_by(lambda: compile_safely(f"({words})")) < 2.5 * compiling
