"""Small manifests for tests of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.core.diagnostic import Diagnostic
from orchestrator.graph.build import build, check
from orchestrator.graph.compile import Compiled, compile_manifest
from orchestrator.graph.graph import AgentGraph
from orchestrator.manifest.located import locate
from orchestrator.manifest.spec.manifest import Manifest

FOLDER = Path("/shop")

DESK: dict[str, Any] = {
    "models": [
        {"alias": "large", "primary": True, "fallback": ["small"]},
        {"alias": "small", "tasks": ["routing"]},
    ],
    "agents": [
        {"name": "front", "role": "router", "model": "small", "routes": ["orders", "faq"], "default": "faq"},
        {"name": "orders", "model": ["large", "small"], "tools": ["database"], "escalate_to": "person"},
        {"name": "faq", "model": "small", "knowledge": ["docs"]},
        {"name": "person", "role": "escalation", "human": {}},
    ],
    "tools": [{"name": "database", "path": "data.csv"}],
    "knowledge": [{"name": "docs", "path": "docs"}],
}
"""A router, two specialists, a person; nothing is unused."""


def manifest(**deployment: Any) -> Manifest:
    """A resolved manifest: what stands in ``deployment``, on a single device."""
    return Manifest.model_validate({"deployment": {"type": "single-device", **deployment}})


def graph(**deployment: Any) -> AgentGraph:
    """Its graph."""
    return build(manifest(**deployment), "shop")


def compiled(**deployment: Any) -> Compiled:
    """Its graph and blueprint."""
    written = manifest(**deployment)
    return compile_manifest(written, "shop", locate(written, FOLDER), lambda address: None)


def findings(**deployment: Any) -> list[Diagnostic]:
    """What the proofs say of it."""
    return check(graph(**deployment), lambda address: None)


def links(drawn: AgentGraph, *kinds: Any) -> list[str]:
    """Its links as short texts."""
    return [f"{link.source} {link.kind} {link.target}" for link in drawn.links(*kinds)]
