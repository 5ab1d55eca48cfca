"""The graph as a tree for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import FLOW, Link
from orchestrator.graph.render.words import LINK_WORDS, PLURALS, counted, shortened
from orchestrator.graph.vertex import Vertex, VertexKind

_WIDTH: Final = 64
_RESOURCES: Final[tuple[VertexKind, ...]] = ("model", "tool", "knowledge")


def render_text(graph: AgentGraph) -> str:
    """The way of a request as a tree from the entry, then what it uses, then where it runs."""
    lines = [f"{graph.name}: {graph.type}, {counted(graph)}", ""]
    seen: set[str] = set()
    if graph.entry:
        lines += ["a request enters at", *_tree(graph, graph.entry, seen), ""]
    lines += _unreached(graph, seen)
    for kind in _RESOURCES:
        lines += _list(graph, kind)
    lines += _nodes(graph)
    return "\n".join(lines).rstrip() + "\n"


def _tree(graph: AgentGraph, root: str, seen: set[str]) -> list[str]:
    """Depth first with an own stack: a chain of agents may be longer than Python recurses."""
    lines: list[str] = []
    stack: list[tuple[str, str, str]] = [("  ", "  ", root)]
    while stack:
        first, rest, address = stack.pop()
        again = address in seen
        lines.append(f"{first}{_title(graph[address])}{'  (see above)' if again else ''}")
        if again:
            continue
        seen.add(address)
        onward = graph.out_of(address, *FLOW)
        used = ", ".join(link.target for link in graph.out_of(address, "uses"))
        if used:
            lines.append(f"{rest}{'│' if onward else ' '}   uses {used}")
        stack.extend(reversed(list(_branches(onward, rest))))
    return lines


def _branches(links: list[Link], indent: str) -> Iterator[tuple[str, str, str]]:
    for link in links:
        last = link is links[-1]
        when = f" ({shortened(link.label, 40)})" if link.label else ""
        yield (
            f"{indent}{'└─' if last else '├─'} {LINK_WORDS[link.kind]}{when} ",
            f"{indent}{'   ' if last else '│  '}",
            link.target,
        )


def _title(vertex: Vertex) -> str:
    about = f"  {shortened(vertex.about, _WIDTH)}" if vertex.about else ""
    return f"{vertex.address}{about}"


def _unreached(graph: AgentGraph, seen: set[str]) -> list[str]:
    lost = [v for v in graph.vertices("router", "specialist", "escalation") if v.address not in seen]
    return ["no request reaches", *(f"  {_title(vertex)}" for vertex in lost), ""] if lost else []


def _list(graph: AgentGraph, kind: VertexKind) -> list[str]:
    found = graph.vertices(kind)
    if not found:
        return []
    width = max(len(vertex.address) for vertex in found)
    lines = [PLURALS[kind]]
    for vertex in found:
        fallbacks = ", ".join(link.target for link in graph.out_of(vertex.address, "fallback"))
        users = len(graph.into(vertex.address, "uses"))
        facts = [shortened(vertex.about, _WIDTH), f"used by {users}" if users else "not used"]
        facts += [f"falls back to {fallbacks}"] if fallbacks else []
        lines.append(f"  {vertex.address:<{width}}  {' · '.join(filter(None, facts))}")
    return [*lines, ""]


def _nodes(graph: AgentGraph) -> list[str]:
    lines = []
    for vertex in graph.vertices("node"):
        carried = ", ".join(link.source for link in graph.into(vertex.address, "runs_on")) or "nothing"
        lines.append(f"  {_title(vertex)}  runs {carried}")
    return ["nodes", *lines] if lines else []
