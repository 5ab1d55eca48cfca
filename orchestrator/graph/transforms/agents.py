"""Vertices of those who answer and choose, with what they use, where they route and to whom they escalate."""

from __future__ import annotations

from orchestrator.core.address import Address
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import Link
from orchestrator.graph.transforms import parts
from orchestrator.graph.vertex import Vertex, VertexKind
from orchestrator.manifest.inference.models import aliases
from orchestrator.manifest.spec.agent import AgentEntry, Route
from orchestrator.manifest.spec.doubt import gate_of, words_of
from orchestrator.manifest.spec.manifest import Manifest


def add_agents(graph: AgentGraph, manifest: Manifest) -> None:
    """Every specialist and escalation, then every router."""
    for agent in parts.agents(manifest):
        kind: VertexKind = "escalation" if agent.role == "escalation" else "specialist"
        facts = {
            "human": agent.human is not None,
            "offline": agent.offline_mode,
            "restricted": agent.privacy_mode or bool(agent.compliance),
            "reflex": len(agent.reflex),
        }
        graph.add(Vertex(Address.of("agent", agent.name), kind, agent.description, agent, facts))
    for router in parts.routers(manifest):
        about = {"strategy": router.strategy or "cascade", "default": router.default}
        graph.add(Vertex(Address.of("router", router.name), "router", router.strategy or "cascade", router, about))


def link_uses(graph: AgentGraph, manifest: Manifest) -> None:
    """From every agent and router to its models, tools and knowledge."""
    for agent in [*parts.agents(manifest), *parts.routers(manifest)]:
        source = address_of(graph, agent.name)
        for alias in [*aliases(agent), *_encoder(graph, agent), *_judges(agent)]:
            graph.link(Link(source, Address.of("model", alias), "uses"))
        for alias in agent.alternatives:
            graph.link(Link(source, Address.of("model", alias), "fallback"))
        for tool in agent.tools:
            graph.link(Link(source, Address.of("tool", tool), "uses"))
        for knowledge in agent.knowledge:
            graph.link(Link(source, Address.of("knowledge", knowledge), "uses"))


def _judges(agent: AgentEntry) -> list[str]:
    """The models that judge its answers: what it sees and says reaches them."""
    gate = gate_of(agent.escalate_when) if agent.escalate_to else {}
    return [str(signs["model"]) for name, signs in gate.items() if name == "judge"]


def _encoder(graph: AgentGraph, router: AgentEntry) -> list[str]:
    """Its encoder, where that is a model of the manifest."""
    alias = router.encoder or ""
    return [alias] if alias and Address.of("model", alias) in graph else []


def link_routes(graph: AgentGraph, manifest: Manifest) -> None:
    """From every router to the agents that it may choose, and to its default."""
    for router in parts.routers(manifest):
        source = Address.of("router", router.name)
        for route in router.routes:
            graph.link(Link(source, address_of(graph, target_of(route)), "route", _label(route)))
        if router.default:
            graph.link(Link(source, address_of(graph, router.default), "default"))


def link_escalations(graph: AgentGraph, manifest: Manifest) -> None:
    """From every agent to the one that takes over."""
    for agent in [*parts.agents(manifest), *parts.routers(manifest)]:
        if agent.escalate_to:
            source, target = address_of(graph, agent.name), address_of(graph, agent.escalate_to)
            graph.link(Link(source, target, "escalate", ", ".join(words_of(agent.escalate_when))))


def choose_entry(graph: AgentGraph, manifest: Manifest) -> None:
    """Where requests enter: what the manifest names, else the first router that no router leads to, else the only agent."""
    named = manifest.deployment.entry
    if named:
        graph.entry = address_of(graph, named)
        return
    routers = graph.vertices("router")
    tops = [router for router in routers if not graph.into(router.address, "route", "default")]
    candidates = tops or routers or graph.vertices("specialist") or graph.vertices("escalation")
    graph.entry = candidates[0].address if candidates else ""


def add_nodes(graph: AgentGraph, manifest: Manifest) -> None:
    """Every node of a distributed deployment, with what runs on it."""
    for node in manifest.deployment.nodes:
        address = Address.of("node", node.id)
        graph.add(Vertex(address, "node", "hub" if node.hub else "", node))
        for agent in node.agents:
            name = agent.name if isinstance(agent, AgentEntry) else agent
            graph.link(Link(address_of(graph, name), address, "runs_on"))
        for model in node.models:
            alias = model if isinstance(model, str) else model.alias
            graph.link(Link(Address.of("model", alias), address, "runs_on"))


def address_of(graph: AgentGraph, name: str) -> str:
    """The address of an agent or a router of this name."""
    router = Address.of("router", name)
    return router if router in graph else Address.of("agent", name)


def target_of(route: Route | str) -> str:
    """The agent that a route leads to."""
    return route if isinstance(route, str) else route.to


def _label(route: Route | str) -> str:
    if isinstance(route, str):
        return ""
    when = route.when
    return when.regex or ", ".join(when.keywords or ())
