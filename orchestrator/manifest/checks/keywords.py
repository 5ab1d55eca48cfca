"""Keywords that can change nothing: such as no text can hold, and such as stand in their list already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.core.words import comparable
from orchestrator.manifest.faults import warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry

Keys = tuple[str | int, ...]


def check_keywords(draft: Draft) -> None:
    """Tell each that is written; those of a template have their own tests."""
    for agent in draft.agents.values():
        at = draft.address(agent)
        for keys, words in _lists(agent):
            for number, message in _idle(words):
                if draft.holds(at, *keys, number):
                    place = draft.place(at, *keys, number)
                    draft.add(warning("ORC257", message, place, "", "Take it out, or write another word."), at)


def _lists(agent: AgentEntry) -> Iterator[tuple[Keys, Sequence[str]]]:
    yield ("keywords",), agent.keywords
    for number, rule in enumerate(agent.reflex):
        yield ("reflex", number, "when", "keywords"), rule.when.keywords or ()
    for number, route in enumerate(agent.routes):
        if not isinstance(route, str):
            yield ("routes", number, "keywords"), route.keywords
            yield ("routes", number, "when", "keywords"), route.when.keywords or ()


def _idle(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    first: dict[str, str] = {}
    for number, word in enumerate(words):
        looked_for = comparable(word)
        if not looked_for:
            yield number, f"no text holds the keyword {word!r}: it is nothing but spaces or accents"
        elif looked_for in first:
            yield number, f'the keyword "{word}" is found wherever "{first[looked_for]}" is'
        else:
            first[looked_for] = word
