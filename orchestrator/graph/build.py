"""Build the graph of a resolved manifest, and check it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestrator.core.diagnostic import Diagnostic, Place
from orchestrator.graph.finding import Finding
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.proofs import capacity, reachability, routes, zones
from orchestrator.graph.transforms import agents, resources
from orchestrator.manifest.spec.manifest import Manifest

Transform = Callable[[AgentGraph, Manifest], None]
Proof = Callable[[AgentGraph], list[Finding]]
PlaceOf = Callable[[str], Place | None]

TRANSFORMS: Final[tuple[Transform, ...]] = (
    resources.add_models,
    resources.add_tools,
    resources.add_knowledge,
    agents.add_agents,
    agents.link_uses,
    agents.link_routes,
    agents.link_escalations,
    agents.add_nodes,
    agents.choose_entry,
    resources.set_budgets,
)
PROOFS: Final[tuple[Proof, ...]] = (
    routes.no_cycles,
    routes.no_dead_ends,
    routes.routers_have_a_default,
    reachability.all_reachable,
    reachability.no_unused,
    zones.restricted_stays_local,
    zones.restricted_stays_on_its_node,
    zones.nothing_restricted_comes_from_the_cloud,
    zones.offline_needs_no_cloud,
    capacity.models_fit,
)


def build(manifest: Manifest, name: str) -> AgentGraph:
    """The frozen graph of a resolved manifest whose references all hold."""
    graph = AgentGraph(name, manifest.deployment.type)
    for transform in TRANSFORMS:
        transform(graph, manifest)
    return graph.freeze()


def check(graph: AgentGraph, place_of: PlaceOf) -> list[Diagnostic]:
    """What is wrong with the graph as a whole; ``place_of`` tells where an address stands in the manifest."""
    return [
        Diagnostic(
            code=finding.code,
            message=finding.message,
            place=place_of(finding.subject),
            cure=finding.cure,
            subject=finding.subject,
            severity=finding.severity,
        )
        for proof in PROOFS
        for finding in proof(graph)
    ]
