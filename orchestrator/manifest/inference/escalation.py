"""Who takes over: the default of the deployment, and a person where an escalation has no model."""

from __future__ import annotations

from typing import Any

from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry, Human
from orchestrator.manifest.spec.doubt import words_of


def settle_escalation(draft: Draft) -> None:
    """Give specialists the deployment's default escalation, and escalations without a model a person."""
    for name, agent in draft.agents.items():
        if agent.role == "specialist":
            draft.agents[name] = _with_default(draft, agent)
        elif agent.role == "escalation" and _is_nobody(agent):
            draft.agents[name] = agent.model_copy(update={"human": Human()})
            draft.infer(f"agent.{name}", "human", {}, "an escalation without a model and instructions is a person")
        elif agent.role == "escalation":
            draft.agents[name] = _kept(draft, agent)


def _with_default(draft: Draft, agent: AgentEntry) -> AgentEntry:
    escalation = draft.deployment.escalation
    changes: dict[str, Any] = {}
    if escalation.to is not None and agent.escalate_to is None and agent.name != escalation.to:
        changes["escalate_to"] = escalation.to
    if escalation.when is not None and "escalate_when" not in agent.model_fields_set:
        changes["escalate_when"] = list(escalation.when)
    for key, value in changes.items():
        told = words_of(value) if key == "escalate_when" else value
        draft.infer(f"agent.{agent.name}", key, told, "from deployment.escalation")
    return agent.model_copy(update=changes) if changes else agent


def _kept(draft: Draft, agent: AgentEntry) -> AgentEntry:
    kept = draft.deployment.escalation.store_and_forward
    if kept is None or agent.human is not None or agent.store_and_forward is not None:
        return agent
    draft.infer(f"agent.{agent.name}", "store_and_forward", kept, "from deployment.escalation")
    return agent.model_copy(update={"store_and_forward": kept})


def _is_nobody(agent: AgentEntry) -> bool:
    return not (agent.human or agent.model or agent.instructions or agent.context or agent.reflex)
