"""Halves of surrogate pairs are joined where they belong together, and replaced where they do not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.surrogates import Joined, is_whole, utf8, whole, whole_value

ANY_TEXT = st.text(st.sampled_from(["a", "é", "世", "🎉", "\ud83d", "\ude00", "\udce9"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("größer 🎉", "größer 🎉"),
        ("\ud83d\ude00", "😀"),
        ("half \ud83d of it", "half \ufffd of it"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("caf\udce9.txt", "caf\ufffd.txt"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
    ],
)
def test_two_halves_are_a_character_and_one_is_none(text: str, expected: str) -> None:
    """A pair is what it stands for; a lone half is U+FFFD, as decoders write what they cannot read."""
    assert whole(text) == expected
    assert utf8(text) == expected.encode()


@given(ANY_TEXT)
def test_what_is_whole_is_left_as_it_is(text: str) -> None:
    """Making whole is done once: what came of it can be encoded, and is not changed again."""
    made = whole(text)
    assert is_whole(made)
    assert whole(made) is made
    assert is_whole(text) == (made == text)


@given(ANY_TEXT, st.lists(st.integers(0, 40)))
def test_pieces_join_to_the_same_text_however_they_are_cut(text: str, cuts: list[int]) -> None:
    """Also where a cut goes through a character; every piece that is passed on is whole itself."""
    halves = text.encode("utf-16-le", "surrogatepass")
    units = [halves[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(halves), 2)]
    places = [0, *sorted(cut % (len(units) + 1) for cut in cuts), len(units)]
    joined = Joined()
    passed = [joined.add("".join(units[start:end])) for start, end in itertools.pairwise(places)]
    passed.append(joined.end())
    assert all(map(is_whole, passed))
    assert "".join(passed) == whole(text)


def test_every_text_of_a_value_is_made_whole() -> None:
    """Keys too, at any depth; what is no text stays."""
    assert whole_value({"a\ud83d": ["\ude00", 1, None, {"b": "\ud83d\ude00"}]}) == {
        "a\ufffd": ["\ufffd", 1, None, {"b": "😀"}]
    }
