"""A simulated model of stated accuracy: what it answers is right as often as is said, and it is as sure of it as is said.

It shows what depends on the quality of a model (a gate, a calibration, a share handed over) where no such model is. Whatever
is printed of it must be labelled simulated. Pure, and repeatable: all chance comes from the question, the seed and the model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.testing.asked import Asked
from orchestrator.testing.script import Said, Script

_LEAST: Final = 1e-6


@dataclass(slots=True)
class StatedModel(Script):
    """It knows ``answers`` by question. ``accuracy`` is the share that it answers rightly; it differs from question to question
    (``firmness``: small, it knows a question or it does not; large, all are as hard), and the model's own probability of its
    answer is that of the question to the power of ``boast``: below 1 it is surer than it may be. Asked again at a temperature,
    it draws again. As one that checks answers it is right with the probability ``judgement``. A question that it knows less than
    ``abstains_below`` it answers with the word for that, where the prompt names one."""

    answers: Mapping[str, str] = field(default_factory=dict)
    accuracy: float = 0.8
    firmness: float = 1.0
    boast: float = 1.0
    judgement: float = 0.9
    abstains_below: float = 0.0
    name: str = "stated"

    def answer(self, asked: Asked, chance: random.Random) -> Said:
        """The answer to a question, or the check of one."""
        del chance
        if asked.schema is not None and "right" in asked.schema.get("properties", {}):
            return self._checked(json.loads(asked.text))
        question = asked.text
        known = self.knows(question)
        word = _word_for_unknown(asked)
        if word and known < self.abstains_below:
            return Said(word, chance=0.9)
        draw = self._chance(question, str(asked.seed) if asked.body.get("temperature") else "first")
        if draw.random() < known:
            return Said(self.answers.get(question, question), chance=max(_LEAST, known) ** self.boast)
        wrong = f"wrong {draw.randrange(3) + 1}"
        return Said(wrong, chance=max(_LEAST, 1.0 - known) ** self.boast)

    def knows(self, question: str) -> float:
        """How probable it is that this question is answered rightly."""
        if not 0 < self.accuracy < 1:
            return self.accuracy
        return self._chance(question, "known").betavariate(
            self.accuracy * self.firmness, (1 - self.accuracy) * self.firmness
        )

    def _checked(self, told: Mapping[str, Any]) -> Said:
        right = self.answers.get(told["request"]) == told["answer"]
        draw = self._chance(told["request"], f"judged {told['answer']}")
        said = right if draw.random() < self.judgement else not right
        return Said(json.dumps({"right": "yes" if said else "no"}), chance=0.5 + self.judgement / 2 * draw.random())

    def _chance(self, question: str, why: str) -> random.Random:
        return random.Random(f"{self.name} {question} {why}")  # noqa: S311 - repeatable on purpose


def _word_for_unknown(asked: Asked) -> str:
    """The word of the prompt for an answer that is not known."""
    system = next((str(each.get("content", "")) for each in asked.messages if each.get("role") == "system"), "")
    _, found, rest = system.partition("answer only with the word ")
    return rest.split()[0].rstrip(".") if found else ""
