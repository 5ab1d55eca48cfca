"""What `resources` and `keep_alive` of a manifest mean for live endpoints: what a model takes of the device's memory, what
models may take of it together, and what is done with less on battery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final

from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import IDLE_SECONDS, UNBOUNDED, PoolLimits, Residence
from orchestrator.deploy.resting import ProcessLoader
from orchestrator.deploy.servers import Servers
from orchestrator.plan.binding import BoundEndpoint
from orchestrator.plan.generations import server_of
from orchestrator.plan.residence import cannot_manage, server_may_rest
from orchestrator.ports.lifecycle import Loader
from orchestrator.ports.provider import Provider

DEVICE: Final = "device"
"""The memory that all models share which are served on this device."""


def residence_of(endpoint: BoundEndpoint, provider: Provider) -> Residence | None:
    """What its model takes of the device's memory; ``None`` where its server loads and unloads it as it likes, or has it in memory
    for as long as it runs."""
    if endpoint.process or cannot_manage(endpoint) or endpoint.memory is None or not isinstance(provider, Loader):
        return None
    memory = endpoint.holds or endpoint.memory
    return Residence(endpoint.served, DEVICE, memory, provider, pinned=endpoint.pinned, keep_alive=endpoint.keep_alive)


def crew_of(process: str, servers: Servers | None) -> str:
    """The server of a process of ours, and the options that it runs with; empty where it is none."""
    ward = servers.supervisor.wards.get(process) if servers is not None else None
    return f"{server_of(process)} {ward.digest}" if ward is not None else ""


def process_of(endpoint: BoundEndpoint, servers: Servers) -> Residence | None:
    """The process of ours that has its model in memory for as long as it runs, as a residence of it; ``None`` where there is
    none."""
    if not endpoint.process:
        return None
    loader = ProcessLoader(servers, endpoint.process)
    return Residence(
        endpoint.process,
        DEVICE,
        endpoint.holds,
        loader,
        pinned=endpoint.pinned,
        keep_alive=endpoint.keep_alive,
        process=True,
        patience=loader.patience,
    )


def limits_of(
    resources: Mapping[str, Any], budget: int | None, residences: Iterable[Residence] = ()
) -> dict[str, PoolLimits]:
    """What models may take of the device's memory, ``budget`` in all (``None``: nobody says, so that they only rest and leave);
    empty where the manifest has idle ones stay and asks for nothing else: then servers load and unload as they like."""
    asked = resources.get("model_cache_size") is not None
    asked = asked or any(each.pinned or each.keep_alive is not None for each in residences)
    if budget is None and resources.get("auto_unload_idle_models") is False and not asked:
        return {}
    limits = PoolLimits(
        budget=UNBOUNDED if budget is None else budget,
        cache=resources.get("model_cache_size"),
        saves=bool(resources.get("power_management")),
    )
    return {DEVICE: limits}


def with_resources(spec: EndpointSpec, resources: Mapping[str, Any]) -> EndpointSpec:
    """The endpoint as it is under these resources: half of its slots on battery, where less is to be done then, and how long
    its model may rest. A server that we start is a residence only where the manifest has it rest."""
    saves = resources.get("power_management") and spec.target.zone == "node"
    unloads = resources.get("auto_unload_idle_models")
    if spec.process is not None:
        rests = server_may_rest(spec.process.keep_alive, unloads, pinned=spec.process.pinned)
        residence = _resting(spec.process, unloads) if rests else None
    else:
        residence = _resting(spec.residence, unloads) if spec.residence else None
    return replace(spec, battery_slots=max(1, spec.slots // 2) if saves else None, residence=residence)


def _resting(residence: Residence, unloads: bool | None) -> Residence:
    """Its own `keep_alive` goes before what holds for all. What somebody else loaded is unloaded only where either is written:
    that models are unloaded where nothing is said is our choice, and for what is ours."""
    keep_alive = residence.keep_alive
    usual = inf if unloads is False else IDLE_SECONDS
    rest = usual if keep_alive is None else keep_alive
    return replace(residence, rest=rest, whoever=unloads is True or keep_alive is not None)
