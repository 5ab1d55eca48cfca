"""An answer without the thoughts that it begins with, whole and in pieces that end anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.thoughts import AnswerInPieces, after_thoughts

PARTS = ("<think>", "</think>", "<", "think", ">", "</", "\n", " ", "five", "{")


def in_pieces(pieces: list[str]) -> list[str]:
    """What is passed on of each, and at the end."""
    answer = AnswerInPieces()
    return [*(answer.add(piece) for piece in pieces), answer.end()]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>I do not know.</think>\n\nUNKNOWN", "UNKNOWN"),
        ("\n <think>a</think>{}", "{}"),
        ("<think></think>", ""),
        ("<think>a</think>\n<think>b</think> c ", "c "),
        ("<think>it is cut off by", ""),
        ("<think>a</thin", ""),
        ("<think>a </b> < / </think></think>b", "</think>b"),
        # no thought at the beginning: it stays as it is
        ("The tag <think> begins a thought, </think> ends it.", "The tag <think> begins a thought, </think> ends it."),
        ("`<think>a</think>b`", "`<think>a</think>b`"),
        ("<thinking>a</thinking>b", "<thinking>a</thinking>b"),
        ("<reasoning>a</reasoning><answer>b</answer>", "<reasoning>a</reasoning><answer>b</answer>"),
        ("a</think>b", "a</think>b"),
        ("\n five\n", "\n five\n"),
        (" <thin", " <thin"),
        (" \n", " \n"),
        ("", ""),
    ],
)
def test_only_what_an_answer_begins_with_is_taken_off(text: str, answer: str) -> None:
    """Once for all of it, and once for each of its characters."""
    assert after_thoughts(text) == "".join(in_pieces(list(text))) == answer


def test_nothing_waits_longer_than_it_must() -> None:
    """Text that cannot become the tag is passed on at once, and so is all that follows."""
    assert in_pieces(["5", "<think>", "a"]) == ["5", "<think>", "a", ""]
    assert in_pieces([" <", "think", "e", "r>"]) == ["", "", " <thinke", "r>", ""]
    assert in_pieces(["<think>a</thi", "nk>", "\n", "5", " "]) == ["", "", "", "5", " ", ""]


@given(st.lists(st.sampled_from(PARTS)).map("".join), st.data())
def test_the_same_comes_however_it_is_cut(text: str, data: st.DataObject) -> None:
    """Of any text, in any two places."""
    first = data.draw(st.integers(0, len(text)))
    second = data.draw(st.integers(first, len(text)))
    assert "".join(in_pieces([text[:first], text[first:second], text[second:]])) == after_thoughts(text)
