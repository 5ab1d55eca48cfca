"""Words that several drawings share."""

from __future__ import annotations

from collections import Counter
from typing import Final

from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.link import LinkKind
from orchestrator.graph.vertex import VertexKind

PLURALS: Final[dict[VertexKind, str]] = {
    "router": "routers",
    "specialist": "specialists",
    "escalation": "escalations",
    "model": "models",
    "tool": "tools",
    "knowledge": "knowledge sets",
    "node": "nodes",
}
"""Kinds of vertices in the order in which a request meets them."""

LINK_WORDS: Final[dict[LinkKind, str]] = {
    "route": "routes to",
    "default": "by default to",
    "escalate": "escalates to",
    "uses": "uses",
    "fallback": "falls back to",
    "runs_on": "runs on",
}


def counted(graph: AgentGraph) -> str:
    """How many of what: ``1 router, 2 specialists, 3 models``."""
    found = Counter(vertex.kind for vertex in graph.vertices())
    singular = {kind: "knowledge set" if kind == "knowledge" else kind for kind in PLURALS}
    parts = [
        f"{found[kind]} {singular[kind] if found[kind] == 1 else PLURALS[kind]}" for kind in PLURALS if found[kind]
    ]
    return ", ".join(parts) or "nothing"


def shortened(text: str, length: int) -> str:
    """One line of at most ``length`` characters, cut at its end with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
