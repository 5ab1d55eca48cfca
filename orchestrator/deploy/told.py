"""What servers tell of a model only while it is loaded, handed to the endpoints that serve. It makes no other revision: else each
first load would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from orchestrator.core.blueprint import Blueprint
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.wanted import tells_late


@dataclass(frozen=True, slots=True)
class Told:
    """The ``context`` and the ``slots`` of an endpoint, whether it is the manifest that bounds the context, and the bytes that its
    model ``holds``; ``None`` and 0 where nobody told."""

    context: int | None = None
    slots: int | None = None
    bounded: bool = False
    holds: int = 0


def told_of(blueprints: Iterable[Blueprint], observed: ObservedState) -> dict[str, Told]:
    """Of the endpoints of these deployments whose models are loaded on request, by their ids."""
    bound = [each for blueprint in blueprints for each in bind_all(blueprint, observed).values()]
    there = [endpoint for each in bound for endpoint in each.endpoints if tells_late(endpoint)]
    return {each.id: Told(each.context, each.slots, each.bounded, each.holds) for each in there}


def with_told(spec: EndpointSpec, told: Mapping[str, Told]) -> EndpointSpec:
    """The endpoint with what its server told since it was made; what was told last holds until something else is."""
    now = told.get(spec.id)
    if now is None:
        return spec
    slots = now.slots or spec.slots
    fewer = spec.battery_slots if spec.battery_slots is None else max(1, slots // 2)
    residence = replace(spec.residence, memory=now.holds) if spec.residence and now.holds else spec.residence
    spec = replace(spec, slots=slots, battery_slots=fewer, residence=residence)
    return spec if now.context is None else replace(spec, context=now.context, bounded=now.bounded)
