"""The layout of pictures: what must hold of every graph, shown on random ones."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import FLOW
from orchestrator.graph.render.layout.columns import columns_of
from orchestrator.graph.render.layout.drawing import GAP, Box, Drawing, lay_out
from orchestrator.graph.render.layout.layered import cut
from orchestrator.graph.render.layout.order import crossings, reduce_crossings
from orchestrator.graph.render.svg import render_svg
from orchestrator.graph.vertex import Vertex
from tests.graph.small import DESK, graph

NAMES = [f"a{number}" for number in range(12)]


def _size(vertex: Vertex) -> tuple[float, float]:
    return 100.0, 40.0 + 10 * (len(vertex.name) % 3)


@st.composite
def graphs(draw: st.DrawFn) -> AgentGraph:
    """Any graph, also faulty ones: agents that escalate round, routers that lead back, models that nobody uses."""
    count = draw(st.integers(1, len(NAMES)))
    names = NAMES[:count]
    one = st.sampled_from(names)
    models = [f"m{number}" for number in range(draw(st.integers(1, 3)))]
    agents: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        used = draw(st.lists(st.sampled_from(models), max_size=2, unique=True))
        agent: dict[str, Any] = {"name": name, "model": used or None}
        if index % 4 == 0:
            agent |= {"role": "router", "routes": draw(st.lists(one, max_size=6, unique=True))}
        agents.append(agent | {"escalate_to": draw(st.none() | one)})
    fallback = draw(st.lists(st.sampled_from(models), max_size=2, unique=True))
    entries = [{"alias": model, "fallback": fallback} for model in models]
    return graph(agents=agents, models=entries, nodes=[{"id": "n", "agents": names[:2], "models": models[:1]}])


def _overlap(one: Box, other: Box) -> bool:
    apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
    apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not (apart_x or apart_y)


def _hit(drawing: Drawing) -> list[str]:
    """Level pieces of links that run through a box that they do not begin or end at."""
    hit = []
    for curve in drawing.curves:
        for (x, y), (to_x, to_y) in pairwise(curve.points):
            if abs(y - to_y) > 0.01:
                continue
            for box in drawing.boxes:
                if box.vertex.address in (curve.link.source, curve.link.target):
                    continue
                left, right = sorted((x, to_x))
                inside = left < box.x + box.width - 0.01 and right > box.x + 0.01
                if inside and box.y + 0.01 < y < box.y + box.height - 0.01:
                    hit.append(f"{curve.link} through {box.vertex.address}")
    return hit


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_boxes_never_overlap_and_no_link_runs_through_one(drawn: AgentGraph) -> None:
    """Whatever the graph is."""
    drawing = lay_out(drawn, _size)
    assert len(drawing.boxes) == len(drawn)
    assert len(drawing.curves) == len(drawn.links())
    assert [pair for pair in combinations(drawing.boxes, 2) if _overlap(*pair)] == []
    assert _hit(drawing) == []


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_everything_lies_within_the_drawing(drawn: AgentGraph) -> None:
    """Nothing is cut off at an edge, and boxes of a column keep their distance."""
    drawing = lay_out(drawn, _size)
    for box in drawing.boxes:
        assert box.x >= 0 and box.y >= -0.01
        assert box.x + box.width <= drawing.width + 0.01 and box.y + box.height <= drawing.height + 0.01
    for one, other in combinations(drawing.boxes, 2):
        if one.x == other.x:
            above, below = sorted((one, other), key=lambda box: box.y)
            assert below.y - (above.y + above.height) >= GAP - 0.01


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_reordering_never_adds_a_crossing(drawn: AgentGraph) -> None:
    """The best order that was seen is kept."""
    layered = cut(drawn, columns_of(drawn))
    flow = layered.neighbours(FLOW)
    before = crossings(layered, flow)
    reduce_crossings(layered, flow)
    assert crossings(layered, flow) <= before


def _company(teams: int, members: int) -> AgentGraph:
    """A router over routers over agents; members are named across the teams, so that their order must be found."""
    names = [f"agent-{number}" for number in range(teams * members)]
    agents: list[dict[str, Any]] = [{"name": name, "model": "m"} for name in names]
    agents += [
        {"name": f"team-{team}", "role": "router", "routes": names[team::teams], "model": "m"} for team in range(teams)
    ]
    agents.append({"name": "front", "role": "router", "routes": [f"team-{team}" for team in range(teams)]})
    return graph(agents=agents, models=[{"alias": "m"}])


@pytest.mark.parametrize(("teams", "members"), [(1, 3), (4, 5), (5, 12)])
def test_the_ways_of_a_request_through_a_tree_do_not_cross(teams: int, members: int) -> None:
    """3, 20 and 60 agents under their routers."""
    drawing = lay_out(_company(teams, members), _size)
    middle = {box.vertex.address: box.y + box.height / 2 for box in drawing.boxes}
    routes = [curve.link for curve in drawing.curves if curve.link.kind == "route"]
    crossed = [
        (one, other)
        for one, other in combinations(routes, 2)
        if (middle[one.source] - middle[other.source]) * (middle[one.target] - middle[other.target]) < 0
        and one.source.split(".")[1][:4] == other.source.split(".")[1][:4]
    ]
    assert crossed == []


def test_agents_stand_in_the_order_of_the_manifest() -> None:
    """Where no crossing can be saved, the reader finds what they wrote where they wrote it."""
    agents = [{"name": name, "model": model} for name, model in (("z", "n"), ("a", "m"), ("k", "n"))]
    router = {"name": "front", "role": "router", "routes": ["z", "a", "k"]}
    drawing = lay_out(graph(agents=[router, *agents], models=[{"alias": "m"}, {"alias": "n"}]), _size)
    column = sorted((box for box in drawing.boxes if box.vertex.kind == "specialist"), key=lambda box: box.y)
    assert [box.vertex.name for box in column] == ["z", "a", "k"]


def test_what_is_used_stands_behind_those_who_use_it() -> None:
    """From left to right: router, specialists, escalation, models and tools, fallbacks."""
    column = columns_of(graph(**DESK))
    assert [
        column[address]
        for address in ("router.front", "agent.orders", "agent.person", "tool.database", "model.large", "model.small")
    ] == [0, 1, 2, 3, 3, 4]


def test_arrows_between_the_same_two_lie_side_by_side() -> None:
    """A route and the default to one agent are both seen."""
    drawing = lay_out(graph(**DESK), _size)
    ends = [curve.points for curve in drawing.curves if curve.link.target == "agent.faq"]
    assert len({points[-1][1] for points in ends}) == len(ends) == 2


def test_a_link_to_itself_and_a_link_back_are_drawn() -> None:
    """Faulty graphs are drawn too, so that the fault can be seen."""
    agents = [
        {"name": "front", "role": "router", "routes": ["a", "front"]},
        {"name": "a", "escalate_to": "front"},
    ]
    drawn = render_svg(graph(agents=agents))
    assert drawn.count('class="link route"') == 3  # two routes and the legend
    assert drawn.count('class="link escalate"') == 2


def test_a_thousand_agents_are_laid_out() -> None:
    """The time grows with the links, not with their square."""
    assert len(lay_out(_company(20, 50), _size).boxes) == 1022
