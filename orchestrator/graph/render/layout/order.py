"""The order of the stops in each column.

Those who answer come first: few crossings of the ways of a request, by the barycentre heuristic in sweeps to the right and
to the left (Sugiyama et al. 1981), counted with a tree of sums (Barth, Jünger, Mutzel 2004); where it makes no difference
they stand as in the manifest. Then what they use, grouped by kind, as high as its users; then the joints of long
links, as high as where they lead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from orchestrator.graph.link import FLOW
from orchestrator.graph.render.layout.layered import Layered, Neighbours
from orchestrator.graph.render.layout.spacing import settle, space

SWEEPS: Final = 12
"""Pairs of sweeps; the best order that was seen is kept."""

GroupOf = Callable[[str], int]
"""For an address that is no part of the flow the number of its group, else 0."""


def arrange(layered: Layered, heights: Sequence[float], gap: float, group_of: GroupOf) -> None:
    """Reorder the columns in place."""
    flow = layered.neighbours(FLOW)
    reduce_crossings(layered, flow)
    middles = space(layered, flow, heights, gap)
    every, users = layered.neighbours(), _users(layered)
    for column in layered.columns:
        vertices = [stop for stop in column if layered.addresses[stop]]
        groups = {stop: group_of(layered.addresses[stop]) for stop in vertices}
        if any(groups.values()):
            _line_up(vertices, groups, users, middles)
            settle(vertices, [middles[stop] for stop in vertices], (heights, gap), middles)
    for number in range(len(layered.columns) - 1, -1, -1):
        column = layered.columns[number]
        for joint in (stop for stop in column if not layered.addresses[stop]):
            middles[joint] = _mean([middles[other] for other in every.right[joint]])
        column.sort(key=middles.__getitem__)


def reduce_crossings(layered: Layered, neighbours: Neighbours) -> None:
    """Reorder the columns in place. Equal barycentres keep their order."""
    best = [list(column) for column in layered.columns]
    fewest = crossings(layered, neighbours)
    for _ in range(SWEEPS):
        if fewest == 0:
            break
        _sweep(layered.columns, neighbours)
        found = crossings(layered, neighbours)
        if found < fewest:
            best, fewest = [list(column) for column in layered.columns], found
    layered.columns = best


def crossings(layered: Layered, neighbours: Neighbours) -> int:
    """How many pairs of links cross between neighbouring columns."""
    return sum(_between(neighbours, left, right) for left, right in pairwise(layered.columns))


def _line_up(vertices: list[int], groups: dict[int, int], users: list[list[int]], middles: list[float]) -> None:
    """Group what is used, each as high as its users; what nobody uses comes last in its group."""
    wanted = {stop: _mean([middles[user] for user in users[stop]], math.inf) for stop in vertices}
    vertices.sort(key=lambda stop: (groups[stop], wanted[stop]))
    lowest = max((want for want in wanted.values() if want < math.inf), default=0.0)
    for stop in vertices:
        middles[stop] = min(wanted[stop], lowest)


def _users(layered: Layered) -> list[list[int]]:
    """For each stop the vertices at the other end of the links that reach it."""
    users: list[list[int]] = [[] for _ in layered.addresses]
    for chain in layered.chains:
        users[chain.stops[-1]].append(chain.stops[0])
    return users


def _sweep(columns: list[list[int]], neighbours: Neighbours) -> None:
    for number in range(1, len(columns)):
        _sort(columns, number, number - 1, neighbours.left)
    for number in range(len(columns) - 2, -1, -1):
        _sort(columns, number, number + 1, neighbours.right)


def _sort(columns: list[list[int]], number: int, beside: int, neighbours: list[list[int]]) -> None:
    position = {stop: float(index) for index, stop in enumerate(columns[beside])}
    own = {
        stop: _mean([position[neighbour] for neighbour in neighbours[stop]], float(index))
        for index, stop in enumerate(columns[number])
    }
    columns[number].sort(key=own.__getitem__)


def _mean(values: list[float], otherwise: float = 0.0) -> float:
    return sum(values) / len(values) if values else otherwise


def _between(neighbours: Neighbours, left: list[int], right: list[int]) -> int:
    position = {stop: index for index, stop in enumerate(right)}
    ends = [end for stop in left for end in sorted(position[other] for other in neighbours.right[stop])]
    return _inversions(ends, len(right))


def _inversions(ends: list[int], size: int) -> int:
    """Pairs that stand in the wrong order, in O(n log n): a Fenwick tree of how many ends were seen so far."""
    tree = [0] * (size + 1)
    total = 0
    for seen, end in enumerate(ends):
        total += seen - _seen_up_to(tree, end + 1)
        index = end + 1
        while index <= size:
            tree[index] += 1
            index += index & -index
    return total


def _seen_up_to(tree: list[int], index: int) -> int:
    count = 0
    while index > 0:
        count += tree[index]
        index -= index & -index
    return count
