"""A graph cut into columns, where every link joins neighbouring columns: long links get a joint in each column between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import Link, LinkKind


@dataclass(frozen=True, slots=True)
class Chain:
    """The way of a link through the columns, left to right. ``backward`` where the arrow points to the left, ``level``
    where both ends are in one column (in cycles of faulty graphs)."""

    link: Link
    stops: tuple[int, ...]
    backward: bool = False
    level: bool = False


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each stop, the stops that it is joined to in the column before and in the column behind."""

    left: list[list[int]]
    right: list[list[int]]


@dataclass(slots=True)
class Layered:
    """Stops are numbered: a vertex, or a joint of a long link (then its address is empty).

    ``columns`` holds the stops from top to bottom.
    """

    addresses: list[str] = field(default_factory=list)
    columns: list[list[int]] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)

    def stop(self, column: int, address: str = "") -> int:
        """A new stop at the bottom of a column."""
        while len(self.columns) <= column:
            self.columns.append([])
        number = len(self.addresses)
        self.addresses.append(address)
        self.columns[column].append(number)
        return number

    def neighbours(self, kinds: Collection[LinkKind] | None = None) -> Neighbours:
        """Who is joined to whom by links of these kinds, or by all."""
        found = Neighbours([[] for _ in self.addresses], [[] for _ in self.addresses])
        for chain in self.chains:
            if chain.level or (kinds is not None and chain.link.kind not in kinds):
                continue
            for left, right in pairwise(chain.stops):
                found.right[left].append(right)
                found.left[right].append(left)
        return found


def cut(graph: AgentGraph, column: Mapping[str, int]) -> Layered:
    """Cut a graph. Links of any kind that go far to one target share their joints: many thin lines become one."""
    layered = Layered()
    number = {address: layered.stop(column[address], address) for address in _depth_first(graph)}
    joints: dict[tuple[str, int], int] = {}
    for link in graph.links():
        ends = (link.source, link.target)
        backward = column[link.source] > column[link.target]
        start, end = reversed(ends) if backward else ends
        stops = [number[start]]
        for between in range(column[start] + 1, column[end]):
            key = (f"{start} {end}" if backward else end, between)
            if key not in joints:
                joints[key] = layered.stop(between)
            stops.append(joints[key])
        stops.append(number[end])
        layered.chains.append(Chain(link, tuple(stops), backward, column[start] == column[end]))
    return layered


def _depth_first(graph: AgentGraph) -> list[str]:
    """Every address, what belongs together side by side: the order that the manifest suggests."""
    seen: dict[str, None] = {}
    roots = [graph.entry] if graph.entry else []
    for root in [*roots, *(vertex.address for vertex in graph.vertices())]:
        stack = [root]
        while stack:
            address = stack.pop()
            if address not in seen:
                seen[address] = None
                stack.extend(link.target for link in reversed(graph.out_of(address)))
    return list(seen)
