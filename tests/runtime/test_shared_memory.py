"""From the text of a manifest to loads and unloads: two models that do not fit together, on both planes as the runtime has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.redact import Redactor
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import Planes, Plugins, Stores, make_workshop, run_planes
from orchestrator.core.event import Event
from orchestrator.core.request import Request
from orchestrator.deploy.plane import Seen
from orchestrator.deploy.wanted import Wanted
from orchestrator.plugins.providers.discovery import Sighting
from orchestrator.plugins.stores.memory import MemoryRevisions
from orchestrator.ports.lifecycle import LoadOptions
from orchestrator.ports.provider import Secret
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.simulated_loader import GB, SimulatedLoader
from tests.deploy.fakes import until

pytestmark = pytest.mark.anyio

CLOCK_STEP = 0.001
"""What the event loop may be early by."""
URL = "http://127.0.0.1:9"
MANIFEST = f"""
metadata: {{name: desk}}
deployment:
  type: single-device
  resources: {{max_memory_usage: 8GB, auto_unload_idle_models: false}}
  models:
    - {{alias: small, provider: simulated, model: a, endpoint: "{URL}", memory: 5GB, keep_alive: KEEP}}
    - {{alias: large, provider: simulated, model: b, endpoint: "{URL}", memory: 6GB}}
  agents:
    - {{name: sales, model: small, instructions: You sell., examples: [buy a drill, price of a drill]}}
    - {{name: help, model: large, instructions: You help., examples: [it is broken, I need help]}}
"""


@asynccontextmanager
async def applied(
    folder: Path, events: list[Event], keep: str = "1h", loaded: str = "", every: str = "0.1"
) -> AsyncIterator[tuple[Planes, SimulatedLoader]]:
    """The manifest, applied on a server that loads on request, 50 ms a load, and has one model in memory already."""
    path = folder / "desk.yaml"
    path.write_text(MANIFEST.replace("KEEP", keep), encoding="utf-8")
    blueprint = compile_files([str(path)], environment={}).blueprint
    loader = SimulatedLoader(simulated(["a", "b"]), 8 * GB, {"a": 5 * GB, "b": 6 * GB}, 0.05, URL)
    settings = Settings.read({"ORCHESTRATOR_LOOK_EVERY": every})
    if loaded:
        await loader.load(loader.target(loaded), LoadOptions(), 1.0)

    async def look(places: Sequence[str], keys: Mapping[str, Secret], more: Sequence[str] = ()) -> Sequence[Seen]:
        del keys, more
        identity = await loader.identify(URL)
        assert identity is not None
        return [Sighting(place, "served", identity, await loader.models(identity)) for place in places]

    workshop = make_workshop(Plugins(), settings, folder, Redactor())
    workshop = replace(workshop, provider=lambda _: loader, look=look, usual_places=())
    async with run_planes(workshop, Stores(MemoryRevisions()), settings, events.append) as planes:
        await planes.reconciler.apply(Wanted(blueprint), lambda _: None)
        yield planes, loader
        await planes.reconciler.close(1.0)


async def test_two_models_that_do_not_fit_together_serve_their_agents_in_turn(tmp_path: Path) -> None:
    """Each is loaded when its agent is asked, the other one makes room; the results and the events say so."""
    events: list[Event] = []
    async with applied(tmp_path, events) as (planes, loader):
        engine = planes.engines.get("desk")
        first = await engine.run(Request("hello", agent="sales"))
        second = await engine.run(Request("hello", agent="help"))
        third = await engine.run(Request("hello", agent="help"))
        assert [each.status for each in (first, second, third)] == ["completed"] * 3
        assert [_waited(each) for each in (first, second, third)] == [True, True, False]
        assert [(moved.what, moved.model) for moved in loader.moves if moved.what != "loaded"] == [
            ("load", "a"),
            ("unload", "a"),
            ("load", "b"),
        ]
        states = {view["id"]: view["state"] for view in planes.reconciler.table.plane.views().values()}
        assert states == {"simulated@127.0.0.1:9/a": "unloaded", "simulated@127.0.0.1:9/b": "ready"}
    reasons = [event.fields["reason"] for event in events if event.kind == "model.unloaded"]
    assert reasons == ["makes room for simulated@127.0.0.1:9/b: nothing waits for it"]


def _waited(result: Any) -> bool:
    return any("load_ms" in step.detail for step in result.steps)


async def test_a_model_rests_as_long_as_the_manifest_says(tmp_path: Path) -> None:
    """Its own keep_alive, although idle models are not unloaded otherwise."""
    async with applied(tmp_path, [], keep="200ms") as (planes, loader):
        result = await planes.engines.get("desk").run(Request("hello", agent="sales"))
        answered = anyio.current_time()
        await until(lambda: loader.taken == 0)
    assert result.status == "completed" and _waited(result)
    assert [(moved.what, moved.model) for moved in loader.moves] == [("load", "a"), ("loaded", "a"), ("unload", "a")]
    came, went = loader.moves[1].at, loader.moves[2].at
    assert came <= answered and went - came >= 0.2 - CLOCK_STEP
    assert went - answered < 3  # and not for as long as it would without a word


async def test_what_a_server_unloads_by_itself_is_seen_at_the_next_look(tmp_path: Path) -> None:
    """And loaded again for the next call, which waits for it as for any load."""
    async with applied(tmp_path, []) as (planes, loader):
        engine = planes.engines.get("desk")
        await engine.run(Request("hello", agent="sales"))
        await loader.unload(loader.target("a"), 1.0)
        await until(lambda: _states(planes) == {"unloaded"})
        assert _waited(await engine.run(Request("hello", agent="sales")))


def _states(planes: Planes) -> set[str]:
    return {view["state"] for view in planes.reconciler.table.plane.views().values()}


async def test_what_is_loaded_at_the_apply_counts_from_the_first_request_on(tmp_path: Path) -> None:
    """Before the next look around, which is far off here: the other model makes room before anything is loaded."""
    async with applied(tmp_path, [], loaded="a", every="1h") as (planes, loader):
        assert _states(planes) in ({"unknown", "unloaded"}, {"live", "unloaded"})  # a probe may have been faster
        result = await planes.engines.get("desk").run(Request("hello", agent="help"))
        assert result.status == "completed"
        assert [moved.what for moved in loader.moves] == ["load", "loaded", "unload", "load", "loaded"]


async def test_what_somebody_loads_by_hand_is_seen_and_counts(tmp_path: Path) -> None:
    """The other model is asked for: what was loaded by hand makes room."""
    async with applied(tmp_path, []) as (planes, loader):
        await loader.load(loader.target("a"), LoadOptions(), 1.0)
        await until(lambda: len(_states(planes)) == 2)
        result = await planes.engines.get("desk").run(Request("hello", agent="help"))
        assert result.status == "completed"
        assert [moved.what for moved in loader.moves] == ["load", "loaded", "unload", "load", "loaded"]
