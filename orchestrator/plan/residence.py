"""Which models are loaded and unloaded from here, within the limits of `resources`, and why others are not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import Bound, BoundEndpoint
from orchestrator.plan.wish import ON_REQUEST

OF_MODELS: Final = ("max_memory_usage", "model_cache_size", "auto_unload_idle_models")
"""Keys of `resources` that say how models are loaded."""
_FORGETFUL: Final = frozenset(("foundry-local",))
"""Makes that list only what is loaded, but where their store is seen."""
_STAYS: Final = (
    "the server that is started for it ends only where `keep_alive` of the model or "
    "`resources.auto_unload_idle_models: true` has it rest"
)
NO_BUDGET: Final = (
    "nobody tells how much memory this device has: write `resources.max_memory_usage` in bytes, or `hardware.memory`"
)


def forgets(provider: str, capabilities: Mapping[str, str]) -> bool:
    """Whether a server lists only what is loaded. One whose models can be removed from here has its whole store listed."""
    return provider in _FORGETFUL and capabilities.get("remove") != "yes"


def server_may_rest(keep_alive: float | None, unloads: bool | None, *, pinned: bool) -> bool:
    """Whether a manifest has a server that we start for a model end while nobody needs it: only where that is written, by
    ``keep_alive`` of the model or ``auto_unload_idle_models: true``. To start it again takes longer than a load elsewhere."""
    return not pinned and (keep_alive is not None or unloads is True)


def never_rests(spec: ModelSpec) -> str:
    """Why the server that we start for it does not rest, whatever its manifest says; empty where it can."""
    if spec["kind"] == "embedding":
        return "its vectors are asked for past the queue, so that nobody sees when it is not in use"
    return ""


def cannot_manage(endpoint: BoundEndpoint) -> str:
    """Why its server loads and unloads the model as it likes, whatever `resources` say; empty where we can do it."""
    if endpoint.zone != "node":
        return f"{endpoint} is not on this device"
    if endpoint.capabilities.get("load") != "yes":
        return f"{endpoint} loads no model on request"
    if forgets(endpoint.provider, endpoint.capabilities):
        return f"{endpoint} lists only what is loaded: a model that is unloaded could not be found again"
    if endpoint.memory is None:
        return f"nobody says how much memory {endpoint.model} takes: write `memory` of the model"
    return ""


def unmanaged_notes(blueprint: Blueprint, bound: Mapping[str, Bound], budget: int | None) -> Iterator[str]:
    """What a manifest asks for of the loading of models, where it cannot be had. ``budget``: bytes that models may take."""
    no_budget = NO_BUDGET if budget is None and blueprint.resources.get("max_memory_usage") is not None else ""
    asked = [f"resources.{key}" for key in OF_MODELS if blueprint.resources.get(key) is not None]
    for alias, each in bound.items():
        first = next(iter(each.endpoints), None)
        spec = cast(ModelSpec, blueprint.elements[Address.of("model", alias)].spec)
        if _starts_loaded(each, spec):
            wishes, why = _beyond_server(spec, blueprint.resources)
        else:
            # A server that we start is not started where the limit has no room for it.
            wishes = [key for key in asked if not (spec["server"] and key.endswith(OF_MODELS[0]))]
            wishes += _wishes(spec)
            why = (cannot_manage(first) or no_budget) if first is not None else ""
        if why and wishes:
            yield f"{', '.join(wishes)} cannot be kept for {alias}: {why}"


def cache_notes(blueprint: Blueprint, bound: Mapping[str, Bound]) -> Iterator[str]:
    """Models that take more than those that rest may take together: each is unloaded when its last call ends."""
    cache = blueprint.resources.get("model_cache_size")
    if cache is None:
        return
    for alias, each in bound.items():
        first = next(iter(each.endpoints), None)
        spec = cast(ModelSpec, blueprint.elements[Address.of("model", alias)].spec)
        if first is None or first.pinned or not _leaves_memory(each, spec, blueprint.resources):
            continue
        size = (first.holds if first.process else first.memory) or 0
        if size > cache:
            lacking = f"{alias} takes {format_size(size)}, and models that rest may take {format_size(cache)} together"
            kept = f", whatever its keep_alive of {first.keep_alive:g} s says" if first.keep_alive else ""
            cure = f"raise resources.model_cache_size above {format_size(size)}, leave it out, or pin {alias}"
            yield f"{lacking}: it is unloaded as soon as it rests{kept}, and loaded again for the next call: {cure}"


def _starts_loaded(bound: Bound, spec: ModelSpec) -> bool:
    """Whether a server is started for it that has it in memory for as long as it runs."""
    server = spec["server"]
    return server is not None and server["kind"] not in ON_REQUEST and bool(bound.starting or bound.endpoints)


def _leaves_memory(bound: Bound, spec: ModelSpec, resources: Mapping[str, Any]) -> bool:
    """Whether its memory is given back when it rests: its server unloads it, or ends."""
    if not _starts_loaded(bound, spec):
        return bool(bound.endpoints) and not cannot_manage(bound.endpoints[0])
    rests = server_may_rest(spec["keep_alive"], resources.get("auto_unload_idle_models"), pinned=spec["pinned"])
    return rests and not never_rests(spec)


def _beyond_server(spec: ModelSpec, resources: Mapping[str, Any]) -> tuple[list[str], str]:
    """What of its rest cannot be had of a server that we start, and why."""
    unloads, cache = resources.get("auto_unload_idle_models"), resources.get("model_cache_size") is not None
    wishes = ["resources.model_cache_size"] if cache else []
    rests = server_may_rest(spec["keep_alive"], unloads, pinned=spec["pinned"])
    if rests and (why := never_rests(spec)):
        wishes += ["resources.auto_unload_idle_models"] if unloads else []
        return [*wishes, *(["keep_alive"] if spec["keep_alive"] is not None else [])], why
    return ([], "") if rests or spec["pinned"] else (wishes, _STAYS)


def _wishes(spec: ModelSpec) -> Iterator[str]:
    """What its manifest says of the loading of this model."""
    if spec["keep_alive"] is not None:
        yield "keep_alive"
    if spec["pinned"]:
        yield "pinned"
