"""From a resolved manifest to vertices and links."""

from __future__ import annotations

from tests.graph.small import DESK, graph, links


def test_every_part_becomes_a_vertex_with_its_kind() -> None:
    """Routers have an address of their own kind."""
    kinds = {vertex.address: vertex.kind for vertex in graph(**DESK).vertices()}
    assert kinds == {
        "model.large": "model",
        "model.small": "model",
        "tool.database": "tool",
        "knowledge.docs": "knowledge",
        "agent.orders": "specialist",
        "agent.faq": "specialist",
        "agent.person": "escalation",
        "router.front": "router",
    }


def test_the_way_of_a_request_is_linked() -> None:
    """Routes, the default and escalations."""
    assert links(graph(**DESK), "route", "default", "escalate") == [
        "agent.orders escalate agent.person",
        "router.front route agent.orders",
        "router.front route agent.faq",
        "router.front default agent.faq",
    ]


def test_what_agents_need_is_linked_in_the_order_of_preference() -> None:
    """Models first to last, tools, knowledge; models to their fallbacks."""
    drawn = graph(**DESK)
    assert links(drawn, "uses") == [
        "agent.orders uses model.large",
        "agent.orders uses model.small",
        "agent.orders uses tool.database",
        "agent.faq uses model.small",
        "agent.faq uses knowledge.docs",
        "router.front uses model.small",
    ]
    assert links(drawn, "fallback") == ["model.large fallback model.small"]


def test_a_route_says_its_condition() -> None:
    """The label of a route is its pattern or its words."""
    agents = [
        {"name": "a"},
        {"name": "b"},
        {
            "name": "front",
            "role": "router",
            "routes": [{"to": "a", "when": {"regex": "ord"}}, {"to": "b", "when": {"keywords": ["bill", "pay"]}}],
        },
    ]
    assert [link.label for link in graph(agents=agents).links("route")] == ["ord", "bill, pay"]


def test_requests_enter_at_the_router_that_no_router_leads_to() -> None:
    """A router under another one is not the entry."""
    agents = [
        {"name": "inner", "role": "router", "routes": ["a"]},
        {"name": "outer", "role": "router", "routes": ["inner"]},
        {"name": "a"},
    ]
    assert graph(agents=agents).entry == "router.outer"


def test_the_entry_that_is_named_wins() -> None:
    """``entry`` may name any agent."""
    assert graph(**DESK, entry="faq").entry == "agent.faq"


def test_without_a_router_the_first_agent_is_the_entry() -> None:
    """And without any agent there is none."""
    assert graph(agents=[{"name": "a"}, {"name": "b"}]).entry == "agent.a"
    assert graph().entry == ""


def test_nodes_carry_agents_and_models() -> None:
    """What runs on a node is linked to it; short and long forms alike."""
    drawn = graph(
        models=[{"alias": "m"}],
        agents=[{"name": "a"}, {"name": "b"}],
        nodes=[{"id": "edge-1", "agents": ["a"], "models": ["m"], "hub": True}, {"id": "edge-2", "agents": ["b"]}],
    )
    assert links(drawn, "runs_on") == [
        "model.m runs_on node.edge-1",
        "agent.a runs_on node.edge-1",
        "agent.b runs_on node.edge-2",
    ]
    assert drawn["node.edge-1"].about == "hub"


def test_the_graph_is_frozen_when_it_is_built() -> None:
    """Stage 4 hands on a value."""
    assert graph(**DESK).frozen


def test_a_model_that_serves_where_a_node_stands_in_is_used() -> None:
    """So the proofs about zones look at it as at a fallback."""
    models = [{"alias": "phi-4-mini"}, {"alias": "qwen2.5-0.5b"}]
    agent = {"name": "orders", "model": "phi-4-mini", "alternatives": ["qwen2.5-0.5b"]}
    drawn = graph(type="distributed-edge", models=models, agents=[agent], nodes=[{"id": "a", "agents": ["orders"]}])
    assert links(drawn, "fallback") == ["agent.orders fallback model.qwen2.5-0.5b"]
