"""Which model serves whom: named, claimed by its tasks, of the node, or the primary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from orchestrator.manifest.catalogue.reader import find_model
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.zone import zone_of

ROUTING: Final = "routing"
_EMBEDDING: Final = frozenset({"embedding", "embeddings"})
_ASKING: Final = ("intent", "cascade")
"""Strategies that may ask a model."""


def settle_models(draft: Draft) -> None:
    """Models that agents name from the catalogue are added; the secondary becomes the primary's fallback."""
    for agent in draft.agents.values():
        for number, alias in enumerate(aliases(agent)):
            _add_from_catalogue(draft, alias, agent, number)
    draft.written_tasks = {alias for alias, model in draft.models.items() if model.tasks}
    encoders = _encoders(draft)
    for alias, model in draft.models.items():
        draft.models[alias] = _as_encoder(draft, model) if alias in encoders else _with_tasks(draft, model)
    _settle_fallback(draft)


def aliases(agent: AgentEntry) -> list[str]:
    """An agent's models, in order of preference."""
    if agent.model is None:
        return []
    return [agent.model] if isinstance(agent.model, str) else list(agent.model)


def _add_from_catalogue(draft: Draft, alias: str, agent: AgentEntry, number: int) -> None:
    if alias not in draft.models and find_model(alias) is not None:
        draft.models[alias] = ModelEntry(alias=alias)
        keys = ("model",) if isinstance(agent.model, str) else ("model", number)
        draft.mention(f"model.{alias}", draft.address(agent), *keys)
        draft.infer(f"model.{alias}", "alias", alias, "an agent names it and the catalogue knows it")


def _with_tasks(draft: Draft, model: ModelEntry) -> ModelEntry:
    row = find_model(model.alias)
    if row is None or model.tasks:
        return model
    draft.infer(f"model.{model.alias}", "tasks", row["tasks"], "from the catalogue")
    return model.model_copy(update={"tasks": list(row["tasks"])})


def _encoders(draft: Draft) -> set[str]:
    """Models of which nothing is said but that a router has them as its encoder: to answer, nobody would want them."""
    found = {agent.encoder for agent in draft.agents.values() if agent.encoder is not None}
    answering = {alias for agent in draft.agents.values() for alias in (*aliases(agent), *_judges(agent))}
    answering.update(alias for model in draft.models.values() for alias in model.fallback)
    return {
        alias
        for alias in found - answering
        if (model := draft.models.get(alias)) is not None
        and not (model.tasks or model.primary or model.secondary)
        and find_model(alias) is None
    }


def _judges(agent: AgentEntry) -> list[str]:
    return [each.judge.model for each in agent.escalate_when if not isinstance(each, str) and each.judge is not None]


def _as_encoder(draft: Draft, model: ModelEntry) -> ModelEntry:
    draft.infer(f"model.{model.alias}", "tasks", ["embeddings"], "a router has it as its encoder")
    return model.model_copy(update={"tasks": ["embeddings"]})


def _settle_fallback(draft: Draft) -> None:
    seconds = [model.alias for model in _chat_models(draft) if model.secondary]
    for alias, model in draft.models.items():
        if model.primary and seconds and "fallback" not in model.model_fields_set:
            draft.models[alias] = model.model_copy(update={"fallback": seconds})
            draft.infer(f"model.{alias}", "fallback", seconds, "the secondary takes over from the primary")


def serve_agents(draft: Draft) -> None:
    """Every agent gets its models in order; the list is empty where the deployment has none for it."""
    several = len(list(_chat_models(draft))) > 1
    for name, agent in draft.agents.items():
        if agent.human is not None:
            continue
        if agent.model is not None:
            draft.agents[name] = agent.model_copy(update={"model": aliases(agent)})
            continue
        found = _for_router(draft, agent) if agent.role == "router" else _for_agent(draft, agent)
        chosen, why = found if found is not None else (None, "")
        if chosen is not None:
            draft.infer(draft.address(agent), "model", [chosen.alias], why)
            if several and agent.role != "router":
                draft.reasons[name] = why  # a run tells it
        draft.agents[name] = agent.model_copy(update={"model": [chosen.alias] if chosen else []})


def _for_router(draft: Draft, router: AgentEntry) -> tuple[ModelEntry, str] | None:
    if (router.strategy or "cascade") not in _ASKING:
        return None
    for written in (True, False):
        for model in _chat_models(draft):
            if ROUTING in model.tasks and (model.alias in draft.written_tasks) is written:
                return model, "the first model whose tasks hold routing"
    return None


def _for_agent(draft: Draft, agent: AgentEntry) -> tuple[ModelEntry, str] | None:
    candidates = list(_chat_models(draft))
    home = draft.homes.get(agent.name)
    if home is not None and draft.nodes[home].models:
        there = draft.nodes[home].models
        candidates = [model for model in candidates if model.alias in there]
    topics = _topics(agent)
    for model in candidates:
        if model.alias in draft.written_tasks and topics & _folded(model.tasks):
            return model, "its tasks claim what the agent is specialised for"
    for model in candidates:
        if model.primary:
            return model, "the primary model"
    first = next((model for model in candidates if not model.secondary), candidates[0] if candidates else None)
    if first is None:
        return None
    only = "only" if len(candidates) == 1 else "first"
    passed = "" if first is candidates[0] else " that is no secondary"
    return first, f"the {only} model of " + (f"its node {home}" if home else "the manifest") + passed


def _chat_models(draft: Draft) -> Iterator[ModelEntry]:
    """Models that may be chosen without being named: no embedders, nothing in the cloud."""
    return (model for model in draft.models.values() if zone_of(model) != "cloud" and not is_embedder(model))


def is_embedder(model: ModelEntry) -> bool:
    """Whether it makes vectors and cannot answer: by the catalogue, else by tasks that are of nothing else."""
    row = find_model(model.alias)
    if row is not None:
        return bool(row["kind"] == "embedding")
    return bool(model.tasks) and _folded(model.tasks) <= _EMBEDDING


def _topics(agent: AgentEntry) -> set[str]:
    named: Any = agent.specialized_for
    texts = [named] if isinstance(named, str) else list(named or ())
    return _folded([agent.name, *texts])


def _folded(texts: Iterable[str]) -> set[str]:
    return {text.casefold().replace("_", "-").replace(" ", "-") for text in texts}
