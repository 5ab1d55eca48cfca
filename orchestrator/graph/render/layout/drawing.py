"""Boxes and curves of a graph, in pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import Link
from orchestrator.graph.render.layout.columns import columns_of
from orchestrator.graph.render.layout.layered import Chain, Layered, Neighbours, cut
from orchestrator.graph.render.layout.order import arrange
from orchestrator.graph.render.layout.spacing import space
from orchestrator.graph.vertex import Vertex, VertexKind

Point = tuple[float, float]

GAP: Final = 12.0
"""Pixels between two boxes of a column."""
JOINT_HEIGHT: Final = 2.0
PARALLEL: Final = 8.0
"""Pixels between two arrows that join the same two boxes."""
_ARROW: Final = 6.0
_GROUPS: Final[dict[VertexKind, int]] = {"model": 1, "tool": 2, "knowledge": 3, "node": 4}


@dataclass(frozen=True, slots=True)
class Box:
    """Where a vertex stands: its top left corner and its size."""

    vertex: Vertex
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A link as points: straight inside a column (even pairs), a curve between columns; the arrow is at the last one."""

    link: Link
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that is drawn, within ``width`` by ``height``."""

    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]
    width: float
    height: float


def lay_out(graph: AgentGraph, size_of: Callable[[Vertex], tuple[float, float]]) -> Drawing:
    """Lay a graph out from left to right; ``size_of`` gives the width and height that a vertex needs."""
    layered = cut(graph, columns_of(graph))
    sizes = {vertex.address: size_of(vertex) for vertex in graph.vertices()}
    heights = [sizes[address][1] if address else JOINT_HEIGHT for address in layered.addresses]
    arrange(layered, heights, GAP, lambda address: _GROUPS.get(graph[address].kind, 0))
    neighbours = layered.neighbours()
    middles = space(layered, neighbours, heights, GAP)
    lefts, widths = _column_places(layered, neighbours, sizes, middles)
    sides = _sides(layered, lefts, widths)
    boxes = _boxes(graph, layered, heights, sides, middles)
    curves = tuple(Curve(chain.link, _points(chain, sides, middles, shift)) for chain, shift in _shifted(layered))
    right = max((left + width for left, width in zip(lefts, widths, strict=True)), default=0.0)
    bottom = max((box.y + box.height for box in boxes), default=0.0)
    return Drawing(tuple(boxes), curves, right, bottom)


def _column_places(
    layered: Layered, neighbours: Neighbours, sizes: dict[str, tuple[float, float]], middles: list[float]
) -> tuple[list[float], list[float]]:
    """Left edge and width of every column; the room between two grows with how steep its curves are."""
    widths = [
        max((sizes[layered.addresses[stop]][0] for stop in column if layered.addresses[stop]), default=0.0)
        for column in layered.columns
    ]
    lefts, x = [], 0.0
    for column, width in zip(layered.columns, widths, strict=True):
        lefts.append(x)
        steepest = max(
            (abs(middles[stop] - middles[other]) for stop in column for other in neighbours.right[stop]), default=0.0
        )
        x += width + 72 + min(160.0, steepest * 0.12)
    return lefts, widths


def _sides(layered: Layered, lefts: list[float], widths: list[float]) -> dict[int, tuple[float, float]]:
    """Where curves meet a stop: the x of its left and of its right side. Boxes are as wide as their column."""
    return {
        stop: (left, left + width)
        for column, left, width in zip(layered.columns, lefts, widths, strict=True)
        for stop in column
    }


def _boxes(
    graph: AgentGraph,
    layered: Layered,
    heights: list[float],
    sides: dict[int, tuple[float, float]],
    middles: list[float],
) -> list[Box]:
    boxes = []
    for stop, address in enumerate(layered.addresses):
        if address:
            left, right = sides[stop]
            boxes.append(Box(graph[address], left, middles[stop] - heights[stop] / 2, right - left, heights[stop]))
    return boxes


def _shifted(layered: Layered) -> list[tuple[Chain, float]]:
    """Every chain with how far it is moved up or down, so that arrows between the same two boxes lie side by side."""
    groups: dict[tuple[int, int], list[Chain]] = {}
    for chain in layered.chains:
        groups.setdefault((chain.stops[0], chain.stops[-1]), []).append(chain)
    return [
        (chain, (index - (len(chains) - 1) / 2) * PARALLEL)
        for chains in groups.values()
        for index, chain in enumerate(chains)
    ]


def _points(
    chain: Chain, sides: dict[int, tuple[float, float]], middles: list[float], shift: float
) -> tuple[Point, ...]:
    first, last = chain.stops[0], chain.stops[-1]
    if first == last or not _ordered(chain, sides):
        down = 8.0 if first == last else 0.0
        return ((sides[first][1], middles[first] - down), (sides[last][1] + _ARROW, middles[last] + down))
    points: list[Point] = []
    for stop, after in pairwise(chain.stops):
        ends = shift if stop == first else 0.0, shift if after == last else 0.0
        points.append((sides[stop][1], middles[stop] + ends[0]))
        points.append((sides[after][0], middles[after] + ends[1]))
    if chain.backward:
        points.reverse()
        points[-1] = (points[-1][0] + _ARROW, points[-1][1])
    else:
        points[-1] = (points[-1][0] - _ARROW, points[-1][1])
    return tuple(points)


def _ordered(chain: Chain, sides: dict[int, tuple[float, float]]) -> bool:
    return sides[chain.stops[0]][0] < sides[chain.stops[-1]][0]
