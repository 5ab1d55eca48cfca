"""What fits in the device's memory, what must take turns, and what can never fit: said with the arithmetic. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final, cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.memory import Budget, kept
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import Bound, beside_pinned, held_by_pinned
from orchestrator.plan.budgets import budget_beside_servers
from orchestrator.plan.generations import berth_of, processes_of
from orchestrator.plan.observed import ObservedState, Pin, Prospect, StartedServer
from orchestrator.plan.smaller import smaller
from orchestrator.ports.device import Device

LEAVES: Final = "what leaves as soon as nothing waits for it, and is not used until there is room"


def memory_notes(blueprint: Blueprint, bound: Mapping[str, Bound], observed: ObservedState) -> Iterator[str]:
    """What a user should know before it runs. Nothing where everything fits together, or where nothing is known."""
    device = observed.device
    budget = budget_beside_servers(blueprint, observed)
    if budget is None:
        return
    for alias, each in bound.items():
        spec = cast(ModelSpec, blueprint.elements[Address.of("model", alias)].spec)
        if each.tight and each.need:
            yield f"{alias} needs {each.need}; models should take at most {budget}: {smaller(spec, each.need, budget)}"
    if device is not None and not blueprint.hardware and not any(each.tight for each in observed.prospects.values()):
        yield from _to_start(observed, device)
    held = {each.name.partition("/")[2] for each in observed.prospects.values() if each.memory}
    mine = {alias: each for alias, each in bound.items() if alias not in held}
    pinned = held_by_pinned(blueprint, bound, observed, budget)
    beyond = dict(_without_room(mine, pinned, budget))
    yield from beyond.values()
    others = {served: pin for served, pin in pinned.items() if pin.name not in bound}
    residents = _residents({alias: each for alias, each in mine.items() if alias not in beyond}, others)
    room = beside_pinned(budget, others)
    if len(residents) > 1 and sum(residents.values()) > room.total:
        yield _turns(residents, room, [pin.name for pin in pinned.values() if pin.name in bound])
    elif device is not None and not blueprint.hardware and not any(each.tight for each in bound.values()):
        yield from _crowded(residents, _loaded(residents, bound, observed), _servers(observed), device)


def _residents(bound: Mapping[str, Bound], others: Container[str]) -> dict[str, int]:
    """What each model takes on this device, once for each place where it is served; not what ``others`` keep there anyway."""
    places = {each.endpoints[0].id: alias for alias, each in bound.items() if each.endpoints}
    return {
        alias: endpoint.memory
        for alias, each in bound.items()
        for endpoint in each.endpoints[:1]
        if endpoint.zone == "node" and endpoint.memory is not None and places[endpoint.id] == alias
        if endpoint.served not in others
    }


def _without_room(bound: Mapping[str, Bound], held: Mapping[str, Pin], budget: Budget) -> Iterator[tuple[str, str]]:
    """What is used because it is in memory, though pinned models leave it no room: the order in which they came made it so.
    Each with what comes of it."""
    room = beside_pinned(budget, held)
    for alias, each in bound.items():
        for one in each.endpoints[:1]:
            if not held or not one.loads_here or one.served in held or (one.memory or 0) <= room.total:
                continue
            names = {served: pin.name for served, pin in held.items()} | {one.served: alias}
            sizes = {served: pin.memory for served, pin in held.items()} | {one.served: one.memory or 0}
            stay = kept(sizes, budget.total) if one.pinned else held
            leaving = " and ".join(name for served, name in names.items() if served not in stay)
            needs = (
                f"{alias} is in memory and has no room beside what is pinned: it needs {format_size(one.memory or 0)}"
            )
            yield alias, f"{needs}, and models may take {room}; {LEAVES}: {leaving}"


def _turns(residents: Mapping[str, int], budget: Budget, pinned: Sequence[str]) -> str:
    together = f"{_sum(residents)} = {format_size(sum(residents.values()))}, and models may take {budget}"
    if budget.limit is None:
        return f"{together}: their servers decide what stays loaded; with resources.max_memory_usage they take turns"
    who = f"those beside {' and '.join(pinned)}, pinned, take turns" if pinned else "they take turns"
    return f"{together}: {who}, and a request may wait while its model is loaded"


def _loaded(residents: Mapping[str, int], bound: Mapping[str, Bound], observed: ObservedState) -> dict[str, int]:
    """Those that are in memory: what they take is in what is not free."""
    told = {(server.api_base, model.id): model.loaded for server in observed.servers for model in server.models}
    firsts = {alias: bound[alias].endpoints[0] for alias in residents}
    # Where nobody tells whether it is loaded, it is not what is missing.
    return {
        alias: size
        for alias, size in residents.items()
        if told.get((firsts[alias].api_base, firsts[alias].model)) is not False
    }


def _is_in_memory(server: StartedServer) -> bool:
    return bool(server.pid) and server.state != "resting"


def _servers(observed: ObservedState) -> dict[str, tuple[int, int]]:
    """Servers that we start for this deployment: what each takes, and how much of that it has already. One that takes turns makes
    room for models too, and so takes nothing beside them."""
    found: dict[str, tuple[int, int]] = {}
    for name, each in observed.prospects.items():
        if each.memory and not each.why:
            there = [one for one in processes_of(name, observed.started) if _is_in_memory(one)]
            taken = 0 if each.turns else each.memory * each.instances
            found[name.partition("/")[2]] = taken, sum(one.memory for one in there)
    return found


def _starting(observed: ObservedState) -> tuple[dict[str, Prospect], int]:
    """Those that are still to be started at once: of those that take turns the largest, and only where it takes more than the one
    that runs gives back. With what that is, where it counts."""
    starting = {
        name.partition("/")[2]: each
        for name, each in observed.prospects.items()
        if each.memory and not each.why and berth_of(name, each, observed.started).how in ("first", "beside")
    }
    back = sum(each.memory for each in observed.started.values() if each.turns and _is_in_memory(each))
    turning = {alias: each.memory for alias, each in starting.items() if each.turns}
    largest = max(turning, key=turning.__getitem__, default="")
    first = largest if turning.get(largest, 0) > back else ""
    return {alias: each for alias, each in starting.items() if not each.turns or alias == first}, back if first else 0


def _to_start(observed: ObservedState, device: Device) -> Iterator[str]:
    """Servers that are started while other programs have the memory. One that keeps its model on a card takes what is free there
    and leaves the rest to the processor without a word, many times slower; one that takes a part of a card does not start."""
    starting, back = _starting(observed)
    parts = {alias: each for alias, each in starting.items() if each.cards and device.own_memory}
    yield from _no_part(parts, device)
    waiting = {alias: each.memory for alias, each in starting.items() if alias not in parts}
    either = {alias: size for alias, size in waiting.items() if starting[alias].cards is None}
    on_cards = device.free_on_cards
    left = None if on_cards is None else max(0, on_cards - sum(each.memory for each in parts.values())) + back
    free = device.free + (back if left is None else left)
    if sum(waiting.values()) > free:
        gives = ", with what makes room" if back else ""
        yield f"{_sum(waiting)} are still to be started, and {format_size(free)} of memory are free now{gives}"
    elif left is not None and sum(either.values()) > left:
        beside = f" beside {' and '.join(parts)}" if parts else ""
        of = f"{format_size(left)} of {format_size(device.own_memory)} graphics memory are free now{beside}"
        yield f"{_sum(either)} are still to be started, and {of}: what has no room there runs on the processor, many times slower"


def _no_part(parts: Mapping[str, Prospect], device: Device) -> Iterator[str]:
    for alias, each in parts.items():
        cards = [one for one in device.accelerators if one.memory and not one.unified][: each.cards]
        free = [one.free for one in cards if one.free is not None]
        if len(free) == len(cards) and each.memory > sum(free):
            whole = format_size(sum(one.memory or 0 for one in cards))
            there = f"{format_size(sum(free))} of {whole} graphics memory are free now"
            yield f"{alias} {format_size(each.memory)} is still to be started, and {there}: it does not start without its part"


def _crowded(
    residents: Mapping[str, int], loaded: Mapping[str, int], servers: Mapping[str, tuple[int, int]], device: Device
) -> Iterator[str]:
    """Other programs have the memory just now. What our own models and servers have of it already is no other program's: else this
    would say another thing before and after a load."""
    all_ = device.memory + device.own_memory
    free = device.free + (device.free_on_cards or 0) + sum(loaded.values()) + sum(has for _, has in servers.values())
    taken = {alias: size for alias, (size, _) in servers.items() if size}
    room = max(0, free - sum(taken.values()))
    if sum(residents.values()) > room:
        beside = f" beside {_sum(taken)}" if taken else ""
        others = f"other programs hold {format_size(max(0, all_ - free))} of {format_size(all_)}"
        yield f"{_sum(residents)} are to be loaded{beside}, and {format_size(room)} of memory are free for that: {others}"


def _sum(residents: Mapping[str, int]) -> str:
    return " + ".join(f"{alias} {format_size(size)}" for alias, size in residents.items())
