"""Names that point at agents, models, tools and document sets."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.names import nearest
from orchestrator.manifest.catalogue.reader import find_model, near_models
from orchestrator.manifest.faults import MOST_FAULTS
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.models import aliases
from orchestrator.manifest.inference.tools import BUILTINS
from orchestrator.manifest.nearby import likely
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.ports.encoder import MINILM

Keys = Sequence[str | int]


def check_references(draft: Draft) -> None:
    """Every name that an agent, a model or the deployment points at is there."""
    for agent in draft.agents.values():
        _check_agent(draft, agent)
    for model in draft.models.values():
        at = f"model.{model.alias}"
        for number, alias in enumerate(model.fallback):
            if alias not in draft.models:
                _unknown_model(draft, alias, (at, ("fallback", number)))
        named = model.model or (model.server and model.server.path)
        if find_model(model.alias) is None and not (named and (model.provider or model.endpoint)):
            key = ("alias",) if draft.loaded.marks.holds(draft.path(at, "alias")) else ()
            _unknown_model(draft, model.alias, (at, key))
    draft.origins["deployment"] = ("deployment",)
    deployment = draft.deployment
    for keys, name in ((("entry",), deployment.entry), (("escalation", "to"), deployment.escalation.to),
                       (("routing", "default"), deployment.routing.default)):  # fmt: skip
        if name is not None and name not in draft.agents:
            _unknown_agent(draft, name, ("deployment", keys))


def _check_models(draft: Draft, agent: AgentEntry, at: str) -> None:
    many = isinstance(agent.model, list) and draft.loaded.marks.holds(draft.path(at, "model", 0))
    for number, alias in enumerate(aliases(agent)):
        if alias not in draft.models:
            _unknown_model(draft, alias, (at, ("model", number) if many else ("model",)))
    for number, alias in enumerate(agent.alternatives):
        if alias not in draft.models:
            _unknown_model(draft, alias, (at, ("alternatives", number)))


def _check_agent(draft: Draft, agent: AgentEntry) -> None:
    at = draft.address(agent)
    _check_models(draft, agent, at)
    for number, tool in enumerate(agent.tools):
        if tool not in draft.tools:
            cure = draft.suggest(tool, [*draft.tools, *BUILTINS])
            draft.tell("ORC203", f'unknown tool "{tool}"', (at, ("tools", number)), cure=cure)
    for number, name in enumerate(agent.knowledge):
        if name not in draft.knowledge:
            cure = draft.suggest(name, draft.knowledge)
            draft.tell("ORC204", f'unknown document set "{name}"', (at, ("knowledge", number)), cure=cure)
    _check_encoder(draft, agent, at)
    for number, item in enumerate(agent.escalate_when):
        judge = None if isinstance(item, str) else item.judge
        if judge is not None and judge.model not in draft.models:
            _unknown_model(draft, judge.model, (at, ("escalate_when", number, "judge", "model")))
    _check_targets(draft, agent, at)


def _check_encoder(draft: Draft, agent: AgentEntry, at: str) -> None:
    """A folder, an encoder of this process, or a model of the manifest that makes vectors."""
    name = agent.encoder
    if name is None or "/" in name or (name == MINILM and name not in draft.models):
        return
    if name not in draft.models:
        _unknown_model(draft, name, (at, ("encoder",)))
        return
    row = find_model(name)
    if row is not None and row["kind"] != "embedding":
        cure = f"name an embedding model, a folder with a / in it, or {MINILM}"
        draft.tell("ORC207", f"{name} writes answers and makes no vectors", (at, ("encoder",)), cure=cure)


def _check_targets(draft: Draft, agent: AgentEntry, at: str) -> None:
    targets: list[tuple[Keys, str | None]] = [(("escalate_to",), agent.escalate_to)]
    if agent.role == "router":
        targets.append((("default",), agent.default))
    for number, route in enumerate(agent.routes if agent.role == "router" else ()):
        targets.append((("routes", number), route) if isinstance(route, str) else (("routes", number, "to"), route.to))
    for keys, name in targets:
        if name == agent.name:
            draft.tell("ORC224", f'"{keys[0]}" leads back to {name} itself', (at, keys))
        elif name is not None and name not in draft.agents:
            _unknown_agent(draft, name, (at, keys))


def _unknown_agent(draft: Draft, name: str, at: tuple[str, Keys]) -> None:
    if not draft.loaded.marks.holds(draft.path(at[0], *at[1])):
        return  # inferred from a default that is told where it stands
    draft.tell("ORC201", f'unknown agent "{name}"', at, "no agent has this name", draft.suggest(name, draft.agents))


def _unknown_model(draft: Draft, alias: str, at: tuple[str, Keys]) -> None:
    many = len(draft.diagnostics) >= MOST_FAULTS
    near = [] if many else list(dict.fromkeys([*near_models(alias)[:2], *_near_here(draft, alias)]))
    quoted = [f'"{one}"' for one in near[:2]]
    cure = f"did you mean {' or '.join(quoted)}?" if near else None
    draft.tell("ORC202", f'unknown model "{alias}"', at, cure=cure)


def _near_here(draft: Draft, alias: str) -> list[str]:
    return [one for one in nearest(alias, likely(alias, draft.models), 2) if one != alias]
