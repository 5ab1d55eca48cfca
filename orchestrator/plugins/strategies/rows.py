"""What a set of candidates can be learned from: their examples, names and descriptions, as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from orchestrator.plugins.strategies.text import words_of
from orchestrator.ports.strategy import Candidate


@dataclass(frozen=True, slots=True)
class Row:
    """A text that stands for a candidate. ``skill`` is empty for what is said of the candidate as a whole; ``source`` is
    what it is of the candidate: an example, a description, the name of a skill, or its keywords."""

    text: str
    candidate: str
    skill: str
    source: Literal["example", "description", "skill", "keywords"]

    @property
    def request(self) -> bool:
        """Whether somebody would ask in these words."""
        return self.source == "example"


def rows_of(candidates: Iterable[Candidate]) -> list[Row]:
    """Every distinct text of every candidate, candidates by name, so that their order changes nothing."""
    found: dict[tuple[str, str], Row] = {}
    for candidate in sorted(candidates, key=lambda one: one.name):
        for row in _rows_of(candidate):
            key = (candidate.name, " ".join(words_of(row.text)))
            if key[1] and (key not in found or (row.request and not found[key].request)):
                found[key] = row
    return [found[key] for key in sorted(found)]


def tells_nothing(candidates: Iterable[Candidate]) -> bool:
    """Whether there is nothing but names to learn from."""
    return not any(c.description or c.skills or c.examples or c.keywords for c in candidates)


def shared_requests(rows: Iterable[Row]) -> dict[str, set[str]]:
    """Example requests in folded words, with the candidates that claim them."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.request:
            found.setdefault(" ".join(words_of(row.text)), set()).add(row.candidate)
    return found


def _rows_of(candidate: Candidate) -> Iterator[Row]:
    name = candidate.name
    yield Row(" ".join((_spaced(name), *candidate.keywords)), name, "", "keywords")
    if candidate.description:
        yield Row(candidate.description, name, "", "description")
    for example in candidate.examples:
        yield Row(example, name, "", "example")
    for skill in candidate.skills:
        yield Row(_spaced(skill.name), name, skill.name, "skill")
        if skill.description:
            yield Row(skill.description, name, skill.name, "description")
        for example in skill.examples:
            yield Row(example, name, skill.name, "example")


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
