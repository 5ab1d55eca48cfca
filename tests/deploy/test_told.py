"""What a server tells of a model only while it is loaded reaches the endpoints that serve, as each one's own manifest bounds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.told import ToldOf
from orchestrator.plan.observed import ObservedState, Prospect
from orchestrator.ports.provider import Capability, ServedModel
from tests.deploy.fakes import OLLAMA, Stage, stage, until
from tests.plan.parts import agent, blueprint, model, ollama, state

pytestmark = pytest.mark.anyio

PHI = "ollama@127.0.0.1:11434/phi4-mini:latest"
GB = 10**9


def small(name: str, **changes: Any) -> Blueprint:
    """One agent on one model."""
    return blueprint(model(**changes), agent("a", models=["phi-4-mini"]), name=name)


def _load(s: Stage, context: int) -> None:
    """Somebody loads the model; its server tells its context from then on."""
    s.surroundings.loaded, s.surroundings.context = {"phi4-mini:latest"}, context


def _server(s: Stage) -> None:
    s.surroundings.servers[OLLAMA] = ("phi4-mini:latest",)
    s.surroundings.loads = True


def _served(s: Stage) -> tuple[int, int | None, bool]:
    spec = s.plane.endpoints[PHI]
    return spec.slots, spec.context, spec.bounded


@pytest.mark.parametrize("numbers", [(2, 8), (8, 2)])
async def test_of_two_manifests_the_stricter_holds_after_a_load_too(tmp_path: Path, numbers: tuple[int, int]) -> None:
    """Of one model, in whichever order they come: what is told changes no number that is written."""
    async with stage(tmp_path) as s:
        _server(s)
        for name, number in zip(("one", "two"), numbers, strict=True):
            await s.apply(small(name, max_concurrent=number))
        assert _served(s) == (2, None, False)
        _load(s, 16_384)
        await s.reconciler.look()
        assert _served(s) == (2, 16_384, False)


async def test_a_plan_of_another_manifest_changes_nothing_that_serves(tmp_path: Path) -> None:
    """Nobody has applied it: neither that of another deployment nor a newer one of its own."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small("one", max_concurrent=2, window=8192))
        _load(s, 65_536)
        await s.reconciler.look()
        before = _served(s)
        assert before == (2, 8192, True)
        for name in ("two", "one"):
            await s.reconciler.observe(small(name, max_concurrent=8, window=32_768))
            assert _served(s) == before


async def test_a_revision_that_drains_keeps_what_holds_for_it(tmp_path: Path) -> None:
    """What it has begun is held to its own manifest, until it has ended."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small("one", max_concurrent=2))
        s.plane.serving["one"].begin()
        old = s.plane.serving["one"]
        await s.apply(small("one", max_concurrent=8))
        _load(s, 16_384)
        await s.reconciler.look()
        assert _served(s) == (2, 16_384, False)
        old.finish()
        await until(lambda: _served(s) == (8, 16_384, False))


async def test_what_was_told_holds_while_the_model_is_unloaded_and_not_for_another_server(tmp_path: Path) -> None:
    """Each load and each unload would change it else; what comes back in another version starts anew."""
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(small("one"))
        _load(s, 16_384)
        await s.reconciler.look()
        s.surroundings.loaded, s.surroundings.context = set(), None
        await s.reconciler.look()
        assert _served(s) == (1, 16_384, False)
        s.surroundings.servers.pop(OLLAMA)
        await s.reconciler.look()
        _server(s)
        s.surroundings.version = "2"
        await s.reconciler.look()
        assert _served(s) == (1, None, False)


async def test_a_revision_is_bound_beside_the_servers_that_are_started_for_it(tmp_path: Path) -> None:
    """With the memory that those take, the build is another one than alone; else the one that serves would hear nothing."""
    builds = ["phi4-mini:latest", "phi4-mini:3.8b-q8_0"]
    limited = replace(small("kiosk", ids={"ollama": builds}), resources={"max_memory_usage": 8 * GB})
    big = Prospect("kiosk/big", "llama-cpp", "llama-server", "one", memory=4 * GB)
    async with stage(tmp_path) as s:
        _server(s)
        await s.apply(limited)
        deployment = s.plane.serving["kiosk"].deployment
    models = tuple(ServedModel(each, kind="chat", loaded=True, context=16_384, slots=4) for each in builds)
    seen = state(replace(ollama(), models=models, capabilities={Capability.LOAD.value: "yes"}))
    assert _slots(deployment, seen) == 1
    assert _slots(deployment, replace(seen, prospects={big.name: big})) == 4


def _slots(deployment: Deployment, seen: ObservedState) -> int:
    told = ToldOf()
    told.see([deployment], lambda _: seen)
    return told.held_by(deployment, deployment.endpoints[PHI]).slots
