"""How much memory models may take of a device, by what is written and what is measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.memory import Budget, Memory, limited
from orchestrator.plan.generations import outlives
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.pools import Hold, cards_of, room_in
from orchestrator.ports.device import Device

_BEYOND_ALL: Final = 2**62
"""Bytes that no model needs."""


def held_budget(blueprint: Blueprint, device: Device | None) -> int | None:
    """Bytes that models are held to. What is only measured bounds nothing: no model that works is unloaded or refused for our
    arithmetic."""
    budget = device_budget(blueprint, device)
    return budget.total if budget and budget.limit is not None else None


def device_budget(blueprint: Blueprint, device: Device | None) -> Budget | None:
    """What models may take of this device: the manifest's `hardware` goes before what is measured. ``None`` where neither
    tells, and no limit is written in bytes. Only what the device has in all counts, not what is free just now: a plan
    must not change with every look."""
    limit = blueprint.resources.get("max_memory_usage")
    main = blueprint.hardware.get("memory") or (device.memory if device else None)
    if main is None:
        return limited(Memory(limit), limit) if isinstance(limit, int) else None
    written = "memory" in blueprint.hardware or "gpu_memory" in blueprint.hardware
    own = blueprint.hardware.get("gpu_memory", 0) if written else device.own_memory if device else 0
    metal = not written and device is not None and any(one.kind == "metal" for one in device.accelerators)
    budget = limited(Memory(main, own, metal), limit)
    # What is only measured proves nothing: no sensor may see the card that the model runs on.
    return budget if written or "memory" in blueprint.hardware else replace(budget, physical=_BEYOND_ALL)


def strictest_budget(blueprint: Blueprint, others: Iterable[Blueprint], device: Device | None) -> Budget | None:
    """The limits of all deployments hold for the memory that they share."""
    own = device_budget(blueprint, device)
    budgets = [own] if own is not None else []
    for other in others:
        budget = device_budget(other, device) if other.name != blueprint.name else None
        if budget is not None and budget.limit is not None:
            budgets.append(replace(budget, why=f"{budget.why}, as {other.name} says"))
    return min(budgets, key=lambda each: each.total, default=None)


def measured_budget(device: Device) -> Budget:
    """What models may take of a device where no manifest says anything of it."""
    metal = any(one.kind == "metal" for one in device.accelerators)
    return replace(limited(Memory(device.memory, device.own_memory, metal), None), physical=_BEYOND_ALL)


def budget_beside_servers(blueprint: Blueprint, observed: ObservedState) -> Budget | None:
    """What is left for models that take turns: servers that we start for this deployment hold theirs for as long as they run, each
    in the memory that it uses; one that takes turns makes room for models too. Those of others count for what is loaded, not here:
    they come and go, and this plan must stay the same."""
    budget = device_budget(blueprint, observed.device)
    mine = {name.partition("/")[2]: each for name, each in observed.prospects.items() if _is_of(name, blueprint)}
    held = {
        alias: Hold(each.memory * each.instances, each.cards)
        for alias, each in mine.items()
        if not each.why and not each.turns
    }
    for alias, each in mine.items():
        if (there := outlives(each, observed.started)) is not None:
            held[alias] = Hold(there.memory, there.cards)
    return room_in(budget, cards_of(blueprint, observed.device), None, held) if budget else None


def _is_of(server: str, blueprint: Blueprint) -> bool:
    return server.partition("/")[0] == blueprint.name
