"""What both sides of the conversation by which a machine becomes a node have in common: its limits, and what is signed in it."""

from __future__ import annotations

from typing import Final

from orchestrator.app.fleet.keys import canonical

LARGEST: Final = 64 * 1024
"""Bytes of a question or an answer."""
PATIENCE: Final = 10.0
"""Seconds that a conversation may take."""


def signed_words(op: str, fleet: str, node: str, request: str = "") -> bytes:
    """What a node signs with its NKey, so that the hub does something for it."""
    return b"orchestrator-fleet-v1\0" + canonical([op, fleet, node, request])
