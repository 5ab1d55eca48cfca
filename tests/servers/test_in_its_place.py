"""A server that comes in the place of another one, as real processes: the two are never there at once where both do not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError, PlanError
from orchestrator.core.event import Event
from orchestrator.core.request import Request, Result
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.diff import diff
from orchestrator.plan.plan import Plan
from tests.plan.parts import agent, blueprint, model, rule
from tests.runtime.living import free_port
from tests.servers.asking import answer, in_work
from tests.servers.conftest import desk
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

ONE = {"max_memory_usage": 700_000_000}
"""Room for one server of the fake program (613 MB) beside the orchestrator, and not for two."""


def of(place: Place, alias: str, port: int | None = None, **options: Any) -> Blueprint:
    """A deployment with one model, whose server is started with the file of its name."""
    (element,) = desk(place, alias, context_length=1024, **options).of_kind("model")
    server = {**element.spec["server"], "port": port}
    spec = model(alias, provider="llama-cpp", ids={"*": [alias]}, server=server)
    made = blueprint(spec, agent("clerk", models=[alias], reflex=[rule("alone")]), name="desk")
    return made if port else replace(made, resources=ONE)


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


def servers(made: InProcess, name: str = "desk") -> list[tuple[str, str]]:
    found = [each for each in status(made.planes.reconciler) if each["name"] == name]
    return [(each["process"], each["state"]) for one in found for each in one["servers"]]


@asynccontextmanager
async def counted(place: Place) -> AsyncIterator[list[int]]:
    """How many processes were there at each look."""
    found: list[int] = []

    async def count() -> None:
        while True:
            found.append(len(place.processes()))
            await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        yield found
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("busy", [False, True])
async def test_one_that_goes_is_ended_before_another_comes_in_its_place(
    opened: tuple[Place, InProcess], *, busy: bool
) -> None:
    """Where it works on a request it finishes that; the plan says it with the arithmetic, and a second apply changes nothing."""
    place, made = opened
    place.model("am.gguf", takes=3 if busy else 0)
    place.model("bm.gguf", loading=0.3)
    await apply(made, of(place, "am"))
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await answer(made))

    async with anyio.create_task_group() as tasks, counted(place) as found:
        if busy:
            tasks.start_soon(ask)
            live = made.planes.reconciler.table.get("desk")
            await until(lambda: live is not None and live.serving.in_flight == 1)
        plan = await apply(made, of(place, "bm"))
    assert max(found) == 1
    first, second, *others = [str(step) for step in plan.steps]
    assert first.startswith("- server.am: end first: both do not fit, bm needs 613 MB = ")
    assert first.endswith("less 613 MB for the server of am as it runs) (the manifest no longer has it)")
    assert second == "+ server.bm: start llama-server with bm.gguf (it does not run)"
    assert not any("server.am" in each for each in others)
    assert await answer(made) == "well"
    assert servers(made) == [("bm", "ready")]
    assert answers == (["well"] if busy else [])
    assert (await apply(made, of(place, "bm"))).empty


async def test_one_that_is_started_anew_with_other_options_first_finishes_what_it_works_on(
    opened: tuple[Place, InProcess],
) -> None:
    """Where two of it do not fit. Who comes meanwhile is answered by it too."""
    place, made = opened
    place.model("am.gguf", takes=3)
    await apply(made, of(place, "am"))
    answers: dict[str, str] = {}

    async def ask(who: str) -> None:
        answers[who] = await answer(made)

    async def come_later() -> None:
        await until(lambda: servers(made) == [("am", "stopping")])
        await ask("late")

    async with anyio.create_task_group() as tasks, counted(place) as found:
        tasks.start_soon(ask, "early")
        live = made.planes.reconciler.table.get("desk")
        await until(lambda: live is not None and live.serving.in_flight == 1)
        tasks.start_soon(come_later)
        plan = await apply(made, of(place, "am", threads=2))
    assert max(found) == 1
    assert [step for step in map(str, plan.steps) if "ended first: two do not fit" in step]
    assert answers == {"early": "well", "late": "well"}
    assert await answer(made) == "well"


async def test_a_request_that_calls_its_model_twice_is_finished_too(opened: tuple[Place, InProcess]) -> None:
    """The second call, which mends the first answer, begins after the server is on its way out."""
    place, made = opened
    place.model("am.gguf", takes=2)
    place.model("bm.gguf")

    def of_two_calls(alias: str) -> Blueprint:
        wanted = of(place, alias)
        (clerk,) = wanted.of_kind("agent")
        spec = {**clerk.spec, "output_schema": {"type": "object"}, "reflex": []}
        return replace(wanted, elements={**wanted.elements, clerk.address: replace(clerk, spec=spec)})

    await apply(made, of_two_calls("am"))
    results: list[Result] = []

    async def ask() -> None:
        results.append(await made.planes.engines.get("desk").run(Request("hello")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        live = made.planes.reconciler.table.get("desk")
        await until(lambda: live is not None and live.serving.in_flight == 1)
        await apply(made, of_two_calls("bm"))
    error = results[0].error
    assert error is not None and "does not fit its schema after one repair" in error["message"]
    assert [each.kind for each in results[0].steps].count("model") == 2


@pytest.mark.parametrize("one_port", [False, True])
@pytest.mark.parametrize("other", ["am", "bad"])
async def test_where_the_new_one_does_not_come_up_the_old_one_is_started_again(
    opened: tuple[Place, InProcess], other: str, *, one_port: bool
) -> None:
    """It was ended first, by the limit or for its port. Nothing is recorded: the same revision goes on by itself."""
    place, made = opened
    port = free_port() if one_port else None
    place.model("am.gguf")
    before = of(place, "am", port)
    await apply(made, before)
    place.model("bad.gguf", exit=0)
    wanted = of(place, "bad", port)
    if other == "am":  # the same model, with another file
        (element,) = before.of_kind("model")
        server = {**element.spec["server"], "model": str(place.root / "bad.gguf")}
        again = agent("clerk", models=["am"], reflex=[rule("alone")])
        wanted = replace(
            blueprint({**element.spec, "server": server}, again, name="desk"), resources=dict(before.resources)
        )
    told: list[str] = []

    def hear(event: Event) -> None:
        told.append(f"{event.fields['state']} {event.fields['action']} {event.fields['address']}")

    async with counted(place) as found:
        with pytest.raises(DeployError, match=r"does not come up .* cannot allocate 9 GB") as raised:
            await made.planes.reconciler.apply(Wanted(wanted), hear)
        assert raised.value.cure == "desk goes on as it was, its server is started again; mend it and apply again"
        await until(lambda: servers(made) == [("am", "ready")])
    assert max(found) <= 1
    if other == "am":
        assert told == ["started RestartServer server.am", "failed RestartServer server.am"]
    else:
        assert told == [
            "started EndServer server.am",
            "done EndServer server.am",
            "started StartServer server.bad",
            "failed StartServer server.bad",
        ]
    await looked(made)
    assert await answer(made) == "well"
    assert [each.number for each in await made.planes.reconciler.desired.history("desk")] == [1]
    assert (await apply(made, before)).empty


async def test_who_goes_away_meanwhile_leaves_the_old_one_serving(opened: tuple[Place, InProcess]) -> None:
    """What was ended for it is started again, once the new one is gone."""
    place, made = opened
    place.model("am.gguf")
    place.model("slow.gguf", loading=30)
    await apply(made, of(place, "am"))
    async with anyio.create_task_group() as tasks, counted(place) as found:
        tasks.start_soon(apply, made, of(place, "slow"))
        await until(lambda: bool(place.starts("slow.starts")))
        await looked(made)
        assert servers(made) == [("slow", "starting")]
        tasks.cancel_scope.cancel()
    await until(lambda: servers(made) == [("am", "ready")])
    assert max(found) == 1
    assert (await apply(made, of(place, "am"))).empty


@pytest.mark.parametrize("other", ["am", "bm"])
async def test_one_that_still_finishes_goes_on_where_the_apply_is_broken_off(
    opened: tuple[Place, InProcess], other: str
) -> None:
    """It was not asked to end yet: its process stays, and serves the next request too."""
    place, made = opened
    place.model("am.gguf", takes=3)
    place.model("bm.gguf")
    await apply(made, of(place, "am"))
    (before,) = place.processes()
    async with anyio.create_task_group() as tasks:
        answers = await in_work(made, tasks)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as applies:
                applies.start_soon(apply, made, of(place, other, threads=2))
                await until(lambda: ("am", "stopping") in servers(made))
                scope.cancel()
        await until(lambda: servers(made) == [("am", "ready")])
    assert answers == ["well"]
    assert await answer(made) == "well"
    assert place.processes() == [before]
    assert (await apply(made, of(place, "am"))).empty


@pytest.mark.parametrize("other", ["am", "page"])
async def test_a_file_that_no_server_can_load_ends_nothing(opened: tuple[Place, InProcess], other: str) -> None:
    """It is looked at before: the apply is refused, and the process that serves is the same. The first apply of it is told."""
    place, made = opened
    place.model("am.gguf")
    await apply(made, replace(of(place, "am"), resources={}))
    (before,) = place.processes()
    (place.root / "page.gguf").write_text("<html>not found</html>")
    wanted = replace(of(place, other), resources={})
    if other == "am":  # in the place of its file
        (place.root / "am.gguf").unlink()
        (place.root / "page.gguf").rename(place.root / "am.gguf")
    with pytest.raises(
        PlanError, match=rf"the server of {other} would not start: {other}.gguf is no GGUF file"
    ) as raised:
        await apply(made, wanted)
    assert raised.value.cure == "put the whole file there, or mend `path`; desk goes on as it was"
    await looked(made)
    assert [each.pid for each in place.processes()] == [before.pid]
    assert await answer(made) == "well"
    shop = replace(wanted, name="shop")
    first = diff(shop, await made.planes.reconciler.observe(shop))
    assert f"{other}: its server will not start: {other}.gguf is no GGUF file: put the whole file there" in str(first)


@pytest.mark.parametrize("wrong", ["path", "limit"])
async def test_a_server_that_cannot_be_started_ends_nothing(opened: tuple[Place, InProcess], wrong: str) -> None:
    """An agent that is answered now would have nobody: a typo in `path`, or less memory than its model takes."""
    place, made = opened
    place.model("am.gguf")

    def only(name: str, limit: int) -> Blueprint:
        wanted = replace(of(place, name), resources={"max_memory_usage": limit})
        (clerk,) = wanted.of_kind("agent")
        spec = {**clerk.spec, "reflex": []}
        return replace(wanted, elements={**wanted.elements, clerk.address: replace(clerk, spec=spec)})

    await apply(made, only("am", 2_000_000_000))
    (before,) = place.processes()
    told = {
        "path": "there is no file .*/other.gguf$",
        "limit": r"\[ORC530\] am does not fit this device: its server needs 613 MB",
    }
    with pytest.raises(PlanError, match=rf"^agent.clerk would have nothing to answer with; .* {told[wrong]}"):
        await apply(made, only("other", 2_000_000_000) if wrong == "path" else only("am", 400_000_000))
    await looked(made)
    assert [each.pid for each in place.processes()] == [before.pid]
    assert await answer(made) == "well"
    assert (await apply(made, only("am", 2_000_000_000))).empty
