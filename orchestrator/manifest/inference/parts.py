"""Bare names become parts; what stands under a node is lifted into the deployment, and the node keeps the names."""

from __future__ import annotations

from typing import Any

from orchestrator.manifest.faults import fault
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.marks import Path
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.operate import NodeEntry
from orchestrator.manifest.spec.tool import ToolEntry


def gather(draft: Draft) -> None:
    """Fill the draft's parts from the deployment and its nodes, and tell names that are given twice."""
    deployment = draft.deployment
    for number, model in enumerate(deployment.models):
        _add(draft, "model", model, ("deployment", "models", number))
    for number, agent in enumerate(deployment.agents):
        _add(draft, "agent", agent, ("deployment", "agents", number))
    for number, tool in enumerate(deployment.tools):
        _add(draft, "tool", tool, ("deployment", "tools", number))
    for number, knowledge in enumerate(deployment.knowledge):
        _add(draft, "knowledge", knowledge, ("deployment", "knowledge", number))
    for number, node in enumerate(deployment.nodes):
        _gather_node(draft, node, ("deployment", "nodes", number))


def _gather_node(draft: Draft, node: NodeEntry, path: Path) -> None:
    if not _is_new(draft, f"node.{node.id}", node.id in draft.nodes, path):
        return
    for number, model in enumerate(node.models):
        if not (isinstance(model, str) and model in draft.models):
            _add(draft, "model", model, (*path, "models", number))
    for number, agent in enumerate(node.agents):
        _place_agent(draft, agent, node.id, (*path, "agents", number))
    names = [agent if isinstance(agent, str) else agent.name for agent in node.agents]
    aliases = [model if isinstance(model, str) else model.alias for model in node.models]
    draft.nodes[node.id] = node.model_copy(update={"agents": names, "models": aliases})


def _place_agent(draft: Draft, agent: AgentEntry | str, node: str, path: Path) -> None:
    name = agent if isinstance(agent, str) else agent.name
    home = draft.homes.get(name)
    if home is not None:
        draft.origins.setdefault(f"node.{node}", path[:-2])
        draft.tell("ORC211" if home != node else "ORC210", _twice(name, home, node), (f"node.{node}", path[3:]))
        return
    draft.homes[name] = node
    if not (isinstance(agent, str) and name in draft.agents):
        _add(draft, "agent", agent, path)


def _twice(name: str, home: str, node: str) -> str:
    return (
        f'the agent "{name}" stands twice on {node}'
        if home == node
        else f'the agent "{name}" is on {home} and on {node}'
    )


def _add(draft: Draft, kind: str, item: Any, path: Path) -> None:
    parts: dict[str, Any] = getattr(draft, kind if kind == "knowledge" else f"{kind}s")
    name = item if isinstance(item, str) else item.alias if kind == "model" else item.name
    if _is_new(draft, f"{kind}.{name}", name in parts, path):
        parts[name] = _written_out(kind, item)


def _is_new(draft: Draft, address: str, known: bool, path: Path) -> bool:
    if not known:
        draft.origins[address] = path
        return True
    kind, _, name = address.partition(".")
    first = draft.place(address).line
    article = "an" if kind == "agent" else "a"
    key = "alias" if kind == "model" else "id" if kind == "node" else "name"
    at = (key,) if draft.loaded.marks.holds((*path, key)) else ()
    place = draft.loaded.marks.value((*path, *at))
    message = f'there is already {article} {kind} "{name}"'
    draft.add(fault("ORC210", message, place, f"first on line {first}"), address)
    return False


def _written_out(kind: str, item: Any) -> Any:
    if not isinstance(item, str):
        return item
    if kind == "agent":
        return AgentEntry(name=item)
    return ModelEntry(alias=item) if kind == "model" else ToolEntry(name=item)
