"""Which models are loaded and unloaded from here, within the limits of `resources`, and why others are not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import Bound, BoundEndpoint

OF_MODELS: Final = ("max_memory_usage", "model_cache_size", "auto_unload_idle_models")
"""Keys of `resources` that say how models are loaded."""
_FORGETFUL: Final = frozenset(("foundry-local",))
"""Makes that list only what is loaded, but where their store is seen."""
ON_REQUEST: Final = frozenset(("ollama",))
"""Makes of servers that are started without a model in memory."""
NO_BUDGET: Final = (
    "nobody tells how much memory this device has: write `resources.max_memory_usage` in bytes, or `hardware.memory`"
)


def forgets(provider: str, capabilities: Mapping[str, str]) -> bool:
    """Whether a server lists only what is loaded. One whose models can be removed from here has its whole store listed."""
    return provider in _FORGETFUL and capabilities.get("remove") != "yes"


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
        # A server that we start is not started where the limit has no room for it.
        wishes = [key for key in asked if not (spec["server"] and key.endswith(OF_MODELS[0]))]
        wishes += _wishes(spec)
        why = _starts_loaded(each, spec) or ((cannot_manage(first) or no_budget) if first is not None else "")
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
        if first is None or first.pinned or cannot_manage(first) or _starts_loaded(each, spec):
            continue
        size = first.memory or 0
        if size > cache:
            lacking = f"{alias} takes {format_size(size)}, and models that rest may take {format_size(cache)} together"
            kept = f", whatever its keep_alive of {first.keep_alive:g} s says" if first.keep_alive else ""
            cure = f"raise resources.model_cache_size above {format_size(size)}, leave it out, or pin {alias}"
            yield f"{lacking}: it is unloaded as soon as it rests{kept}, and loaded again for the next call: {cure}"


def _starts_loaded(bound: Bound, spec: ModelSpec) -> str:
    """Why nothing is loaded and unloaded of a model whose server we start; empty where that can do it, or is not started."""
    server = spec["server"]
    if server is None or server["kind"] in ON_REQUEST or not (bound.starting or bound.endpoints):
        return ""
    return "the server that is started for it has it in memory for as long as it runs"


def _wishes(spec: ModelSpec) -> Iterator[str]:
    """What its manifest says of the loading of this model."""
    if spec["keep_alive"] is not None:
        yield "keep_alive"
    if spec["pinned"]:
        yield "pinned"
