"""Agents that say little take the rest from a template of the catalogue; what they say themselves stays."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.manifest.catalogue.reader import NEUTRAL, find_template, template_names
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry

_CHARACTER: Final = frozenset(
    (
        "role",
        "description",
        "instructions",
        "context",
        "specialized_for",
        "examples",
        "keywords",
        "skills",
        "reflex",
        "human",
    )
)
"""Keys that say what an agent is for. One that has none of them is taken for the template of its name."""
_JOINED: Final = ("examples", "keywords", "skills")
_LATER: Final = frozenset(("name", "template", "reflex", *_JOINED))


def apply_templates(draft: Draft) -> None:
    """Fill every agent from its template. Reflex rules follow later, when it is known which tools the agent has."""
    for name, agent in draft.agents.items():
        template = _template_of(draft, agent)
        if template is not None:
            draft.templates[name] = template
            draft.agents[name] = _filled(draft, agent, template)


def _template_of(draft: Draft, agent: AgentEntry) -> AgentEntry | None:
    at = f"agent.{agent.name}"
    if agent.template is not None:
        found = find_template(agent.template)
        if found is None:
            cure = draft.suggest(agent.template, template_names()) or f"there are {', '.join(template_names())}"
            draft.tell("ORC205", f'unknown template "{agent.template}"', (at, ("template",)), cure=cure)
        return found
    if agent.model_fields_set & _CHARACTER:
        return None
    named = find_template(agent.name)
    chosen = named or find_template(NEUTRAL)
    if chosen is not None:
        why = "the template of its name" if named else "no template has its name: the neutral one"
        draft.infer(at, "template", chosen.name, why)
    return chosen


def _filled(draft: Draft, agent: AgentEntry, template: AgentEntry) -> AgentEntry:
    changes: dict[str, Any] = {"template": template.name}
    for key in template.model_fields_set - _LATER - agent.model_fields_set:
        if key == "instructions" and agent.context is not None:
            continue
        changes[key] = getattr(template, key)
    for key in _JOINED:
        own = getattr(agent, key)
        more = [item for item in getattr(template, key) if item not in own]
        if more:
            changes[key] = [*own, *more]
    for key, value in changes.items():
        if key != "template":
            draft.infer(f"agent.{agent.name}", key, value, f'from the template "{template.name}"')
    return agent.model_copy(update=changes)
