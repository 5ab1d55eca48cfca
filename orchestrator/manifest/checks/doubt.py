"""Signs of a wrong answer that could not be seen: said when a manifest is checked, not when an answer was let through."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.manifest.faults import warning
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.models import aliases
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.doubt import Signs

WITHOUT_LOG_PROBABILITIES: Final = frozenset(("foundry-local", "lemonade", "lm-studio"))
"""Makes whose servers take the wish for log-probabilities and tell none."""


def check_doubt(draft: Draft) -> None:
    """Signs that the agent's servers cannot give, that its answer has no room for, or that nobody is told of."""
    for agent in draft.agents.values():
        for number, item in enumerate(agent.escalate_when):
            if draft.holds(draft.address(agent), "escalate_when", number):
                _check(draft, agent, number, item)


def _check(draft: Draft, agent: AgentEntry, number: int, item: str | Signs) -> None:
    for sign in ("low_confidence", "abstains", "agreement", "self_check", "judge"):
        signs = None if isinstance(item, str) else getattr(item, sign)
        if item != sign and signs is None:
            continue
        keys = ("escalate_when", number) if isinstance(item, str) else ("escalate_when", number, sign)
        if agent.escalate_to is None and item != "low_confidence":
            said = f"{sign}: {agent.name} has nobody to hand over to"
            _warn(draft, agent, keys, "ORC431", (said, "add escalate_to: …"))
        elif sign == "low_confidence":
            _check_servers(draft, agent, keys)
        elif sign == "abstains":
            _check_room(draft, agent, keys, signs)


def _check_servers(draft: Draft, agent: AgentEntry, keys: tuple[str | int, ...]) -> None:
    makes = {draft.models[alias].provider for alias in aliases(agent) if alias in draft.models}
    silent = sorted(WITHOUT_LOG_PROBABILITIES & makes)
    if silent:
        message = (
            f"low_confidence: {' and '.join(silent)} tells no log-probabilities, so that {agent.name} is only asked"
        )
        _warn(draft, agent, keys, "ORC430", (f"{message} to say itself when it does not know", None))


def _check_room(draft: Draft, agent: AgentEntry, keys: tuple[str | int, ...], signs: Any) -> None:
    if agent.output_schema is None:
        return
    properties = agent.output_schema.get("properties", {})
    field, word = (signs.field, signs.word) if signs is not None else ("abstain", "UNKNOWN")
    texts = [each for each in properties.values() if isinstance(each, dict) and _takes(each, word)]
    if field not in properties and not texts:
        message = f'abstains: output_schema has neither the property "{field}" nor a text that could be {word}'
        _warn(draft, agent, keys, "ORC431", (message, f"add {field}: {{type: boolean}} to its properties"))


def _takes(schema: dict[str, Any], word: str) -> bool:
    return word in schema["enum"] if "enum" in schema else schema.get("type", "string") == "string"


def _warn(
    draft: Draft, agent: AgentEntry, keys: tuple[str | int, ...], code: str, said: tuple[str, str | None]
) -> None:
    at, (message, cure) = draft.address(agent), said
    draft.add(warning(code, message, draft.loaded.marks.value(draft.path(at, *keys)), "", cure), at)
