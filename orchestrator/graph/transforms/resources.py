"""Vertices of what agents use: models with their fallbacks, tools, knowledge sets."""

from __future__ import annotations

from orchestrator.core.address import Address
from orchestrator.core.memory import limited
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import Link
from orchestrator.graph.sizes import written_memory
from orchestrator.graph.transforms import parts
from orchestrator.graph.vertex import Vertex
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.zone import zone_of
from orchestrator.ports.installed import is_plugin


def add_models(graph: AgentGraph, manifest: Manifest) -> None:
    """Every model, then the arrows to its fallbacks."""
    for model in parts.models(manifest):
        about = ", ".join(filter(None, [model.provider or "any server", ", ".join(model.tasks)]))
        facts = {"zone": zone_of(model), "primary": model.primary, "secondary": model.secondary}
        graph.add(Vertex(Address.of("model", model.alias), "model", about, model, facts))
    for model in parts.models(manifest):
        for other in model.fallback:
            graph.link(Link(Address.of("model", model.alias), Address.of("model", other), "fallback"))


def set_budgets(graph: AgentGraph, manifest: Manifest) -> None:
    """What models may take, on each device of which the manifest says what memory it has."""
    limit = manifest.deployment.resources.max_memory_usage
    written = {"": written_memory(manifest.deployment.hardware)}
    if manifest.deployment.nodes:
        written = {Address.of("node", node.id): written_memory(node.hardware) for node in manifest.deployment.nodes}
    graph.budgets = {place: limited(memory, limit) for place, memory in written.items() if memory is not None}


def add_tools(graph: AgentGraph, manifest: Manifest) -> None:
    """Every tool."""
    for tool in parts.tools(manifest):
        kind = tool.use or tool.name
        about = tool.python or (kind if is_plugin(kind) else f"built-in {kind}")
        graph.add(Vertex(Address.of("tool", tool.name), "tool", about, tool))


def add_knowledge(graph: AgentGraph, manifest: Manifest) -> None:
    """Every knowledge set."""
    for knowledge in manifest.deployment.knowledge:
        graph.add(Vertex(Address.of("knowledge", knowledge.name), "knowledge", knowledge.path, knowledge))
