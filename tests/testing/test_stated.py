"""The simulated model of stated accuracy does what it states."""

from __future__ import annotations

import json
import random
import statistics

import pytest

from orchestrator.core.fitted import ece_of
from orchestrator.testing.asked import Asked
from orchestrator.testing.stated import StatedModel

QUESTIONS = [f"question {number}" for number in range(2_000)]
ANSWERS = {question: f"answer to {question}" for question in QUESTIONS}
CHANCE = random.Random(0)
CHECK = {"type": "object", "properties": {"right": {"type": "string"}}}


def asked(question: str, seed: int | None = None, temperature: float | None = None, system: str = "") -> Asked:
    """A request to it."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    body = {} if temperature is None else {"temperature": temperature}
    return Asked("m", messages, seed=seed, body=body)


@pytest.mark.parametrize(("accuracy", "firmness"), [(0.7, 1.0), (0.7, 50.0), (0.95, 1.0), (1.0, 1.0), (0.0, 1.0)])
def test_it_is_right_as_often_as_it_states(accuracy: float, firmness: float) -> None:
    """However hard single questions are; the same question has the same answer."""
    model = StatedModel(answers=ANSWERS, accuracy=accuracy, firmness=firmness)
    said = [model.answer(asked(question), CHANCE) for question in QUESTIONS]
    right = [each.text == ANSWERS[question] for question, each in zip(QUESTIONS, said, strict=True)]
    assert statistics.fmean(right) == pytest.approx(accuracy, abs=0.03)
    assert said[:50] == [model.answer(asked(question), CHANCE) for question in QUESTIONS[:50]]


def test_without_boasting_it_is_as_sure_of_a_right_answer_as_it_may_be() -> None:
    """Of those that it would answer rightly; one that boasts is surer."""
    plain, boasting = StatedModel(answers=ANSWERS, firmness=5.0), StatedModel(answers=ANSWERS, firmness=5.0, boast=0.3)
    found = []
    for question in QUESTIONS:
        said, loud = plain.answer(asked(question), CHANCE), boasting.answer(asked(question), CHANCE)
        assert said.chance is not None and loud.chance is not None and loud.chance >= said.chance
        found.append((plain.knows(question), said.text == ANSWERS[question]))
    assert ece_of(found) < 0.03


def test_asked_again_at_a_temperature_it_draws_again() -> None:
    """By the seed; without a temperature it says the same."""
    model = StatedModel(answers=ANSWERS, accuracy=0.5, firmness=50.0)
    drawn = {model.answer(asked("question 1", seed, 0.7), CHANCE).text for seed in range(40)}
    assert ANSWERS["question 1"] in drawn and len(drawn) > 2
    assert len({model.answer(asked("question 1", seed), CHANCE).text for seed in range(40)}) == 1


def test_it_judges_as_well_as_it_states() -> None:
    """Right answers and wrong ones."""
    model = StatedModel(answers=ANSWERS, judgement=0.9)
    good = []
    for number, question in enumerate(QUESTIONS):
        right = number % 2 == 0
        told = {"request": question, "answer": ANSWERS[question] if right else "wrong 1"}
        said = model.answer(Asked("m", [{"role": "user", "content": json.dumps(told)}], schema=CHECK), CHANCE)
        good.append((json.loads(said.text)["right"] == "yes") is right)
    assert statistics.fmean(good) == pytest.approx(0.9, abs=0.02)


def test_it_says_that_it_does_not_know_where_the_prompt_names_a_word_for_it() -> None:
    """Of questions that it knows too little of."""
    model = StatedModel(answers=ANSWERS, abstains_below=0.5)
    system = "You sell.\n\nIf you do not know the answer, or cannot answer, answer only with the word UNKNOWN."
    for question in QUESTIONS[:200]:
        said = model.answer(asked(question, system=system), CHANCE).text
        assert (said == "UNKNOWN") is (model.knows(question) < 0.5)
        assert model.answer(asked(question), CHANCE).text != "UNKNOWN"
