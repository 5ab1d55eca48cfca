"""The graph for Graphviz."""

from __future__ import annotations

from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import Link, LinkKind
from orchestrator.graph.render.words import shortened
from orchestrator.graph.vertex import Vertex, VertexKind

_SHAPES: Final[dict[VertexKind, str]] = {
    "router": "diamond",
    "specialist": "box",
    "escalation": "octagon",
    "model": "cylinder",
    "tool": "component",
    "knowledge": "folder",
    "node": "box3d",
}
_STYLES: Final[dict[LinkKind, str]] = {
    "route": "bold",
    "default": "solid",
    "escalate": "dashed",
    "uses": "solid",
    "fallback": "dotted",
    "runs_on": "dotted",
}


def render_dot(graph: AgentGraph) -> str:
    """A ``digraph`` from left to right."""
    lines = [f"digraph {_quoted(graph.name)} {{", "  rankdir=LR;", "  node [fontname=Helvetica];"]
    lines += [_vertex(vertex, vertex.address == graph.entry) for vertex in graph.vertices()]
    lines += [_link(link) for link in graph.links()]
    return "\n".join([*lines, "}"]) + "\n"


def _vertex(vertex: Vertex, entry: bool) -> str:
    about = f"\n{shortened(vertex.about, 40)}" if vertex.about else ""
    peripheries = ", peripheries=2" if entry else ""
    label = _quoted(f"{vertex.name}{about}")
    return f"  {_quoted(vertex.address)} [label={label}, shape={_SHAPES[vertex.kind]}{peripheries}];"


def _link(link: Link) -> str:
    words = f"{link.kind}: {shortened(link.label, 40)}" if link.label else link.kind
    ends = f"{_quoted(link.source)} -> {_quoted(link.target)}"
    return f"  {ends} [label={_quoted(words)}, style={_STYLES[link.kind]}];"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
