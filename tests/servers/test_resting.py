"""Servers of ours that rest, as real processes: they end while nobody needs them, and the next request starts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.app.wiring import InProcess, open_in_process
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.failpoint import arm, disarm
from orchestrator.core.memory import ORCHESTRATOR
from orchestrator.core.request import Request, Result
from orchestrator.deploy.demand import Demand, DemandRules
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.plan import Plan
from tests.plan.parts import agent, blueprint, model
from tests.servers.conftest import SETTINGS, desk
from tests.servers.test_instances import Callers
from tests.servers.test_rotation import processes
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

RESTING = [("tiny", "resting", "live")]
READY = [("tiny", "ready", "live")]


def resting(place: Place, keep_alive: float | None = 0.3, **resources: Any) -> Blueprint:
    """A deployment whose server may rest so long before it ends."""
    made = desk(place, "desk")
    tiny = made.elements["model.tiny"]
    changed = replace(tiny, spec={**tiny.spec, "keep_alive": keep_alive})
    return replace(made, elements={**made.elements, "model.tiny": changed}, resources=resources)


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


async def ask(made: InProcess, **options: Any) -> Result:
    return await made.planes.engines.get("desk").run(Request("hello", **options))


def rests(made: InProcess) -> Callable[[], bool]:
    return lambda: processes(made) == RESTING


async def test_it_ends_when_nobody_needs_it_and_the_next_request_starts_it(opened: tuple[Place, InProcess]) -> None:
    """The request waits for it and says how long; while it rests there is no process, and nothing is begun for it."""
    place, made = opened
    place.model("desk.gguf", loading=0.3)
    await apply(made, resting(place))
    assert (await ask(made)).text == "well"
    await until(rests(made))
    assert place.processes() == []
    await looked(made)
    assert (processes(made), len(place.starts("desk.starts"))) == (RESTING, 1)
    (told,) = [each for each in status(made.planes.reconciler) if each["name"] == "desk"]
    assert (told["state"], told["waits"], told["error"]) == ("running", [], None)
    assert [(each["state"], each["why"], each["memory"]) for each in told["servers"]] == [
        ("resting", "the next request starts it", None)
    ]
    result = await ask(made)
    assert result.text == "well"
    (call,) = [step for step in result.steps if step.kind == "model"]
    assert call.detail["load_ms"] > 250
    assert len(place.starts("desk.starts")) == 2
    assert [line.split()[1] for line in place.starts("desk.starts")] == [place.starts("desk.starts")[0].split()[1]] * 2
    await until(rests(made))


async def test_requests_that_come_together_start_it_once(opened: tuple[Place, InProcess]) -> None:
    """All of them wait for it, and all are answered by it."""
    place, made = opened
    place.model("desk.gguf", loading=0.3)
    await apply(made, resting(place))
    await until(rests(made))
    answers: list[str] = []

    async def one() -> None:
        answers.append((await ask(made)).text)

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(one)
    assert answers == ["well"] * 30
    assert len(place.starts("desk.starts")) == 2


async def test_a_request_waits_no_longer_than_its_own_time(opened: tuple[Place, InProcess]) -> None:
    """Its start goes on without it: the next request finds it there."""
    place, made = opened
    place.model("desk.gguf", loading=0.8)
    await apply(made, resting(place, 1.0))
    await until(rests(made))
    hurried = await ask(made, timeout=0.3)
    assert hurried.error is not None and hurried.timings["total"] < 700
    assert (await ask(made)).text == "well"
    assert len(place.starts("desk.starts")) == 2


async def test_one_that_works_does_not_rest(opened: tuple[Place, InProcess]) -> None:
    """However short its rest is: `keep_alive: 0` ends it when its last request has ended, and at once after it came up."""
    place, made = opened
    place.model("desk.gguf", takes=0.6)
    await apply(made, resting(place, 0.0))
    await until(rests(made))
    states: list[str] = []

    async def watch() -> None:
        while True:
            states.extend(state for _, state, _ in processes(made))
            await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        answers = [(await ask(made)).text for _ in range(2)]
        await until(rests(made))
        tasks.cancel_scope.cancel()
    assert answers == ["well", "well"]
    assert "ready" in states and len(place.starts("desk.starts")) in (2, 3)


@pytest.mark.parametrize(
    ("keep_alive", "pinned", "resources"),
    [
        (None, False, {}),
        (None, False, {"auto_unload_idle_models": False}),
        (None, False, {"model_cache_size": 1}),
        (0.0, True, {"auto_unload_idle_models": True, "model_cache_size": 1}),
        (3600.0, False, {"auto_unload_idle_models": True}),
    ],
)
async def test_it_stays_where_the_manifest_does_not_have_it_rest(
    opened: tuple[Place, InProcess], keep_alive: float | None, pinned: bool, resources: dict[str, Any]
) -> None:
    """By default, where it is pinned, or for as long as its `keep_alive` says."""
    place, made = opened
    place.model("desk.gguf")
    wanted = resting(place, keep_alive, **resources)
    tiny = wanted.elements["model.tiny"]
    tiny = replace(tiny, spec={**tiny.spec, "pinned": pinned})
    await apply(made, replace(wanted, elements={**wanted.elements, "model.tiny": tiny}))
    assert (await ask(made)).text == "well"
    await looked(made)
    assert (processes(made), len(place.starts("desk.starts"))) == (READY, 1)
    residences = [each.residence for each in endpoints(made)]
    kept = [each.rest for each in residences if each is not None]
    assert kept == ([3600.0] if keep_alive == 3600.0 else [])


def endpoints(made: InProcess) -> list[EndpointSpec]:
    live = made.planes.reconciler.table.get("desk")
    assert live is not None
    return list(live.deployment.endpoints.values())


async def test_idle_ones_rest_after_five_minutes_where_all_shall(opened: tuple[Place, InProcess]) -> None:
    """`auto_unload_idle_models: true` without a `keep_alive`: its memory is counted with that of models from then on."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, resting(place, None, auto_unload_idle_models=True, max_memory_usage=2_000_000_000))
    (residence,) = [each.residence for each in endpoints(made)]
    assert residence is not None
    assert (residence.model, residence.rest, residence.whoever, residence.memory > 0) == (
        "desk/tiny",
        300.0,
        True,
        True,
    )


async def test_the_same_manifest_leaves_it_at_rest_and_down_ends_it(opened: tuple[Place, InProcess]) -> None:
    """There is nothing to be done for it, and nothing left of it afterwards."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, resting(place))
    await until(rests(made))
    assert (await apply(made, resting(place))).empty
    await looked(made)
    assert (processes(made), len(place.starts("desk.starts"))) == (RESTING, 1)
    await made.planes.reconciler.down("desk", 1.0, lambda _: None)
    assert made.planes.reconciler.starting.observed() == {}
    await looked(made)
    assert len(place.starts("desk.starts")) == 1


async def test_a_manifest_that_has_it_rest_no_more_starts_it(opened: tuple[Place, InProcess]) -> None:
    """The apply ends when it is ready, and it stays; and the other way round it rests again."""
    place, made = opened
    place.model("desk.gguf", loading=0.3)
    await apply(made, resting(place))
    await until(rests(made))
    await apply(made, resting(place, None))
    assert processes(made) == READY
    await looked(made)
    assert (processes(made), len(place.starts("desk.starts"))) == (READY, 2)
    await apply(made, resting(place))
    await until(rests(made))
    assert len(place.starts("desk.starts")) == 2


async def test_other_options_start_it_anew_though_it_rests(opened: tuple[Place, InProcess]) -> None:
    """What cannot be had must be told by the apply: the new process shows a token, and rests in its time."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, resting(place))
    await until(rests(made))
    changed = resting(place)
    tiny = changed.elements["model.tiny"]
    server = {**tiny.spec["server"], "options": {"threads": 2}}
    tiny = replace(tiny, spec={**tiny.spec, "server": server})
    await apply(made, replace(changed, elements={**changed.elements, "model.tiny": tiny}))
    assert len(place.starts("desk.starts")) == 2
    await until(lambda: [state for _, state, _ in processes(made)] == ["resting"])
    assert (await ask(made)).text == "well"
    assert len(place.starts("desk.starts")) == 3


async def test_one_that_another_deployment_uses_stays(opened: tuple[Place, InProcess]) -> None:
    """It found the server and knows nothing of its rest; when it is gone the server rests again, and while it rests it is
    started for it."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, resting(place))
    await until(rests(made))
    guest = blueprint(
        model("tiny", provider="llama-cpp", ids={"*": ["tiny"]}), agent("guest", models=["tiny"]), name="guest"
    )
    await apply(made, guest)
    await until(lambda: processes(made) == READY)
    assert (await made.planes.engines.get("guest").run(Request("hello"))).text == "well"
    await looked(made)
    assert (processes(made), len(place.starts("desk.starts"))) == (READY, 2)
    await made.planes.reconciler.down("guest", 1.0, lambda _: None)
    await until(rests(made))


async def test_the_least_recently_used_rests_where_not_all_may_stay(opened: tuple[Place, InProcess]) -> None:
    """`model_cache_size` counts servers of ours that rest as it counts models."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    await apply(made, two_of_them(place, model_cache_size=700_000_000))
    await until(lambda: sorted(state for _, state, _ in processes(made)) == ["ready", "resting"])
    assert (await ask(made, agent="clerk-one")).text == "well"
    await until(lambda: processes(made) == [("one", "ready", "live"), ("two", "resting", "live")])
    assert (await ask(made, agent="clerk-two")).text == "well"
    await until(lambda: processes(made) == [("one", "resting", "live"), ("two", "ready", "live")])


def two_of_them(place: Place, keep_alive: float = 3600.0, **resources: Any) -> Blueprint:
    specs = []
    for alias in ("one", "two"):
        (element,) = desk(place, alias, context_length=1024).of_kind("model")
        server = element.spec["server"]
        specs.append(model(alias, provider="llama-cpp", ids={"*": [alias]}, server=server, keep_alive=keep_alive))
    clerks = [agent(f"clerk-{each['alias']}", models=[each["alias"]]) for each in specs]
    made = blueprint(*specs, *clerks, name="desk", entry="agent.clerk-one")
    return replace(made, resources=resources)


async def test_what_one_takes_that_may_rest_is_counted_with_models(
    opened: tuple[Place, InProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs and while it rests: what models may take is not less for it, since they share that in turns. One that never
    rests is taken from it."""
    place, made = opened
    place.model("desk.gguf")
    limit = 2_000_000_000
    budgets: list[int] = []
    plane = type(made.planes.reconciler.table.plane)
    known = plane.set_endpoints

    def heard(self: Any, endpoints: Any, pools: Mapping[str, PoolLimits]) -> None:
        budgets.extend(each.budget for each in pools.values())
        known(self, endpoints, pools)

    monkeypatch.setattr(plane, "set_endpoints", heard)
    await apply(made, resting(place, None, max_memory_usage=limit))
    (took,) = [each["memory"] for each in status(made.planes.reconciler)[0]["servers"]]
    assert set(budgets) == {limit - ORCHESTRATOR - took}
    budgets.clear()
    await apply(made, resting(place, 0.3, max_memory_usage=limit))
    await until(rests(made))
    assert set(budgets[-1:]) == {limit - ORCHESTRATOR}


async def test_a_second_process_comes_and_goes_by_the_demand_and_then_one_rests(
    opened: tuple[Place, InProcess],
) -> None:
    """While two run neither rests, whatever the manifest says; nobody's request fails meanwhile."""
    place, made = opened
    made.planes.reconciler.starting.demand = Demand(DemandRules(busy_for=0.5, calm_for=1.0))
    place.model("desk.gguf", takes=0.05)
    wanted = resting(place)
    tiny = wanted.elements["model.tiny"]
    tiny = replace(tiny, spec={**tiny.spec, "server": {**tiny.spec["server"], "max_instances": 2}})
    await apply(made, replace(wanted, elements={**wanted.elements, "model.tiny": tiny}))
    callers = Callers(made)
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(callers.ask)
        await until(lambda: processes(made) == [("tiny", "ready", "live"), ("tiny#2", "ready", "live")], 20)
        callers.stopped = True
    assert [each.can_rest for each in endpoints(made)] == [False, False]
    assert {line.split()[0] for line in callers.served} == {"well"}
    await until(lambda: [state for _, state, _ in processes(made)] == ["resting"], 20)
    assert len([*place.starts("desk.starts")]) == 2
    assert (await ask(made)).text == "well"


async def test_a_runtime_that_comes_back_starts_one_that_rested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows that it can be had, and rests again in its time; the runtime before left nothing of it."""
    place = Place(tmp_path)
    monkeypatch.setenv("PATH", f"{place.program().parent}:{os.environ['PATH']}")
    place.model("desk.gguf")
    begun: list[int] = []
    for life in (1, 2):
        async with open_in_process(resting(place), state=tmp_path / "own", settings=SETTINGS) as made:
            await until(rests(made))
            assert len(place.starts("desk.starts")) == life
            arm("server.recorded", 1, lambda: begun.append(1))
        disarm()
        assert (place.processes(), begun) == ([], []), "one that rests is not started to be ended"
