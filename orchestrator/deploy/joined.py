"""One endpoint that several revisions call. Pure."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import Target


def shared(one: EndpointSpec | None, other: EndpointSpec) -> EndpointSpec:
    """Two manifests may say different things of one endpoint: of calls at once the smaller number holds for both, and nobody's
    model is unloaded early."""
    if one is None:
        return other
    on_battery = [each for each in (one.battery_slots, other.battery_slots) if each is not None]
    both = one.residence.and_also(other.residence) if one.residence and other.residence else None
    return replace(
        other,
        slots=min(one.slots, other.slots),
        battery_slots=min(on_battery, default=None),
        residence=both or one.residence or other.residence,
        process=one.process or other.process,
    )


def kept(old: EndpointSpec | None, new: EndpointSpec) -> EndpointSpec:
    """The old target where it is the same, so that the scheduler does not judge the server afresh."""
    if old is not None and old.provider is new.provider and _same_target(old.target, new.target):
        return replace(new, target=old.target)
    return new


def _same_target(one: Target, other: Target) -> bool:
    keys = [target.api_key.reveal() if target.api_key else None for target in (one, other)]
    return keys[0] == keys[1] and replace(one, api_key=None) == replace(other, api_key=None)
