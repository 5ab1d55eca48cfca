"""Requests to the seed's distributed manifest, and where they belong."""

from __future__ import annotations

from typing import Final

from orchestrator.app.client import RuntimeClient
from orchestrator.core.request import Request

NAME: Final = "distributed-edge"
ASKED: Final = {
    "open a ticket: my screen is broken": ("customer-service", "edge-1"),
    "what is on my calendar tomorrow": ("scheduling", "edge-1"),
    "find the manual of the printer": ("documentation", "edge-2"),
    "the computer does not start, error 42": ("technical-support", "edge-2"),
}
"""Requests, with who answers and where. No model server runs: the agents of edge-2 say so, there."""


def misplaced(client: RuntimeClient) -> list[tuple[str, str, str, object]]:
    """Of the same 50 requests those whose agent or node is not that of the manifest."""
    wrong: list[tuple[str, str, str, object]] = []
    for number in range(50):
        text, expected = list(ASKED.items())[number % len(ASKED)]
        result = client.run(NAME, Request(text), None)
        if (result.agent, result.node) != expected:
            wrong.append((text, result.agent, result.node, result.error))
    return wrong
