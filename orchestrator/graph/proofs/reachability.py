"""Everything that is written can be used: no agent that no request reaches, no model or tool that nobody uses."""

from __future__ import annotations

from orchestrator.core.diagnostic import Severity
from orchestrator.graph.finding import Finding
from orchestrator.graph.graph import AgentGraph


def all_reachable(graph: AgentGraph) -> list[Finding]:
    """Every router and agent lies on a way from the entry."""
    if not graph.entry:
        return [Finding("ORC305", "", "the deployment has no agent", "Add one under deployment.agents.")]
    seen = graph.reachable(graph.entry)
    return [
        Finding(
            "ORC306",
            vertex.address,
            f"no request can reach {vertex.address} from {graph.entry}",
            "Add a route or an escalation to it, leave out an entry that leads past it, or remove it.",
        )
        for vertex in graph.vertices("router", "specialist", "escalation")
        if vertex.address not in seen
    ]


def no_unused(graph: AgentGraph) -> list[Finding]:
    """Every model, tool and knowledge set is used by someone; whether that one can be reached is told of it."""
    if not graph.entry:
        return []
    agents = [agent.address for agent in graph.vertices("router", "specialist", "escalation")]
    used = graph.reachable_from(agents, ("uses", "fallback"))
    return [
        Finding(
            "ORC307",
            vertex.address,
            f"nobody uses {vertex.address}",
            "Name it in an agent, or remove it.",
            Severity.WARNING,
        )
        for vertex in graph.vertices("model", "tool", "knowledge")
        if vertex.address not in used
    ]
