"""Random patterns of users: refused, or quick on texts that are made to be slow."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.pattern import BUDGET, SafePattern, UnsafePattern, compile_safely
from tests.core.yardstick import seconds_a_step, seconds_of

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
    most = 2 * BUDGET * seconds_a_step()
    for text in ("a" * 6_000 + "!", "ab" * 3_000 + "!", "a " * 3_000 + "!"):
        assert seconds_of(lambda text=text: safe.found_in(text)) < most  # type: ignore[misc] # bound now: the loop goes on
