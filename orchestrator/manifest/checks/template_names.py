"""Names in templates that nothing will ever give a value to, told before a request meets them."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from orchestrator.core.template import free_names
from orchestrator.manifest.faults import warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.reflexes import ESCALATE
from orchestrator.manifest.spec.agent import AgentEntry

Keys = tuple[str | int, ...]


def check_names(draft: Draft, agent: AgentEntry, keys: Keys, text: str) -> None:
    """A warning for each name of a template that stands at ``keys`` of an agent and is known there to nobody."""
    check_names_of(draft, text, (draft.address(agent), keys), _known(agent, keys))


def check_names_of(draft: Draft, text: str, place: tuple[str, Keys], known: Collection[str]) -> None:
    """The same for a template anywhere, by its part and keys."""
    at, keys = place
    for name, line in _free(text):
        if name in known:
            continue
        where = f" (line {line} of the text)" if "\n" in text else ""
        cure = draft.suggest(name, known) or f"known here: {', '.join(known)}"
        message = f'the template uses "{name}"{where}, and nothing gives it a value'
        draft.add(warning("ORC254", message, draft.place(at, *keys), "", cure), at)


def _known(agent: AgentEntry, keys: Keys) -> Collection[str]:
    """What the engine fills a template of this key in with."""
    if keys[0] == "instructions":
        return ("agent", "text", "session")
    if keys[0] == "human":
        return ("ticket", "text", "queue", "approval")
    if keys[0] == "store_and_forward":
        return ("delivery", "agent", "text")
    rule = agent.reflex[int(keys[1])]
    given = [*rule.extract, "text", "session"]
    called = rule.call is not None and rule.call != ESCALATE
    return [*given, "result"] if keys[2] == "say" and called else given


@lru_cache(maxsize=4096)
def _free(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(free_names(text).items())
