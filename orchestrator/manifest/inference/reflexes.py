"""Rules of a template behind the agent's own; intents that take their examples from a skill."""

from __future__ import annotations

from typing import Final

from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.tools import kind_of
from orchestrator.manifest.spec.agent import AgentEntry, ReflexRule

ESCALATE: Final = "agent.escalate"
"""The call by which a reflex rule hands over to the agent's ``escalate_to``."""


def settle_reflexes(draft: Draft) -> None:
    """Give every agent the rules of its template that its tools allow, and every intent its examples."""
    for name, template in draft.templates.items():
        _add_rules(draft, draft.agents[name], template)
    for name, agent in draft.agents.items():
        if any(rule.when.intent and not rule.when.examples for rule in agent.reflex):
            rules = [_with_examples(draft, agent, rule) for rule in agent.reflex]
            draft.agents[name] = agent.model_copy(update={"reflex": rules})


def _add_rules(draft: Draft, agent: AgentEntry, template: AgentEntry) -> None:
    kinds = {kind_of(draft, tool): tool for tool in reversed(agent.tools)}
    usable = (_usable(rule, kinds, agent) for rule in template.reflex)
    rules = [rule for rule in usable if rule is not None and rule not in agent.reflex]
    if rules:
        why = f'from the template "{template.name}": answers while no model serves the agent'
        draft.infer(f"agent.{agent.name}", "reflex", rules, why)
        draft.agents[agent.name] = agent.model_copy(update={"reflex": [*agent.reflex, *rules]})


def _usable(rule: ReflexRule, kinds: dict[str, str], agent: AgentEntry) -> ReflexRule | None:
    """The rule with the tool's name in this manifest, or ``None`` where the agent cannot do what it calls."""
    call = rule.call
    if call == ESCALATE:
        if agent.escalate_to is None:
            return None
    elif call is not None:
        kind, _, function = call.partition(".")
        if kind not in kinds:
            return None
        call = f"{kinds[kind]}.{function}"
    return rule.model_copy(update={"call": call, "without_model": True})


def _with_examples(draft: Draft, agent: AgentEntry, rule: ReflexRule) -> ReflexRule:
    if not rule.when.intent or rule.when.examples:
        return rule
    skill = next((skill for skill in agent.skills if skill.name == rule.when.intent and skill.examples), None)
    if skill is None:
        return rule
    draft.infer(f"agent.{agent.name}", "reflex", skill.examples, f'the examples of its skill "{skill.name}"')
    when = rule.when.model_copy(update={"examples": list(skill.examples)})
    return rule.model_copy(update={"when": when})
