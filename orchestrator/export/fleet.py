"""Which runtimes serve a blueprint: one, or one per node of a fleet."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.blueprint import Blueprint
from orchestrator.export.names import dns_label
from orchestrator.export.order import Node, Workload
from orchestrator.plan.share import share_of


def workloads(blueprint: Blueprint, nodes: Sequence[Node], *, moves: bool) -> tuple[Workload, ...]:
    """The runtimes, the hub's first. ``moves``: agents of a node that is lost may be placed on others, so that each node needs
    what all of them need. The hub is the node that the manifest says, else the first."""
    if blueprint.type == "single-device":
        return (Workload(dns_label(blueprint.name), blueprint, blueprint.hardware),)
    hubs = [node.id for node in nodes if node.hub] or [node.id for node in nodes[:1]]
    placed = {agent for node in nodes for agent in node.agents}
    anywhere = {each.spec["name"] for each in blueprint.of_kind("agent")} - placed
    made = [
        Workload(
            name=dns_label(f"{blueprint.name}-{node.id}"),
            share=blueprint if moves else share_of(blueprint, node.id, {*node.agents, *anywhere}),
            hardware={**blueprint.hardware, **node.hardware},
            node=node.id,
            hub=node.id == hubs[0],
            labels=node.labels,
        )
        for node in nodes
    ]
    return tuple(sorted(made, key=lambda each: not each.hub))
