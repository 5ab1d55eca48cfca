"""The graph as JSON."""

from __future__ import annotations

import json

from orchestrator.graph.graph import AgentGraph


def render_json(graph: AgentGraph) -> str:
    """An object with ``name``, ``type``, ``entry``, ``vertices`` and ``links``; keys and order are stable."""
    drawn = {
        "name": graph.name,
        "type": graph.type,
        "entry": graph.entry,
        "vertices": [
            {"address": v.address, "kind": v.kind, "about": v.about, "facts": dict(v.facts)} for v in graph.vertices()
        ],
        "links": [
            {"source": link.source, "target": link.target, "kind": link.kind, "label": link.label}
            for link in graph.links()
        ],
    }
    return json.dumps(drawn, indent=2, ensure_ascii=False) + "\n"
