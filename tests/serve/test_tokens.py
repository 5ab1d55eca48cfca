"""What counts of the tokens of an answer, and what is read from their probabilities."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.ports.provider import TokenProbability
from orchestrator.serve.doubt.tokens import canonical, chance_of, sureness, value_tokens


def token(text: str, chance: float = 0.9, **others: float) -> TokenProbability:
    """A token of this probability, with alternatives."""
    top = [(text, math.log(chance)), *((word, math.log(each)) for word, each in others.items())]
    return TokenProbability(text, math.log(chance), tuple(top))


def tokens(*texts: str) -> list[TokenProbability]:
    """All as sure as one another."""
    return [token(text) for text in texts]


def counted(*texts: str) -> list[str]:
    """Which of them count."""
    return [each.token for each in value_tokens(tokens(*texts))]


def test_of_json_only_values_count() -> None:
    """Texts without their quotes, numbers and words; no brace, key or colon."""
    told = ('{"', "town", '": "', "Ro", "me", '", "', "n", '": ', "-1", "2.5", ', "x": [', "true", ", null]", "}")
    assert counted(*told) == ["Ro", "me", "-1", "2.5", "true", ", null]"]
    assert counted("```json\n", '{"a": "', 'b\\"c', '"}', "\n```") == ['b\\"c']


def test_of_other_text_words_count() -> None:
    """Also of what only looks like JSON."""
    assert counted("It", " costs", " ", "9", " €", ".", "\n") == ["It", " costs", "9"]
    assert counted("{", "no", ' "json') == ["no", ' "json']


@given(st.dictionaries(st.text("abc", min_size=1), st.text("xyz 0", max_size=6), min_size=1), st.integers(1, 5))
def test_every_character_of_a_value_counts_and_none_of_a_key(value: dict[str, str], size: int) -> None:
    """However the text is cut into tokens."""
    text = json.dumps(value)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    found = "".join(counted(*pieces))
    assert all(each in found for each in value.values())
    if size == 1:
        assert found == "".join(value.values())


def test_the_quantile_is_counted_from_the_least_sure() -> None:
    """The least of ten is the quantile 0 to just below 20 %; the probability is without its rival."""
    several = [token(f"w{number}", number / 10, rival=0.05) for number in range(1, 10)]
    assert sureness(several, "probability", 0.0) == pytest.approx(0.1)
    assert sureness(several, "probability", 0.5) == pytest.approx(0.5)
    assert sureness(several, "probability", 1.0) == pytest.approx(0.9)
    assert sureness(several, "margin", 0.0) == pytest.approx(0.05)


def test_a_word_that_was_not_the_best_has_no_margin() -> None:
    """It was drawn, or a grammar held the model to it."""
    assert sureness([token("nine", 0.1, ten=0.6)], "margin", 0.1) == 0
    assert sureness([TokenProbability("nine", math.log(0.25))], "margin", 0.1) == pytest.approx(0.25)
    assert sureness([], "margin", 0.1) is None
    assert sureness([TokenProbability("a", math.nan)], "margin", 0.1) is None


@pytest.mark.parametrize("texts", [("...",), ('"', "]"), ("👍",), ("{", "}")])
def test_an_answer_without_a_word_is_as_sure_as_its_signs(texts: tuple[str, ...]) -> None:
    """Its server told them: that is not nothing."""
    several = [token(text, 0.4, rival=0.3) for text in texts]
    assert sureness(several, "probability", 0.1) == pytest.approx(0.4)
    assert sureness(several, "margin", 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("told", "chance"),
    [
        ([token('{"right": "'), token("yes", 0.6, no=0.2), token('"}')], 0.75),
        ([token("No", 0.8, Yes=0.2)], 0.2),
        ([token("y", 0.5, n=0.25, Y=0.25), token("es")], 0.75),
        ([token("maybe", 0.9, yes=0.1)], None),
        ([TokenProbability("yes", math.log(0.9))], 0.9),
        ([token("yes", 0.001, perhaps=0.3, ja=0.099)], 0.5),  # of "no" there may be as much
        ([token("yes", 0.6, perhaps=0.3, ja=0.05)], 0.6 / 0.65),  # at most as "ja"
        ([token("yes", 0.6, perhaps=0.3, ja=0.099)], 0.6 / 0.601),  # at most what is left
        ([token("no", math.exp(-4.4), x=math.exp(-3.8))], 1 / 3),  # half of what is as much
        ([token("no", 0.98, maybe=0.01)], 0.005 / 0.985),
        ([TokenProbability("no", math.log(0.012), (("<tool_call>", -0.1), ("{", -3.8)))], 1 / 3),
        ([TokenProbability("no", math.nan, (("yes", -1.0),))], None),
        ([TokenProbability("no", -2.0, (("yes", math.nan),))], 1 / 3),
        ([], None),
    ],
)
def test_yes_is_weighed_against_no(told: list[TokenProbability], chance: float | None) -> None:
    """By all tokens that begin the word; one that is not told is weighed against the answer, within what it can have."""
    assert chance_of(told, "yes", "no") == (None if chance is None else pytest.approx(chance))


@given(
    st.sampled_from(["yes", "no"]),
    st.floats(-40, 0),
    st.dictionaries(
        st.sampled_from(["yes", "no", "Yes", "No", "maybe", "<tool_call>", "{", "true"]), st.floats(-40, 0), max_size=5
    ),
)
def test_what_was_said_is_never_the_less_probable(word: str, logprob: float, others: dict[str, float]) -> None:
    """Whatever the server tells of other tokens, where none of them was a better spelling of the other word: half or less for a
    no, and less than half where nothing is told of a yes; half or more for a yes."""
    other = "no" if word == "yes" else "yes"
    rivals = sum(math.exp(each) for text, each in others.items() if text.casefold() == other)
    assume(rivals <= math.exp(logprob))
    others.pop(word, None)
    chance = chance_of([TokenProbability(word, logprob, tuple(others.items()))], "yes", "no")
    assert chance is not None and 0 <= chance <= 1
    assert chance >= 0.5 if word == "yes" else chance <= 0.5
    if word == "no" and not rivals:
        assert chance < 0.34


@given(st.floats(0.0001, 0.98), st.floats(0.0001, 0.9))
def test_the_surer_a_no_the_less_is_left_of_a_yes(said: float, rest: float) -> None:
    """Where the server tells of no yes: by the share of what it tells that it gives to the no."""
    elsewhere = (1 - said) * rest

    def chance(at: float) -> float:
        told = (("<tool_call>", math.log(elsewhere)),)
        found = chance_of([TokenProbability("no", math.log(at), told)], "yes", "no")
        assert found is not None
        return found

    assert chance(said) <= chance(said / 2) + 1e-9


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Nine euro.", "nine  EURO", True),
        ("nine", "ten", False),
        ('{"a": 1, "b": [2]}', '```json\n{"b": [2], "a": 1}\n```', True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('"Rome"', "rome", True),
    ],
)
def test_what_says_the_same_is_the_same(one: str, other: str, same: bool) -> None:
    """In the same words, or as the same JSON."""
    assert (canonical(one) == canonical(other)) is same
