"""Which column each vertex stands in: those who answer by their distance from the entry, then what they use, then machines."""

from __future__ import annotations

from orchestrator.graph.graph import AgentGraph


def columns_of(graph: AgentGraph) -> dict[str, int]:
    """Column by address, from 0, without empty columns.

    Models, tools and document sets come behind all agents, so that what uses what is read in one direction; the
    fallbacks of a model come behind it.
    """
    distance = {address: layer for layer, addresses in enumerate(graph.layers()) for address in addresses}
    column = {v.address: distance[v.address] for v in graph.vertices("router", "specialist", "escalation")}
    first = max(column.values(), default=-1) + 1
    column |= {v.address: first for v in graph.vertices("model", "tool", "knowledge")}
    for address in sorted(distance, key=distance.__getitem__):
        for link in graph.out_of(address, "fallback"):
            if distance[link.target] > distance[address]:
                column[link.target] = max(column[link.target], column[address] + 1)
    last = max(column.values(), default=-1) + 1
    column |= {v.address: last for v in graph.vertices("node")}
    return _compact(column)


def _compact(column: dict[str, int]) -> dict[str, int]:
    used = {number: position for position, number in enumerate(sorted(set(column.values())))}
    return {address: used[number] for address, number in column.items()}
