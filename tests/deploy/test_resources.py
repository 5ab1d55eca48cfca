"""What `resources` and `keep_alive` of a manifest mean for endpoints, from the blueprint to what the scheduler is told."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.memory import ORCHESTRATOR
from orchestrator.deploy.residence import UNBOUNDED, PoolLimits
from orchestrator.plan.diff import diff
from tests.deploy.fakes import OLLAMA, Stage, stage, until
from tests.plan.parts import agent, blueprint, model

pytestmark = pytest.mark.anyio

PHI = "ollama@127.0.0.1:11434/phi4-mini:latest"
GB = 10**9


def small(name: str = "kiosk", keep_alive: float | None = None, **resources: Any) -> Blueprint:
    """One agent on one model of 2.5 GB, under these resources."""
    made = blueprint(
        model(keep_alive=keep_alive, whole_memory=2_500_000_000), agent("a", models=["phi-4-mini"]), name=name
    )
    return replace(made, resources=resources)


def _server(s: Stage, *, loads: bool = True) -> None:
    s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
    s.surroundings.loads = loads


async def test_a_model_of_a_server_that_loads_takes_its_part_of_the_memory(tmp_path: Path) -> None:
    """Its bytes, its own rest, and the limits of all models together."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small(keep_alive=60.0, max_memory_usage=8 * GB, model_cache_size=4 * GB, power_management=True))
        spec = s.plane.endpoints[PHI]
        assert spec.residence is not None
        told = (spec.residence.model, spec.residence.pool, spec.residence.memory, spec.residence.rest)
        assert told == (PHI, "device", 2_500_000_000, 60.0)
        assert s.plane.pools == {"device": PoolLimits(8 * GB - ORCHESTRATOR, 4 * GB, saves=True)}
        assert spec.battery_slots == 1


async def test_idle_models_stay_where_the_manifest_says_so(tmp_path: Path) -> None:
    """`auto_unload_idle_models: false`; without power_management nothing is done with less on battery."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small(max_memory_usage=8 * GB, auto_unload_idle_models=False))
        assert s.plane.pools == {"device": PoolLimits(8 * GB - ORCHESTRATOR)}
        assert s.plane.endpoints[PHI].battery_slots is None
        assert resting(s) == (inf, False)


def resting(s: Stage) -> tuple[float, bool]:
    """How long the model may rest, and whether that ends it also where somebody else loaded it."""
    residence = s.plane.endpoints[PHI].residence
    assert residence is not None
    return residence.rest, residence.whoever


@pytest.mark.parametrize(
    ("keep_alive", "unloads", "rest", "whoever"),
    [
        (None, None, 300.0, False),
        (None, True, 300.0, True),
        (60.0, None, 60.0, True),
        (60.0, False, 60.0, True),
    ],
)
async def test_what_somebody_else_loaded_is_unloaded_only_where_the_manifest_says_so(
    tmp_path: Path, keep_alive: float | None, unloads: bool | None, rest: float, whoever: bool
) -> None:
    """By `keep_alive` of the model or `auto_unload_idle_models`; that it is so where nothing is said holds for ours."""
    written: dict[str, Any] = {} if unloads is None else {"auto_unload_idle_models": unloads}
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small(keep_alive=keep_alive, max_memory_usage=8 * GB, **written))
        assert resting(s) == (rest, whoever)


async def test_of_two_deployments_the_longest_rest_holds(tmp_path: Path) -> None:
    """Nobody's model is unloaded early, in whichever order they come; when one is gone, the other's holds again."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small("one", keep_alive=3600.0, max_memory_usage=8 * GB))
        await s.apply(small("two", keep_alive=10.0, max_memory_usage=8 * GB))
        assert resting(s) == (3600.0, True)
        await s.apply(small("three", max_memory_usage=8 * GB, auto_unload_idle_models=False))
        assert resting(s) == (inf, False)
        for name in ("three", "one"):
            await s.reconciler.down(name, 1.0, s.events.append)
        assert resting(s) == (10.0, True)


async def test_a_pinned_model_is_pinned_for_all_that_use_it(tmp_path: Path) -> None:
    """Another deployment that says nothing of it does not undo that."""
    async with stage(tmp_path) as s:
        _server(s)
        pinned = replace(
            blueprint(model(pinned=True, whole_memory=2_500_000_000), agent("a", models=["phi-4-mini"]), name="one"),
            resources={"max_memory_usage": 8 * GB},
        )
        await s.apply(pinned)
        await s.apply(small("two", max_memory_usage=8 * GB))
        residence = s.plane.endpoints[PHI].residence
        assert residence is not None and residence.pinned


async def test_changed_resources_alone_reach_what_serves(tmp_path: Path) -> None:
    """No model is bound anew for it, but the deployment is switched."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small(max_memory_usage=8 * GB))
        s.events.clear()
        await s.apply(small(max_memory_usage=6 * GB, power_management=True))
        assert s.steps() == ["deployment.kiosk", "deployment.kiosk"]
        await until(lambda: s.plane.pools["device"].budget == 6 * GB - ORCHESTRATOR)
        assert s.plane.endpoints[PHI].battery_slots == 1


async def test_two_deployments_share_the_memory_and_the_stricter_limits_hold(tmp_path: Path) -> None:
    """Budget and cache each from the stricter one; when it is gone, the other's."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small("one", max_memory_usage=8 * GB, auto_unload_idle_models=False))
        await s.apply(small("two", max_memory_usage=16 * GB, model_cache_size=GB))
        assert s.plane.pools == {"device": PoolLimits(8 * GB - ORCHESTRATOR, GB)}
        await s.reconciler.down("one", 1.0, s.events.append)
        assert s.plane.pools == {"device": PoolLimits(16 * GB - ORCHESTRATOR, GB)}


async def test_what_is_loaded_is_told_at_each_look(tmp_path: Path) -> None:
    """By the model on its server, as far as the server tells."""
    async with stage(tmp_path, every=0.02) as s:
        _server(s)
        await s.apply(small(max_memory_usage=8 * GB))
        assert s.plane.loaded == {PHI: False}
        s.surroundings.loaded.add("phi4-mini:latest")
        await until(lambda: s.plane.loaded == {PHI: True})


@pytest.mark.parametrize(
    ("loads", "memory", "resources", "why"),
    [
        (False, 1, {"max_memory_usage": GB}, "ollama at 127.0.0.1:11434 loads no model on request"),
        (
            True,
            None,
            {"max_memory_usage": GB},
            "nobody says how much memory phi4-mini:latest takes: write `memory` of the model",
        ),
        (
            True,
            1,
            {"max_memory_usage": 0.8},
            "nobody tells how much memory this device has: write `resources.max_memory_usage` in bytes, or `hardware.memory`",
        ),
    ],
    ids=["no-loads", "no-size", "no-budget"],
)
async def test_the_plan_says_which_wishes_cannot_be_kept_and_why(
    tmp_path: Path, loads: bool, memory: int | None, resources: dict[str, Any], why: str
) -> None:
    """And such a model is loaded by its server as ever, or at least makes room for none."""
    wanted = blueprint(model(whole_memory=memory, builds={}, keep_alive=9.0), agent("a", models=["phi-4-mini"]))
    wanted = replace(wanted, resources=resources)
    async with stage(tmp_path) as s:
        _server(s, loads=loads)
        plan = diff(wanted, await s.reconciler.observe(wanted))
        await s.apply(wanted)
        assert plan.notes == (f"resources.{next(iter(resources))}, keep_alive cannot be kept for phi-4-mini: {why}",)
        assert s.plane.endpoints[PHI].residence is None or s.plane.pools == {"device": PoolLimits(UNBOUNDED)}


@pytest.mark.parametrize("resources", [{}, {"auto_unload_idle_models": True}, {"model_cache_size": GB}])
async def test_idle_models_are_unloaded_where_nobody_says_how_much_they_may_take(
    tmp_path: Path, resources: dict[str, Any]
) -> None:
    """After the usual rest, what was loaded from here; nothing is refused and nothing makes room, as there is no limit."""
    wanted = blueprint(model(whole_memory=GB), agent("a", models=["phi-4-mini"]))
    wanted = replace(wanted, resources=resources)
    async with stage(tmp_path) as s:
        _server(s)
        assert diff(wanted, await s.reconciler.observe(wanted)).notes == ()
        await s.apply(wanted)
        residence = s.plane.endpoints[PHI].residence
        assert residence is not None and residence.rest == 300.0
        assert s.plane.pools == {"device": PoolLimits(UNBOUNDED, resources.get("model_cache_size"))}


async def test_where_idle_models_stay_their_servers_see_to_them(tmp_path: Path) -> None:
    """Nothing is asked of us: neither a limit, nor a rest, nor one that is pinned."""
    wanted = blueprint(model(whole_memory=GB), agent("a", models=["phi-4-mini"]))
    wanted = replace(wanted, resources={"auto_unload_idle_models": False})
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(wanted)
        assert s.plane.pools == {}


async def test_nothing_is_said_where_nothing_is_wished(tmp_path: Path) -> None:
    """A manifest without resources has no notes of them."""
    async with stage(tmp_path) as s:
        _server(s, loads=False)
        assert diff(small(), await s.reconciler.observe(small())).notes == ()


def _pinning(name: str, served: str) -> Blueprint:
    """One agent on one pinned model of 5 GB; models and orchestrator may take 9 GB."""
    made = blueprint(
        model(ids={"ollama": [served]}, pinned=True, whole_memory=5 * GB),
        agent("a", models=["phi-4-mini"]),
        name=name,
    )
    return replace(made, resources={"max_memory_usage": 9 * GB})


async def test_what_another_deployment_has_pinned_leaves_no_room_until_it_is_gone(tmp_path: Path) -> None:
    """The second one goes on without its model, and has it as soon as the first is taken down."""
    async with stage(tmp_path) as s:
        _server(s)
        s.surroundings.servers[OLLAMA] = ("alpha:latest", "beta:latest")
        await s.apply(_pinning("pa", "alpha:latest"))
        await s.apply(_pinning("pb", "beta:latest"))
        assert list(s.plane.endpoints) == ["ollama@127.0.0.1:11434/alpha:latest"]
        await s.reconciler.down("pa", 1.0, s.events.append)
        await until(lambda: list(s.plane.endpoints) == ["ollama@127.0.0.1:11434/beta:latest"])
