"""A diagnostic as text: where its marks stand."""

from __future__ import annotations

import pytest

from orchestrator.core.diagnostic import Diagnostic, Place, render


@pytest.mark.parametrize(
    ("line", "word", "marks"),
    [
        ("to: biling", "biling", "    ^^^^^^"),
        ("開店: biling", "biling", "      ^^^^^^"),
        ("to: 返品", "返品", "    ^^^^"),
        ("e\u0301: ab", "ab", "   ^^"),
    ],
    ids=["latin", "wide before", "wide", "combining"],
)
def test_marks_stand_under_what_they_mean(line: str, word: str, marks: str) -> None:
    """Letters of East Asia take two columns of a terminal, and marks that combine take none."""
    place = Place("shop.yaml", 1, line.index(word) + 1, len(word))
    told = render(Diagnostic("ORC201", "unknown", place), {"shop.yaml": [line]})
    assert told.splitlines()[-1] == f"  | {marks}"
