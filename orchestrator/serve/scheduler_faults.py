"""What the scheduler tells a caller whose call it gives up, and when waiting is hopeless. Pure rules."""

from __future__ import annotations

from math import ceil
from typing import Final

from orchestrator.core.errors import (
    DeadlinePassed,
    ModelError,
    ModelNotFound,
    NoModel,
    QueueFull,
    Refused,
    RunError,
    Unreachable,
    WouldMissDeadline,
)
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.ports.provider import Capability, Support
from orchestrator.serve.fallback import renewed, told_of
from orchestrator.serve.scheduler_choice import Lanes
from orchestrator.serve.scheduler_queue import Call, Lane

_WHAT_IS_SERVED: Final = "orchestrator status shows what is served."


def why_none(call: Call, lanes: Lanes, now: float) -> RunError:
    """No candidate can be used: its own last fault, else what is wrong with the first candidate that had one. Who was not sent
    is told nothing that would be the end of it, as a fault of the request is."""
    if call.error is not None:
        return _resting(call.error, call.lane.endpoint, now) if call.lane is not None else call.error
    known = [lane.endpoint for name in call.new.candidates if (lane := lanes.get(name)) is not None]
    for endpoint in known:
        if endpoint.last_error is not None:
            return _not_asked(_resting(told_of(endpoint.last_error), endpoint, now), endpoint, now)
    if known:
        first = known[0]
        return NoModel(f"{first.spec.id} cannot be used now: it is {first.state}", cure=_WHAT_IS_SERVED)
    names = ", ".join(call.new.candidates) or "none was given"
    return NoModel(f"no endpoint can take this call ({names})", cure=_WHAT_IS_SERVED)


def _not_asked(error: ModelError, endpoint: Endpoint, now: float) -> ModelError:
    """With how long the endpoint has still to be left alone, where it asked for that."""
    hold = endpoint.hold
    if hold is None or endpoint.refused_until is not None or hold.state == "loading":
        return error
    left = hold.until - now
    message = f"{error.message}; {endpoint.spec.id} asked for a pause, and is not asked again for {ceil(left)} s"
    return renewed(error, message=message, retry_after=left)


def _resting(error: ModelError, endpoint: Endpoint, now: float) -> ModelError:
    """With how long the endpoint rests, where this fault is the reason."""
    if endpoint.spec.started and isinstance(error, Unreachable):
        cure = "`orchestrator status` says how far it is"
        return renewed(error, message=f"{error.message}; its server is started again", cure=cure)
    until = endpoint.refused_until
    if until is None or not isinstance(error, (Refused, ModelNotFound)):
        return error
    message = f"{error.message}; {endpoint.spec.id} is not asked again for {ceil(until - now)} s"
    again = "`orchestrator apply` has it asked at once"
    cure = "; ".join(filter(None, [error.cure, f"{_get(endpoint)}, then {again}" if _lost(error) else again]))
    return renewed(error, message=message, cure=cure)


def _lost(error: ModelError) -> bool:
    return isinstance(error, ModelNotFound)


def _get(endpoint: Endpoint) -> str:
    """How its server has the model again."""
    target = endpoint.spec.target
    if endpoint.spec.capabilities.get(Capability.PULL) is Support.YES:
        address = target.api_base.removesuffix("/v1").removesuffix("/api")
        return f"orchestrator models pull {target.model} --endpoint {address}"
    return f"have {target.provider} serve {target.model} again"


def queue_full(lanes: tuple[Lane, ...]) -> QueueFull:
    """As many wait as may."""
    pause = lanes[0].endpoint.speed.calls.quantile(0.5) or 1.0
    return QueueFull(f"the queue of {_names(lanes)} is full", cure="Try again later.", retry_after=pause)


def waited_too_long(call: Call, now: float) -> QueueFull:
    """It waited as long as its class may."""
    waited = now - call.submitted
    if not call.may_begin:
        cure = f"Try again later, or raise queue.{call.new.priority}.timeout."
        return QueueFull(f"no place was free for {waited:.1f} s", cure=cure)
    return QueueFull(f"{_names(call.lanes)} had no free slot for {waited:.0f} s", cure="Try again later.")


def too_late(call: Call) -> DeadlinePassed:
    """Its deadline passed while no endpoint worked on it."""
    limit = max(0.0, call.new.deadline - call.submitted)
    last = f"; the last fault was: {call.error.message}" if call.error else ""
    return DeadlinePassed(f"the deadline passed after {limit:.1f} s, before an endpoint was free{last}")


def out_of_time(call: Call, now: float) -> DeadlinePassed | None:
    """The fault of a running call whose deadline has passed."""
    if now < call.new.deadline:
        return None
    return DeadlinePassed("the deadline passed before the model had answered")


def misses_deadline(call: Call, now: float, lanes: tuple[Lane, ...], *, next_in_line: bool) -> WouldMissDeadline | None:
    """Whether even a quick call could not end in time after those ahead of it; ``None`` also where too little is known.

    A quick call is the lower quartile of the last ones: shedding is for the hopeless, not for the unlucky. A model that is
    not in memory needs its load first.
    """
    need, of_load = float("inf"), 0.0
    for lane in lanes:
        load = lane.resident.least_wait(now) if lane.resident is not None else 0.0
        quick = lane.endpoint.speed.calls.quantile(0.25)
        if quick is None and not load:
            return None
        turns = 0 if next_in_line else lane.ahead_of(call) // lane.endpoint.most
        need, of_load = min((need, of_load), (load + (quick or 0.0) * (turns + 1), load))
    left_over = call.new.deadline - now
    if need <= left_over:
        return None
    load_part = f", {of_load:.1f} s of it to load the model" if of_load else ""
    return WouldMissDeadline(
        f"an answer from {_names(lanes)} takes {need:.1f} s or more{load_part}, and {left_over:.1f} s are left"
    )


def _names(lanes: tuple[Lane, ...]) -> str:
    return ", ".join(lane.endpoint.spec.id for lane in lanes)
