"""What is told of the nodes that a mesh has heard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.node.mesh import Mesh
from orchestrator.node.wire import Heartbeat


def load_told(beat: Heartbeat | None) -> dict[str, Any] | None:
    """What it said of its work half a second ago."""
    if beat is None:
        return None
    told = {"inflight": beat.inflight, "queued": beat.queued, "room": beat.room, "slots": beat.slots}
    return {**told, "service_ms": round(beat.service_ms, 1)}


def named(mesh: Mesh) -> Iterator[str]:
    """The nodes that its manifest names."""
    for node in mesh.member.desired.blueprint.get("nodes", ()) if mesh.member.desired else ():
        yield str(node["name"])
