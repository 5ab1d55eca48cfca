"""The table of drawings; the option ``--format`` of ``orchestrator graph`` and its help read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.ports.kind import Kind

Render = Callable[[AgentGraph], str]

_HERE: Final = "orchestrator.graph.render"
FORMATS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("text", "a tree for the terminal", f"{_HERE}.text:render_text"),
        Kind("mermaid", "for Markdown pages that draw Mermaid", f"{_HERE}.mermaid:render_mermaid"),
        Kind("dot", "for Graphviz", f"{_HERE}.dot:render_dot"),
        Kind("json", "vertices and links, for programs", f"{_HERE}.plain:render_json"),
        Kind("svg", "a picture for the browser, in light and dark", f"{_HERE}.svg:render_svg"),
    )
}


def render(graph: AgentGraph, format_: str) -> str:
    """The drawing of that name; raises ``KeyError`` for a name that is not in the table."""
    draw: Render = FORMATS[format_].load()
    return draw(graph)
