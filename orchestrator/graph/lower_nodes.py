"""Lower what a manifest says of nodes, and of who may stand in for whom."""

from __future__ import annotations

from orchestrator.core.address import Address
from orchestrator.core.blueprint import AgentSpec, CoordinationSpec, NodeSpec
from orchestrator.graph.graph import AgentGraph
from orchestrator.manifest.spec.agent import AgentEntry
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.operate import Coordination, NodeEntry


def lowered_nodes(graph: AgentGraph, manifest: Manifest) -> tuple[NodeSpec, ...]:
    """The machines, in the manifest's order."""
    return tuple(_node(graph, node) for node in manifest.deployment.nodes)


def _node(graph: AgentGraph, node: NodeEntry) -> NodeSpec:
    budget = graph.budgets.get(Address.of("node", node.id))
    return NodeSpec(
        name=node.id,
        agents=[agent.name if isinstance(agent, AgentEntry) else agent for agent in node.agents],
        models=[model.alias if isinstance(model, ModelEntry) else model for model in node.models],
        memory=budget.total if budget is not None else None,
        labels=dict(node.labels),
        hub=node.hub,
        pin=node.pin,
    )


def lowered_coordination(manifest: Manifest) -> CoordinationSpec | None:
    """How they work together; ``None`` where there is one machine."""
    if not manifest.deployment.nodes:
        return None
    written = manifest.deployment.coordination or Coordination()
    return CoordinationSpec(
        load_balancing=written.load_balancing,
        failover=written.failover,
        lease=written.lease,
        drain=written.drain,
        health_gate=written.health_gate,
    )


def add_placement(spec: AgentSpec, agent: AgentEntry) -> None:
    """Only what is written."""
    if agent.exclusive:
        spec["exclusive"] = True
    if agent.replicas > 1:
        spec["replicas"] = agent.replicas
    if agent.alternatives:
        spec["alternatives"] = list(agent.alternatives)
    if agent.node_labels:
        spec["node_labels"] = dict(agent.node_labels)
