"""What servers tell of a model only while it is loaded, handed to the endpoints that serve. It makes no other revision: else each
first load would."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.deploy.deployment import Deployment
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


_NOTHING: Final[Mapping[str, Told]] = {}


class ToldOf:
    """What was told at the last look, for each revision that serves or drains: it is bound by its own manifest, and no other one
    changes that."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], dict[str, Told]] = {}

    def see(self, deployments: Iterable[Deployment], state_of: Callable[[Blueprint], ObservedState]) -> bool:
        """Look at these, and tell whether anything is new. Of an endpoint that a revision is not bound to any more, as one that
        drains, what it heard last holds."""
        now: dict[tuple[str, int], dict[str, Told]] = {}
        for each in deployments:
            key = (each.name, each.revision)
            told = {**self._told.get(key, _NOTHING), **_told_of(each.blueprint, state_of(each.blueprint))}
            if told:  # a revision that heard nothing is nothing new
                now[key] = told
        new, self._told = now != self._told, now
        return new

    def held_by(self, deployment: Deployment, spec: EndpointSpec) -> EndpointSpec:
        """An endpoint of a deployment with what its server tells now, or told before the model was unloaded (``observe`` keeps
        that); what it does not tell is as when the endpoint was made."""
        now = self._told.get((deployment.name, deployment.revision), _NOTHING).get(spec.id)
        if now is None:
            return spec
        slots = now.slots or spec.slots
        fewer = spec.battery_slots if spec.battery_slots is None else max(1, slots // 2)
        residence = replace(spec.residence, memory=now.holds) if spec.residence and now.holds else spec.residence
        spec = replace(spec, slots=slots, battery_slots=fewer, residence=residence)
        return spec if now.context is None else replace(spec, context=now.context, bounded=now.bounded)


def _told_of(blueprint: Blueprint, observed: ObservedState) -> dict[str, Told]:
    """Of its endpoints whose models are loaded on request, by their ids."""
    there = [endpoint for each in bind_all(blueprint, observed).values() for endpoint in each.endpoints]
    return {each.id: Told(each.context, each.slots, each.bounded, each.holds) for each in there if tells_late(each)}
