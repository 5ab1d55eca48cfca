"""What a set of candidates can be learned from: their examples, names and descriptions, as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.plugins.strategies.text import numbers_alike, words_of
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
    return not any(c.description or c.skills or c.examples or c.keywords or c.answers for c in candidates)


def untried_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The candidates of which no row is a request: by name."""
    tried: dict[str, bool] = {}
    for row in rows:
        tried[row.candidate] = tried.get(row.candidate, False) or row.request
    return tuple(sorted(name for name, known in tried.items() if not known))


def shared_requests(candidates: Iterable[Candidate]) -> dict[str, set[str]]:
    """Requests that candidates say they answer, as examples or by their rules: in folded words, with who claims them.

    What rules answer is no row to learn from: such requests vary one pattern, and agents that share a tool share them too.
    """
    found: dict[str, set[str]] = {}
    for candidate in candidates:
        of_skills = (example for skill in candidate.skills for example in skill.examples)
        for request in (*candidate.examples, *of_skills, *candidate.answers):
            words = " ".join(words_of(request))
            if words:
                found.setdefault(words, set()).add(candidate.name)
    return found


class ExactRequests:
    """The requests that stand word for word among the examples of one candidate alone. A number stands for any: who answers
    "show T-1001" answers "show T-1002", unless that is somebody else's example."""

    def __init__(self, claims: Mapping[str, set[str]]) -> None:
        any_number: dict[str, set[str]] = {}
        for words, claimants in claims.items():
            any_number.setdefault(numbers_alike(words), set()).update(claimants)
        self._owners = _single(any_number) | _single(claims)
        self._claimed = frozenset(claims)

    def owner(self, words: str) -> str | None:
        """Whose example these folded words are; ``None`` where nobody's, or of several."""
        found = self._owners.get(words)
        if found is not None or words in self._claimed:
            return found
        return self._owners.get(numbers_alike(words))


def _single(claims: Mapping[str, set[str]]) -> dict[str, str]:
    return {words: next(iter(claimants)) for words, claimants in claims.items() if len(claimants) == 1}


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
