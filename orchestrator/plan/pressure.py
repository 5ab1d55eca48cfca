"""What of the device speaks for smaller models just now: a battery, memory that others have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import BoundEndpoint, bind_all
from orchestrator.plan.observed import ObservedState
from orchestrator.ports.device import Device, Power


@dataclass(frozen=True, slots=True)
class Pressure:
    """``saving``: deployments that should spare the device now, and why. ``starved``: endpoints whose model is not in memory
    and has no room there now, and why. Both are reasons to prefer another model, never to refuse a request. ``free``: bytes
    of memory that are free now, ``None`` where nobody knows: nothing is loaded ahead beyond that. ``absent``: endpoints whose
    server exited and is started again: who can answer without them does."""

    saving: Mapping[str, str] = field(default_factory=dict)
    starved: Mapping[str, str] = field(default_factory=dict)
    free: int | None = None
    absent: frozenset[str] = frozenset()


NONE = Pressure()


def pressure_of(blueprints: Iterable[Blueprint], observed: ObservedState) -> Pressure:
    """As things stand at this look."""
    all_ = list(blueprints)
    saving = {blueprint.name: why for blueprint in all_ if (why := on_battery(blueprint, observed.device))}
    free = _free(observed.device) if observed.device else None
    return Pressure(saving, dict(_starved(all_, observed)), free, frozenset(_absent(all_, observed)))


def _free(device: Device) -> int:
    return device.free + (device.free_on_cards or 0)


def on_battery(blueprint: Blueprint, device: Device | None) -> str:
    """Why a deployment spares the device: it runs on its battery. Empty where it does not, or the manifest does not ask for
    `power_management`; what that writes of the power goes before what is measured."""
    if not blueprint.resources.get("power_management"):
        return ""
    written = blueprint.hardware.get("power")
    power = Power(written) if written else device.power if device else None
    return f"the device runs {power}" if power is not None and power.source == "battery" else ""


def _starved(blueprints: list[Blueprint], observed: ObservedState) -> Iterator[tuple[str, str]]:
    """A model that is not loaded, larger than what is free and what our loaded models could give back. What they could give
    back counts: else the first that is loaded would keep all others out for ever."""
    device = observed.device
    if device is None:
        return
    told = {(server.api_base, model.id): model.loaded for server in observed.servers for model in server.models}
    endpoints = {each.id: each for each in _here(blueprints, observed)}
    held = sum(each.memory or 0 for each in endpoints.values() if told.get((each.api_base, each.model)))
    room = held + _free(device)
    for each in endpoints.values():
        if told.get((each.api_base, each.model)) is False and (each.memory or 0) > room:
            yield each.id, f"{each.model} needs {format_size(each.memory or 0)}, and {format_size(room)} can be had now"


def _absent(blueprints: list[Blueprint], observed: ObservedState) -> Iterator[str]:
    returning = tuple(f"{each.url}/" for each in observed.started.values() if each.returns and not each.answers)
    if returning:
        yield from (each.id for each in _here(blueprints, observed) if each.api_base.startswith(returning))


def _here(blueprints: list[Blueprint], observed: ObservedState) -> Iterator[BoundEndpoint]:
    for blueprint in blueprints:
        for bound in bind_all(blueprint, observed).values():
            yield from (endpoint for endpoint in bound.endpoints if endpoint.zone == "node")
