"""The one table of what this version does not do: keys that it refuses by name, and keys that it accepts without acting on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.diagnostic import Severity

_AGENT: Final = {
    "sequence": "agents in a row",
    "parallel": "agents side by side",
    "join": "agents side by side",
    "review": "review loops",
    "each": "one run for each item",
    "uses": "agents written in Python",
    "a2a": "remote agents",
    "handoff": "handing over between agents",
    "mcp": "MCP servers",
    "http": "tools over HTTP",
}
_DEPLOYMENT: Final = {
    "guards": "checks of what goes in and out",
    "tests": "contract tests",
}

NOT_IN_THIS_VERSION: Final[Mapping[str, Mapping[str, str]]] = {
    "Manifest": {"guards": _DEPLOYMENT["guards"], "tests": _DEPLOYMENT["tests"]},
    "DeploymentSpec": _DEPLOYMENT,
    "AgentEntry": _AGENT,
    "ToolEntry": {
        "http": "tools over HTTP",
        "openapi": "tools from an OpenAPI file",
        "mcp": "MCP servers",
        "sql": "SQL tools outside `use: database`",
        "command": "command tools",
        "roles": "roles of callers",
        "idempotent": "repeats of tool calls",
        "cache": "caches of tool results",
        "args": "hand-written argument schemas",
    },
    "Coordination": {"nats": "the mesh"},
    "Security": {
        "keys": "API keys",
        "api_keys": "API keys",
        "roles": "roles of callers",
        "rate_limits": "rate limits",
        "zones": "data zones",
        "audit": "the audit log",
    },
    "Serve": {"tls": "TLS"},
}
"""By the model of the format: key -> what it belongs to."""

NOT_ACTED_ON: Final[tuple[tuple[str, str, Severity], ...]] = (
    ("deployment.hardware", "a profile's name describes: what the device has is measured", Severity.NOTE),
    ("deployment.hardware.cpus", "processors limit nothing yet", Severity.NOTE),
    ("deployment.monitoring", "metrics and alerts belong to a later version", Severity.WARNING),
    ("deployment.nodes[].models[].keep_alive", "the server decides how long a model stays loaded", Severity.WARNING),
    ("deployment.nodes[].models[].pinned", "the server decides how long a model stays loaded", Severity.WARNING),
)
"""Paths of keys that are accepted and kept, with the reason why nothing is done with them yet. ``[]`` is every item of a list."""

NOT_ACTED_ON_BY_ROUTERS: Final = (
    "instructions",
    "context",
    "max_tokens",
    "temperature",
    "timeout",
    "limits",
    "memory",
    "priority",
)
"""Keys of agents that have no effect on a router yet."""
