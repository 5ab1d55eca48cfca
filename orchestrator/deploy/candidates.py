"""What a router learns of each of its ways: description, examples, skills, keywords, and the requests that rules answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

from orchestrator.core.blueprint import AgentSpec, RouterSpec
from orchestrator.core.words import fold
from orchestrator.ports.strategy import Candidate, Skill

_WORD: Final = re.compile(r"[^\W_]+")

Targets = Mapping[str, AgentSpec | RouterSpec]


def candidates_of(router: RouterSpec, targets: Targets) -> tuple[Candidate, ...]:
    """A candidate for each route, in order. ``targets`` are the agents and routers by name."""
    agents = list(dict.fromkeys(_agents_of(router, targets)))
    stated = {_words(text) for text in (*_on_routes(router), *_stated(agents, targets))}
    answers = _answers(agents, targets, stated)
    return tuple(_candidate(route, targets, answers) for route in router["routes"])


def _agents_of(router: RouterSpec, targets: Targets) -> Iterator[str]:
    for route in router["routes"]:
        target: Any = targets[route["to"]]
        if "routes" in target:
            yield from _agents_of(target, targets)
        else:
            yield route["to"]


def _on_routes(router: RouterSpec) -> Iterator[str]:
    for route in router["routes"]:
        yield from route["examples"]


def _stated(agents: Sequence[str], targets: Targets) -> Iterator[str]:
    for name in agents:
        agent: Any = targets[name]
        yield from agent["examples"]
        for skill in agent["skills"]:
            yield from skill.get("examples", ())


def _words(text: str) -> str:
    """Without case, accents and what stands between words."""
    return " ".join(_WORD.findall(fold(text)))


def _answers(agents: Sequence[str], targets: Targets, stated: Set[str]) -> dict[str, tuple[str, ...]]:
    """By agent: the example requests of its reflex rules.

    What is ``stated``, as an example of an agent or of a route to it, is that agent's, whatever rules answer it too. Rules of
    several agents that call the same function answer alike: then the request is the first agent's, or nobody could be
    chosen for it.
    """
    taken: dict[tuple[str, str], str] = {}
    found: dict[str, list[str]] = {}
    for name in agents:
        agent: Any = targets[name]
        for rule in agent["reflex"]:
            for text in rule["when"].get("examples") or ():
                words = _words(text)
                if words not in stated and taken.setdefault((rule["call"] or "", words), name) == name:
                    found.setdefault(name, []).append(text)
    return {name: tuple(texts) for name, texts in found.items()}


def _candidate(route: Mapping[str, Any], targets: Targets, answers: Mapping[str, tuple[str, ...]]) -> Candidate:
    agent: Any = targets[route["to"]]
    if "routes" in agent:
        return _behind_router(route, [_candidate(inner, targets, answers) for inner in agent["routes"]])
    skills = tuple(
        Skill(skill["name"], skill.get("description", ""), tuple(skill.get("examples", ())))
        for skill in agent["skills"]
    )
    return Candidate(
        name=route["to"],
        description=route["description"] or agent["description"],
        skills=skills,
        examples=(*route["examples"], *agent["examples"]),
        keywords=(*route["keywords"], *agent["keywords"]),
        when=route["when"],
        answers=answers.get(route["to"], ()),
        complexity=tuple(route.get("complexity") or agent.get("complexity") or ()),
    )


def _behind_router(route: Mapping[str, Any], behind: Sequence[Candidate]) -> Candidate:
    """A router stands for everything that it leads to."""
    described = "; ".join(candidate.description for candidate in behind if candidate.description)
    return Candidate(
        name=route["to"],
        description=route["description"] or described,
        skills=tuple(skill for candidate in behind for skill in candidate.skills),
        examples=(*route["examples"], *(example for candidate in behind for example in candidate.examples)),
        keywords=(*route["keywords"], *(word for candidate in behind for word in candidate.keywords)),
        when=route["when"],
        answers=tuple(text for candidate in behind for text in candidate.answers),
        complexity=tuple(route.get("complexity") or (level for candidate in behind for level in candidate.complexity)),
    )
