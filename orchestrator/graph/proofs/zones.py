"""Data stays where it must: nothing restricted can reach a model in the cloud, and an offline agent needs none."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.graph.finding import Finding
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import FLOW, LinkKind
from orchestrator.graph.vertex import Vertex

_KEEP = "Use a model of this device or the local network, or let another agent take it."


def restricted_stays_local(graph: AgentGraph) -> list[Finding]:
    """No way leads from a restricted agent, through its models, fallbacks and escalations, to a model in the cloud."""
    return [
        Finding(
            "ORC308",
            agent.address,
            f"what {agent.address} sees is restricted, but can reach the cloud: {' -> '.join(way)}",
            _KEEP,
        )
        for agent in graph.vertices("specialist", "escalation")
        if agent.facts["restricted"] and (way := _way_to_cloud(graph, agent.address, ("uses", "fallback", "escalate")))
    ]


def restricted_stays_on_its_node(graph: AgentGraph) -> list[Finding]:
    """What a restricted agent hands over stays on its node: whoever takes over must be on each node that the manifest gives the
    agent to. One that no node names, or that is to be on more than its own, may be placed there, and is left alone."""
    return [
        Finding(
            "ORC312",
            agent.address,
            f"{agent.address} cannot hand over to {link.target}: what it sees is restricted and stays on {', '.join(missing)}, "
            f"and the manifest has {link.target} on {', '.join(there)} only",
            f"Give {link.target} to {', '.join(missing)} too, or let {agent.address} escalate to an agent of its own node.",
        )
        for agent in graph.vertices("specialist", "escalation")
        if agent.facts["restricted"]
        for link in graph.out_of(agent.address, "escalate")
        if (there := _nodes(graph, link.target))
        and graph[link.target].part.replicas <= len(there)
        and (missing := [node for node in _nodes(graph, agent.address) if node not in there])
    ]


def _nodes(graph: AgentGraph, address: str) -> list[str]:
    return [link.target.partition(".")[2] for link in graph.out_of(address, "runs_on")]


def nothing_restricted_comes_from_the_cloud(graph: AgentGraph) -> list[Finding]:
    """A model that a router or an agent asks, or that judges its answers, reads the request: it may be in the cloud only where no
    restricted agent can get that request afterwards, by a route, a default or an escalation."""
    return [
        Finding("ORC309", vertex.address, _read_before(vertex, way, private), _KEEP)
        for vertex in graph.vertices("router", "specialist", "escalation")
        if not vertex.facts.get("restricted")  # then it is ORC308
        and (way := _way_to_cloud(graph, vertex.address, ("uses", "fallback")))
        and (private := _first_restricted(graph, vertex)) is not None
    ]


def _read_before(vertex: Vertex, way: Sequence[str], private: Vertex) -> str:
    what = "what is meant for" if vertex.kind == "router" else "what it may hand over to"
    return f"the model of {vertex.address} is in the cloud ({' -> '.join(way)}) and reads {what} {private.address}"


def offline_needs_no_cloud(graph: AgentGraph) -> list[Finding]:
    """An agent in ``offline_mode`` uses no model in the cloud, nor does any fallback of its models."""
    return [
        Finding(
            "ORC310", agent.address, f"{agent.address} must work offline, but uses the cloud: {' -> '.join(way)}", _KEEP
        )
        for agent in graph.vertices("specialist", "escalation")
        if agent.facts["offline"] and (way := _way_to_cloud(graph, agent.address, ("uses", "fallback")))
    ]


def _first_restricted(graph: AgentGraph, vertex: Vertex) -> Vertex | None:
    seen = graph.reachable(vertex.address, FLOW)
    agents = graph.vertices("specialist", "escalation")
    return next((agent for agent in agents if agent.address in seen and agent.facts["restricted"]), None)


def _way_to_cloud(graph: AgentGraph, start: str, kinds: Collection[LinkKind]) -> list[str]:
    """The shortest way along links of these kinds to a model in the cloud, or nothing."""
    ways = [[start]]
    seen = {start}
    while ways:
        way = ways.pop(0)
        vertex = graph[way[-1]]
        if vertex.kind == "model" and vertex.facts["zone"] == "cloud":
            return way
        for link in graph.out_of(way[-1]):
            if link.kind in kinds and link.target not in seen:
                seen.add(link.target)
                ways.append([*way, link.target])
    return []
