"""Short values of named fields, found again by the words beside them."""

from __future__ import annotations

import pytest

from orchestrator.core.marks import Mark
from orchestrator.core.repeated_values import RepeatedValues
from orchestrator.serve.steps.shorten import shortened

HASH = "9" * 20 + "abcdef" * 12


def marked(text: str, value: str, field: str = "patient") -> list[Mark]:
    """Where a value stands in a text, as a word between bars."""
    found, at = [], 0
    while (at := text.find(value, at)) >= 0:
        found.append((at, at + len(value), field))
        at += len(value)
    return found


def learned(text: str, marks: list[Mark]) -> RepeatedValues:
    values = RepeatedValues()
    values.learn(text, marks)
    return values


@pytest.mark.parametrize(
    "text",
    [
        f"{HASH} | Wu | {HASH}",
        f"{HASH} | Wu",
        f"Wu | {HASH}",
        f"{HASH} Wu {HASH}",
        f"{'x' * 79} | Wu",
        f"{'x' * 80} | Wu",
        f"{'x' * 81} | Wu",
        f"Wu | {'y' * 79}",
        f"Wu | {'y' * 80}",
        f"Wu | {'y' * 81}",
        f"{'x' * 3_000} | Wu | {'y' * 3_000}",
        f"a{' ' * 78}| Wu",
    ],
)
def test_a_value_beside_a_long_word_is_found_again(text: str) -> None:
    """Also from its plain form, as a run keeps it that waits."""
    marks = marked(text, "Wu")
    values = learned(text, marks)
    again = RepeatedValues()
    for quote in values.as_json():
        again.add((quote[0], quote[1], quote[2], quote[3]))
    for each in (values, again):
        assert set(each.found(text)) == set(marks)
        assert {begin for begin, _, _ in each.found(f"it says: {text} .")} == {marks[0][0] + 9}
    assert again.count == values.count > 0


def test_what_stands_beside_another_word_is_another() -> None:
    """A word that ends or begins alike is not the same, unless it is longer than what is remembered of one."""
    values = learned("abc | no | def", [(6, 8, "smokes")])
    assert list(values.found("xabc | no, I do")) == [] and list(values.found("is no | defx")) == []
    values = learned(f"{HASH} | no", [(len(HASH) + 3, len(HASH) + 5, "smokes")])
    assert list(values.found(f"{HASH[:-1]}0 | no")) == [] and list(values.found(f"{HASH[-60:]} | no")) == []


def test_a_text_is_cut_where_each_value_that_is_left_is_found() -> None:
    """Wherever the cut falls: the word that tells a value is left with it, or both are left out."""
    rows = "\n".join(f"{HASH} | W{number % 10} | {HASH} " for number in range(4))
    marks = [each for digit in range(4) for each in marked(rows, f"| W{digit}")]
    marks = [(begin + 2, end, field) for begin, end, field in marks]
    values = learned(rows, marks)
    for room in range(40, len(rows)):
        short, _ = shortened(rows, room, marks)
        hidden = {begin for begin, _, _ in values.found(short)}
        assert {begin for digit in range(4) for begin, _, _ in marked(short, f"W{digit}")} == hidden, room


@pytest.mark.parametrize("cut", range(30, 130))
def test_a_value_whose_only_neighbour_is_cut_is_left_out(cut: int) -> None:
    """Between spaces both words beside it are needed."""
    text = f"{'lorem ' * 3}{HASH[:40]} Wu {HASH[:50]}{' ipsum' * 20}"
    marks = marked(text, "Wu")
    short, _ = shortened(text, cut, marks)
    assert ("Wu" in short) == bool(list(learned(text, marks).found(short)))
