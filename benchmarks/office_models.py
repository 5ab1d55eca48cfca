"""SIMULATED models of stated accuracy for the requests of examples/mixed-office: no real model is measured by them.

A model knows a request rightly as often as is stated, apart for those that are said to need a larger model. It answers what the
label says that a right answer holds; what is a person's or nobody's it leaves open. Where a request came to an agent that is not
meant for it, it cannot be answered there: as often as is stated it notices. As a router it chooses the right agent as often as
is stated. What differs between two requests is drawn from their words, so that two arms meet the same luck.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.serve.doubt.abstention import WORD
from orchestrator.testing.asked import Asked
from orchestrator.testing.script import Said
from orchestrator.testing.stated import StatedModel

SAID: Final = "This is what the records of the office say about it: "


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled request; ``contains`` is what the right answer holds."""

    id: str
    text: str
    area: str
    wording: str
    needs: str
    agent: str | None
    contains: tuple[str, ...]

    @property
    def answer(self) -> str:
        """What a model says that knows it."""
        return SAID + ", ".join(self.contains) if self.contains else WORD


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Stated: how often a model is right on what a small one can do, and on what needs a larger one."""

    usual: float
    hard: float


@dataclass(slots=True)
class OfficeModel(StatedModel):
    """One model. ``prompts`` are beginnings of the agents' instructions, by agent; ``routes`` is how often it routes rightly,
    ``notices`` how often it sees that a request is not for the agent that it was given to."""

    requests: Mapping[str, Labelled] = field(default_factory=dict)
    stated: Accuracy = Accuracy(0.9, 0.5)
    prompts: Mapping[str, str] = field(default_factory=dict)
    routes: float = 0.92
    notices: float = 0.7

    def answer(self, asked: Asked, chance: random.Random) -> Said:
        """A route, the check of an answer, or an answer."""
        if asked.schema is not None and "agent" in asked.schema.get("properties", {}):
            return self._route(json.loads(asked.text)["request"], asked.schema["properties"]["agent"]["enum"])
        if asked.schema is not None and "right" in asked.schema.get("properties", {}):
            return StatedModel.answer(self, asked, chance)
        request = self.requests[asked.text]
        agent = next((name for name, begins in self.prompts.items() if _system(asked).startswith(begins)), "")
        if agent and agent != request.area:
            noticed = self._chance(asked.text, f"notices {agent}").random() < self.notices
            return Said(WORD if noticed else "wrong agent", chance=0.6)
        self.accuracy = self.stated.hard if request.needs == "larger" else self.stated.usual
        return StatedModel.answer(self, asked, chance)

    def _route(self, text: str, names: Sequence[str]) -> Said:
        *agents, nobody = names
        request = self.requests[text]
        # It can only say what it was offered: who has nothing for a request there says so.
        wanted = next((name for name in (request.agent, request.agent and request.area) if name in agents), nobody)
        draw = self._chance(text, "route")
        chosen = wanted if draw.random() < self.routes else draw.choice([name for name in names if name != wanted])
        return Said(json.dumps({"agent": chosen}), chance=0.9)


def read_requests(file: Path) -> dict[str, Labelled]:
    """The labelled requests, by their text."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found = [
        Labelled(
            row["id"],
            row["text"],
            row["area"],
            row["wording"],
            row["needs"],
            row["agent"],
            tuple(row["expect"]["contains"]),
        )
        for row in rows
    ]
    return {each.text: each for each in found}


def _system(asked: Asked) -> str:
    return next((str(each.get("content", "")) for each in asked.messages if each.get("role") == "system"), "")
