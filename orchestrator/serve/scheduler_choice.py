"""Which endpoints a call may use as things stand. Pure rules over lanes; nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.deploy.endpoint import EndpointState
from orchestrator.serve.scheduler_queue import Call, Lane

Lanes = Mapping[str, Lane]
_SAYS: Final[Mapping[EndpointState, str]] = {
    "open": "rests after failures",
    "half_open": "is just tried again after failures",
    "stalled": "rests, as its calls made no progress",
    "rate_limited": "rests, as it takes no more calls for a while",
    "misconfigured": "refuses the key",
    "busy": "says that it is busy",
    "loading": "loads its model",
    "gone": "does not answer, or serves the model no more",
    "draining": "takes no new calls",
}
"""Of the states in which an endpoint is passed over."""


def left(call: Call, lanes: Lanes) -> list[Lane]:
    """The lanes of its candidates that it has not given up, best first."""
    return [
        lane
        for name in call.new.candidates
        if name not in call.given_up and (lane := lanes.get(name)) is not None and _fits(call, lane)
    ]


def _fits(call: Call, lane: Lane) -> bool:
    if lane.endpoint.removed:
        return False
    if call.needs_context is None:
        return True
    context = lane.endpoint.spec.context
    return context is not None and context > call.needs_context


def usable(call: Call, lanes: Lanes, now: float) -> tuple[Lane, ...]:
    """Where it may start or wait: those of the best rank that take calls, or will in time. Empty where none does. One that may
    hang is left to who has no other."""
    taking = [lane for lane in left(call, lanes) if lane.endpoint.serves_before(call.waits_until(lane.endpoint))]
    taking = [lane for lane in taking if not lane.endpoint.unheard.doubted(now)] or taking
    equals = call.new.candidates[: call.new.equals]
    if len(equals) > 1:
        same = tuple(lane for lane in taking if lane.endpoint.spec.id in equals)
        if same:
            return same
    return tuple(taking[:1])


def soon_usable(call: Call, lanes: Lanes) -> tuple[Lane, ...]:
    """Rate-limited ones that are free again in time; where none is usable, waiting for them is better than
    failing."""
    return tuple(
        lane
        for lane in left(call, lanes)
        if (hold := lane.endpoint.hold) is not None
        and hold.state == "rate_limited"
        and hold.until < call.waits_until(lane.endpoint)
    )


def least_bad(call: Call, lanes: Lanes) -> Lane | None:
    """The one to use although all look ill: those nearby first, then the fewest failures in a row, then the soonest to open.
    One in the cloud is a candidate only where policy lets the call go there, and nothing else would notice that it is back:
    it is not probed."""
    ill = [lane for lane in left(call, lanes) if lane.endpoint.may_be_forced]
    return min(ill, key=_illness, default=None)


def _illness(lane: Lane) -> tuple[bool, int, float]:
    breaker = lane.endpoint.breaker
    return lane.endpoint.spec.target.zone == "cloud", breaker.failures, breaker.opens_at


def passed_over(call: Call, lane: Lane, lanes: Lanes) -> tuple[str, ...]:
    """Those before it that this one is asked instead of, although none of them was tried: each with what is the matter, which may
    be that its model could not be loaded; of its equals, that it is busier."""
    better = call.new.candidates[: call.new.candidates.index(lane.endpoint.spec.id)]
    told = dict(call.unasked)
    return tuple(
        f"{each} was not asked: {told[each]}" if each in told else _standing(lanes[each])
        for each in better
        if each in told or (each in lanes and each not in call.given_up)
    )


def _standing(lane: Lane) -> str:
    endpoint = lane.endpoint
    about = f" ({endpoint.trouble})" if endpoint.trouble else ""
    if endpoint.unheard and endpoint.state not in _SAYS:
        return f"{endpoint.spec.id} gave the last calls no sign of life"
    busy = f"works on {endpoint.in_flight} of {endpoint.most} calls" if endpoint.in_flight else "was not asked"
    return f"{endpoint.spec.id} {_SAYS.get(endpoint.state, busy)}{about}"
