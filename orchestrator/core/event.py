"""Events: the only way in which the data plane tells anything. Logs, the run store, metrics and `chat` all read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, Literal

from orchestrator.core.record import record

EventKind = Literal[
    "run.started",
    "run.routed",
    "run.model",  # a model call ended: endpoint, usage, took_ms
    "run.tool",  # a tool call ended
    "run.retry",
    "run.fallback",
    "run.escalated",
    "run.delta",  # a piece of the answer's text, for the caller only
    "run.note",  # something about the answer that its reader should know
    "run.finished",  # `result` holds the Result
    "approval.asked",  # a run waits for a person
    "approval.decided",  # a person decided, or nobody in time: `state`, `by`
    "approval.notified",  # people were told by a channel, or `error` says why not
    "delivery.deferred",  # a run waits for its target: `delivery`, `agent`, `away`
    "delivery.tried",  # the target is still away: `error`
    "delivery.ended",  # it was answered, failed, has expired or was taken back: `status`
    "endpoint.state",  # an endpoint's health changed
    "model.loading",  # a model is brought into memory, with the reason
    "model.loaded",  # it is there: `took_s`, and `memory` in bytes where the server tells it
    "model.load_failed",
    "model.unloaded",  # its memory is free again, with the reason: another one needs it, or nobody needed the model
    "model.unload_failed",
    "apply.step",
    "apply.finished",  # an apply is carried out: `steps` is how many it took
    "server.state",  # a server that we started is in another state: `server`, `state`, `why`
    "mesh.node",  # a node is in another state: `node`, `state`
    "mesh.board",  # what all nodes share can be reached again, or not any more
    "mesh.lease",  # this node holds a lease from now on, or not any more: `key`, `held`, `epoch`
    "mesh.assigned",  # this node leads, and has placed agents anew: `moved`
    "mesh.rollout",  # this node leads, and a manifest has come further: `generation`, `state`, `node`, `taken`, `why`
    "mesh.unserved",  # this node cannot serve what is wanted of it: `generation`, `error`
    "mesh.holds",  # this node holds other agents than before
    "mesh.lost",  # a node did not answer as it should: `request`, `node`, `error`
    "mesh.failed",  # this node had a fault while it answered
    "mesh.refused",  # something that came was left aside: `error`
    "mesh.unsent",  # something could not be sent: `error`
    "revision.activated",
    "revision.drained",
]
DELTA: Final = "run.delta"


@record
class Event:
    """Something that happened. ``at`` is seconds of the wall clock since 1970; ``run`` is the run's id, or empty."""

    kind: EventKind
    at: float
    deployment: str = ""
    revision: int = 0
    run: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
