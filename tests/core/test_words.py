"""Whether a request says something: whole words and phrases, in any script, with their punctuation."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.words import LONGEST_TEXT, Phrases, Wording, comparable, fold


def said(phrase: str, text: str) -> bool:
    return Phrases([phrase]).found_in(Wording(text)) == [phrase]


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("C++", "I write C++."),
        ("C++", "c++17"),
        (".NET", "asp.net and more"),
        ("a.b", "is a.b there"),
        ("café", "to the CAFE\u0301!"),
        ("straße", "STRASSE"),
        ("opening hours", "the opening \n hours?"),
        ("opening hours", "their Opening-Hours"),
        ("e-mail", "an e mail, an E\u2011Mail"),
        ("dov'è", "DOV\u2019E il pacco"),
        ("order", "my_order"),
        ("#12", "see #12."),
        ("?", "how?"),
        ("\U0001f4e6", "my \U0001f4e6 is late"),
        ("東京", "東京へ行く"),
        ("東京へ", "明日東京へ行く"),
        ("USB", "USBケーブル"),
        ("ｶﾞｽ", "ガス料金"),
        ("รถไฟ", "ไปสถานีรถไฟครับ"),
        ("100%", "100% wool"),
    ],
)
def test_a_phrase_is_found_whatever_its_case_accents_spaces_and_script(phrase: str, text: str) -> None:
    assert said(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("C++", "do you sell vitamin c?"),
        (".NET", "a net for fish"),
        ("art", "start, arts"),
        ("a.b", "axb, a b"),
        ("opening hours", "opening hoursx"),
        ("opening hours", "opening, hours"),
        ("#1", "see #12"),
        ("バス", "ハスの花"),
        ("USB", "USBX"),
        ("100%", "2100% wool"),
        ("서울", "서울에"),
    ],
)
def test_a_part_of_a_word_and_other_punctuation_is_not_what_was_looked_for(phrase: str, text: str) -> None:
    assert not said(phrase, text)


def test_phrases_come_as_written_each_once_in_their_order() -> None:
    phrases = Phrases(["b", "Order Status", "order", "E-mail", "e mail", " ", "\u0301"])
    assert phrases.found_in(Wording("order status, order, b, e mail")) == ["b", "Order Status", "order", "E-mail"]


def test_a_word_that_the_cut_goes_through_is_none() -> None:
    """Half of "lawyers" is no "lawyer"."""
    assert said("lawyer", "x" * (LONGEST_TEXT - 7) + " lawyer, please")
    assert not said("lawyer", "x" * (LONGEST_TEXT - 7) + " lawyers")
    assert not said("law", "x" * (LONGEST_TEXT - 4) + " lawyers")
    assert said("東京", "x" * (LONGEST_TEXT - 2) + "東京都")


def test_folding_twice_changes_no_character() -> None:
    assert [hex(code) for code in range(sys.maxunicode + 1) if fold(fold(chr(code))) != fold(chr(code))] == []


@given(st.text())
def test_what_is_comparable_stays_as_it_is(text: str) -> None:
    assert comparable(comparable(text)) == comparable(text)


@given(
    st.lists(st.text(st.sampled_from("ab+.- éが東"), max_size=5), max_size=5),
    st.text(st.sampled_from("ab+.- éが東"), max_size=20),
)
def test_phrases_together_find_what_each_finds_alone(phrases: list[str], text: str) -> None:
    distinct = {comparable(phrase): phrase for phrase in reversed(phrases) if comparable(phrase)}
    together = Phrases(phrases).found_in(Wording(text))
    assert sorted(together) == sorted(phrase for phrase in distinct.values() if said(phrase, text))
    assert all(comparable(phrase) in comparable(text) for phrase in together)
