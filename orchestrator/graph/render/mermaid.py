"""The graph as a Mermaid flowchart."""

from __future__ import annotations

from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import Link, LinkKind
from orchestrator.graph.render.words import shortened
from orchestrator.graph.vertex import Vertex, VertexKind

_SHAPES: Final[dict[VertexKind, tuple[str, str]]] = {
    "router": ("{{", "}}"),
    "specialist": ("[", "]"),
    "escalation": ("[/", "/]"),
    "model": ("([", "])"),
    "tool": ("[[", "]]"),
    "knowledge": ("[(", ")]"),
    "node": ("(", ")"),
}
_ARROWS: Final[dict[LinkKind, str]] = {
    "route": "==>",
    "default": "==>",
    "escalate": "-.->",
    "uses": "-->",
    "fallback": "-.->",
    "runs_on": "---",
}
_COLOURS: Final[dict[VertexKind, str]] = {
    "router": "fill:#dbeafe,stroke:#2563eb,color:#111",
    "specialist": "fill:#dcfce7,stroke:#16a34a,color:#111",
    "escalation": "fill:#fee2e2,stroke:#dc2626,color:#111",
    "model": "fill:#ede9fe,stroke:#7c3aed,color:#111",
    "tool": "fill:#fef3c7,stroke:#b45309,color:#111",
    "knowledge": "fill:#ccfbf1,stroke:#0f766e,color:#111",
    "node": "fill:#e5e7eb,stroke:#4b5563,color:#111",
}


def render_mermaid(graph: AgentGraph) -> str:
    """A flowchart from left to right; identifiers are numbered, since addresses hold characters that Mermaid reserves."""
    ids = {vertex.address: f"v{number}" for number, vertex in enumerate(graph.vertices())}
    lines = ["flowchart LR"]
    if graph.entry:
        lines += ['  request(["request"])', f"  request --> {ids[graph.entry]}"]
    lines += [_vertex(vertex, ids[vertex.address]) for vertex in graph.vertices()]
    lines += [_link(link, ids) for link in graph.links()]
    kinds = dict.fromkeys(vertex.kind for vertex in graph.vertices())
    lines += [f"  classDef {kind} {_COLOURS[kind]}" for kind in kinds]
    return "\n".join(lines) + "\n"


def _vertex(vertex: Vertex, id_: str) -> str:
    opening, closing = _SHAPES[vertex.kind]
    about = f"<br/><small>{_escaped(shortened(vertex.about, 40))}</small>" if vertex.about else ""
    return f'  {id_}{opening}"{_escaped(vertex.name)}{about}"{closing}:::{vertex.kind}'


def _link(link: Link, ids: dict[str, str]) -> str:
    words = f"{link.kind}: {shortened(link.label, 40)}" if link.label else link.kind
    return f'  {ids[link.source]} {_ARROWS[link.kind]}|"{_escaped(words)}"| {ids[link.target]}'


def _escaped(text: str) -> str:
    return "".join(character if character not in '&"<>#;`' else f"#{ord(character)};" for character in text)
