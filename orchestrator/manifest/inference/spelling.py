"""Two spellings of one key become one; free text under ``role`` becomes instructions."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.manifest.faults import fault, note
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.model import ModelEntry

ROLES: Final = ("specialist", "router", "escalation")
_CASCADE: Final = "cascade"


def settle_spellings(draft: Draft) -> None:
    """One spelling for every key, one of three roles for every agent."""
    for alias, model in draft.models.items():
        draft.models[alias] = _model(draft, model)
    for name, agent in draft.agents.items():
        draft.agents[name] = _agent(draft, agent)


def _model(draft: Draft, model: ModelEntry) -> ModelEntry:
    if model.model_provider is None and model.model_id is None:
        return model
    at = f"model.{model.alias}"
    provider = _one_of(draft, at, ("provider", model.provider), ("model_provider", model.model_provider))
    named = _one_of(draft, at, ("model", model.model), ("model_id", model.model_id))
    return model.model_copy(update={"provider": provider, "model": named, "model_provider": None, "model_id": None})


def _one_of(draft: Draft, subject: str, first: tuple[str, Any], second: tuple[str, Any]) -> Any:
    if first[1] is not None and second[1] is not None and first[1] != second[1]:
        message = f"{first[0]} and {second[0]} are two spellings of one key, and differ"
        draft.tell("ORC220", message, (subject, (second[0],)))
    return second[1] if first[1] is None else first[1]


def _agent(draft: Draft, agent: AgentEntry) -> AgentEntry:
    at = f"agent.{agent.name}"
    changes: dict[str, Any] = {}
    if agent.context is not None:
        changes["instructions"] = _one_of(draft, at, ("instructions", agent.instructions), ("context", agent.context))
        changes["context"] = None
    if agent.routing_strategy is not None:
        written = ("strategy", agent.strategy)
        changes["strategy"] = _one_of(draft, at, written, ("routing_strategy", _CASCADE))
        changes["routing_strategy"] = None
    if agent.role is None:
        changes["role"] = "specialist"
        draft.infer(at, "role", "specialist", "the default")
    elif agent.role not in ROLES:
        changes |= _free_role(draft, agent, changes.get("instructions", agent.instructions))
    changed = agent.model_copy(update=changes) if changes else agent
    if changed.role == "router":
        draft.origins[f"router.{agent.name}"] = draft.origins[at]
    return changed


def _free_role(draft: Draft, agent: AgentEntry, instructions: str | None) -> dict[str, Any]:
    at = f"agent.{agent.name}"
    role = agent.role or ""
    near = draft.suggest(role, ROLES) if " " not in role.strip() else None
    place = draft.place(at, "role")
    if near:
        draft.add(fault("ORC133", f'"role" cannot be the text "{role}"', place, cure=near), at)
        return {"role": "specialist"}
    if instructions is not None:
        message = "role holds free text, which is taken as instructions, and instructions are given too"
        draft.add(fault("ORC220", message, place, cure="move the text into instructions"), at)
        return {"role": "specialist"}
    draft.add(note("ORC223", "the role is taken as instructions", place, cure="write it under instructions"), at)
    draft.infer(at, "role", "specialist", "the text under role is none of the roles")
    draft.infer(at, "instructions", role, "the free text under role")
    return {"role": "specialist", "instructions": role}
