"""What is known of a model because its server is a process of ours: what it was told, and what it holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core.memory import Window
from orchestrator.plan.choosing import Surroundings, usual_context
from orchestrator.plan.observed import ObservedServer, StartedServer
from orchestrator.plan.wish import ON_REQUEST

if TYPE_CHECKING:
    from orchestrator.plan.binding import BoundEndpoint


def as_told(process: StartedServer, around: Surroundings) -> Surroundings:
    """The surroundings of what a process of ours loads on request: it keeps the cache that it was told to, whatever its models
    tell. As they are for one that an older version started, of which nobody knows."""
    if not process.slots:
        return around
    usual = usual_context(process.kind, around.device)
    return replace(around, told=Window(process.context or usual, process.slots, assumed=not process.context))


def in_processes(
    endpoints: Iterable[BoundEndpoint], there: Sequence[tuple[StartedServer, ObservedServer]]
) -> tuple[BoundEndpoint, ...]:
    """Endpoints at processes of ours, each with what is known of its process."""
    of: Mapping[str, StartedServer] = {server.api_base: process for process, server in there}
    return tuple(_in_process(each, of[each.api_base]) if each.api_base in of else each for each in endpoints)


def _in_process(endpoint: BoundEndpoint, process: StartedServer) -> BoundEndpoint:
    """It is given no more calls at once than it was told to work on. Most makes hold the model for as long as they run."""
    slots = min(filter(None, (endpoint.slots, process.slots)), default=None)
    if process.kind in ON_REQUEST:
        return replace(endpoint, slots=slots)
    return replace(endpoint, slots=slots, process=process.name, holds=process.memory)
