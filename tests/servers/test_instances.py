"""A second process of a server while its slots are busy, as real processes: it shares the work, and ends when it is calm."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.app.wiring import InProcess, Plugins
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.request import Request
from orchestrator.deploy.demand import Demand, DemandRules
from orchestrator.deploy.starting import Starting
from orchestrator.deploy.wanted import Wanted
from tests.plan.parts import agent, blueprint, model, rule
from tests.servers.conftest import desk
from tests.servers.test_rotation import apply, processes
from tests.servers.yard import Nobody, Place, until

pytestmark = pytest.mark.anyio

QUICK = DemandRules(busy_for=0.5, calm_for=1.0)
TOGETHER = 6
"""Callers at once, for one slot."""


@pytest.fixture
def opened(opened: tuple[Place, InProcess]) -> tuple[Place, InProcess]:
    """The same, with quick rules of demand."""
    opened[1].planes.reconciler.starting.demand = Demand(QUICK)
    return opened


def saving(power: str) -> dict[str, Any]:
    """A deployment that spares the battery, on this power."""
    return {"resources": {"power_management": True}, "hardware": {"power": power}}


def growing(place: Place, most: int, **options: Any) -> Blueprint:
    (element,) = desk(place, "desk", **options).of_kind("model")
    server = element.spec["server"] | {"max_instances": most}
    tiny = model("tiny", provider="llama-cpp", ids={"*": ["tiny"]}, server=server)
    return blueprint(tiny, agent("clerk", models=["tiny"], reflex=[rule("alone")]), name="desk")


class Callers:
    """Ask without a pause until they are stopped."""

    def __init__(self, made: InProcess) -> None:
        self.made = made
        self.stopped = False
        self.served: Counter[str] = Counter()

    async def ask(self) -> None:
        while not self.stopped:
            result = await self.made.planes.engines.get("desk").run(Request("hello"))
            self.served[f"{result.text} {result.served_by}"] += 1


async def test_it_comes_with_the_work_and_goes_when_it_is_calm(opened: tuple[Place, InProcess]) -> None:
    """Both serve meanwhile; no request fails or goes without the model, also not when the second ends."""
    place, made = opened
    place.model("desk.gguf", takes=0.05)
    await apply(made, growing(place, 2))
    callers = Callers(made)
    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(callers.ask)
        await until(lambda: processes(made) == [("tiny", "ready", "live"), ("tiny#2", "ready", "live")], 20)
        callers.served.clear()
        await until(lambda: callers.served.total() > 100)
        callers.stopped = True
    assert {line.split()[0] for line in callers.served} == {"well"}
    assert len(callers.served) == 2 and min(callers.served.values()) > 20
    assert (await made.planes.reconciler.apply(Wanted(growing(place, 2)), lambda _: None)).plan.empty
    await until(lambda: processes(made) == [("tiny", "ready", "live")], 20)
    assert len(place.starts("desk.starts")) == 2


async def test_what_waited_before_it_came_is_given_to_it(opened: tuple[Place, InProcess]) -> None:
    """Nobody comes later who would be asked there: those in line are."""
    place, made = opened
    place.model("desk.gguf", takes=0.2)
    await apply(made, growing(place, 2))
    callers = Callers(made)
    callers.stopped = True

    async def ask_once() -> None:
        result = await made.planes.engines.get("desk").run(Request("hello"))
        callers.served[f"{result.text} {result.served_by}"] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(ask_once)
    assert {line.split()[0] for line in callers.served} == {"well"}
    assert len(callers.served) == 2 and min(callers.served.values()) > 5


async def test_it_does_not_come_where_the_manifest_does_not_say_so(opened: tuple[Place, InProcess]) -> None:
    """However busy it is."""
    place, made = opened
    place.model("desk.gguf", takes=0.05)
    await apply(made, desk(place, "desk"))
    callers = Callers(made)
    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(callers.ask)
        await anyio.sleep(1.5)
        callers.stopped = True
    assert len(place.starts("desk.starts")) == 1


async def test_on_battery_one_does_all_and_a_second_one_goes(opened: tuple[Place, InProcess]) -> None:
    """Where the manifest says to spare the battery: a second process is load, however busy the first one is."""
    place, made = opened
    place.model("desk.gguf", takes=0.05)
    await apply(made, replace(growing(place, 2), **saving("mains")))
    callers = Callers(made)
    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(callers.ask)
        await until(lambda: processes(made) == [("tiny", "ready", "live"), ("tiny#2", "ready", "live")], 20)
        await apply(made, replace(growing(place, 2), **saving("battery")))
        await until(lambda: processes(made) == [("tiny", "ready", "live")], 20)
        callers.served.clear()
        await until(lambda: callers.served.total() > 60)
        assert processes(made) == [("tiny", "ready", "live")]
        callers.stopped = True
    assert {line.split()[0] for line in callers.served} == {"well"}
    assert len(place.starts("desk.starts")) == 2


async def test_both_change_without_a_pause(opened: tuple[Place, InProcess]) -> None:
    """The first of the new ones takes over from two; while it is busy, a second one of it comes."""
    place, made = opened
    place.model("desk.gguf", takes=0.05)
    await apply(made, growing(place, 2, threads=1))
    callers = Callers(made)
    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(callers.ask)
        await until(lambda: len([each for each in processes(made) if each[2] == "live"]) == 2, 20)
        await apply(made, growing(place, 2, threads=2))
        await until(
            lambda: (
                len(place.processes()) == 2
                and all("--threads 2" in " ".join(each.cmdline()) for each in place.processes())
            ),
            20,
        )
        callers.stopped = True
    assert {line.split()[0] for line in callers.served} == {"well"}


async def test_a_later_life_takes_over_as_many_as_run(tmp_path: Path) -> None:
    """They are wished for until it is calm; of two that differ each counts alone."""
    place = Place(tmp_path)
    place.program()
    place.model()
    async with place.life(close=False) as servers:
        for name, threads in (("kiosk/tiny", 1), ("kiosk/tiny#2", 1), ("shop/tiny", 1), ("shop/tiny#2", 2)):
            servers.want(replace(place.want(options={"threads": threads}), name=name))
            await servers.settled(name)
    plugins = Plugins()
    starting = Starting(place.yard(plugins), lambda _: None, lambda _: None, lambda: None, Nobody())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(starting.servers.run)
        await starting.restore()
        assert (starting.demand.wished("kiosk/tiny"), starting.demand.wished("shop/tiny")) == (2, 1)
        assert len(place.processes()) == 4
        await starting.end_others([], ["shop"])
        assert {each.name for each in starting.observed().values()} == {"shop/tiny", "shop/tiny#2"}
        await starting.servers.close()
    await plugins.aclose()
    assert place.processes() == []
