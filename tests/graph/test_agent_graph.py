"""The agent graph itself: vertices, links, what can be reached, cycles, layers."""

from __future__ import annotations

import pytest

from orchestrator.graph.graph import AgentGraph, FrozenGraphError
from orchestrator.graph.link import Link, LinkKind
from orchestrator.graph.vertex import Vertex


def _graph(*arrows: str, kind: LinkKind = "route") -> AgentGraph:
    """``"a>b"`` is a link; vertices are made as they are named."""
    graph = AgentGraph("shop", "single-device")
    for arrow in arrows:
        source, _, target = arrow.partition(">")
        for name in (source, target):
            if name not in graph:
                graph.add(Vertex(name, "specialist"))
        graph.link(Link(source, target, kind))
    return graph


def test_a_link_needs_both_ends() -> None:
    """A link to a vertex that is not there names it."""
    graph = _graph("a>b")
    with pytest.raises(KeyError, match="nobody"):
        graph.link(Link("a", "nobody", "route"))


def test_two_links_of_different_kinds_join_the_same_two() -> None:
    """A route and a default may lead to one agent; the same link twice is one."""
    graph = _graph("a>b", "a>b")
    graph.link(Link("a", "b", "default"))
    assert [link.kind for link in graph.out_of("a")] == ["route", "default"]
    assert [link.kind for link in graph.into("b", "default")] == ["default"]


def test_a_frozen_graph_cannot_change() -> None:
    """Once it is built, nothing is added to it."""
    graph = _graph("a>b")
    assert graph.freeze().frozen
    with pytest.raises(FrozenGraphError):
        graph.add(Vertex("c", "specialist"))


def test_what_can_be_reached_includes_the_start() -> None:
    """Only links of the asked kinds are followed."""
    graph = _graph("a>b", "b>c", "d>a")
    graph.link(Link("c", "d", "uses"))
    assert graph.reachable("a") == {"a", "b", "c"}
    assert graph.reachable("a", ("route", "uses")) == {"a", "b", "c", "d"}


def test_a_long_chain_is_followed_to_its_end() -> None:
    """Reachability does not recurse, so that its depth has no limit."""
    graph = _graph(*(f"v{number}>v{number + 1}" for number in range(5000)))
    assert len(graph.reachable("v0")) == 5001


def test_a_cycle_is_told_as_the_path_that_goes_round() -> None:
    """It begins and ends at its first vertex in the order of the manifest."""
    assert list(_graph("x>a", "a>b", "b>c", "c>a").cycles()) == [["a", "b", "c", "a"]]


def test_an_agent_that_leads_to_itself_is_a_cycle() -> None:
    """The shortest cycle of all."""
    assert list(_graph("a>a", "a>b").cycles()) == [["a", "a"]]


def test_each_tangle_gives_one_cycle() -> None:
    """A complete graph of n agents has thousands of cycles; one is told, since mending it is the next step."""
    names = "abcdefgh"
    tangle = [f"{one}>{other}" for one in names for other in names if one != other]
    assert len(list(_graph(*tangle).cycles())) == 1
    assert len(list(_graph("a>b", "b>a", "c>d", "d>c").cycles())) == 2


def test_layers_go_by_the_longest_distance() -> None:
    """A vertex stands behind everything that leads to it."""
    assert _graph("a>b", "b>c", "a>c", "c>d").layers() == [["a"], ["b"], ["c"], ["d"]]


def test_layers_ignore_cycles() -> None:
    """A faulty graph can be drawn too."""
    layers = _graph("a>b", "b>c", "c>a").layers()
    assert sorted(address for layer in layers for address in layer) == ["a", "b", "c"]
    assert len(layers) == 3
