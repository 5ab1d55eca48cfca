"""A server that changes, as real processes: the new one is ready before the old one ends, and what fails changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import DeployError
from orchestrator.core.event import Event
from orchestrator.core.failpoint import arm, disarm
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.diff import diff
from orchestrator.plan.plan import Plan
from tests.plan.parts import agent, blueprint, rule
from tests.runtime.living import free_port
from tests.servers.asking import answer, in_work
from tests.servers.conftest import desk
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

TOGETHER = 12
"""Requests that are in work at once."""


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


def processes(made: InProcess) -> list[tuple[str, str, str]]:
    (found,) = [each for each in status(made.planes.reconciler) if each["name"] == "desk"]
    return [(each["process"], each["state"], each["use"]) for each in found["servers"]]


def with_threads(place: Place, threads: int) -> Blueprint:
    return desk(place, "desk", threads=threads)


async def test_hundreds_of_requests_over_three_changes_are_all_answered_by_the_model(
    opened: tuple[Place, InProcess],
) -> None:
    """None falls back to the rule that answers without it, and one process is left."""
    place, made = opened
    place.model("desk.gguf", loading=0.3)
    await apply(made, with_threads(place, 1))
    answers: list[str] = []
    changed = anyio.Event()

    async def ask() -> None:
        while not changed.is_set() or len(answers) < 300:
            answers.append(await answer(made))

    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(ask)
        for threads in (2, 3, 4):
            plan = await apply(made, with_threads(place, threads))
            assert "~ server.tiny: start llama-server with desk.gguf anew beside the one that serves" in "\n".join(
                str(step) for step in plan.steps
            )
        changed.set()
    assert len(answers) >= 300 and set(answers) == {"well"}
    await until(lambda: len(place.processes()) == 1)
    assert [line.split("--threads ")[1][0] for line in place.starts("desk.starts")] == ["1", "2", "3", "4"]
    assert (await apply(made, with_threads(place, 4))).empty


async def test_a_request_in_work_ends_on_the_old_process(opened: tuple[Place, InProcess], tmp_path: Path) -> None:
    """However long it takes: only then is that one ended."""
    place, made = opened
    go = tmp_path / "go"
    place.model("desk.gguf", waits=str(go))
    await apply(made, with_threads(place, 1))
    (first,) = place.processes()
    async with anyio.create_task_group() as tasks:
        answers = await in_work(made, tasks)
        place.model("desk.gguf")
        await apply(made, with_threads(place, 2))
        assert processes(made) == [("tiny", "ready", "draining"), ("tiny#2", "ready", "live")]
        assert first.is_running() and answers == []
        assert await answer(made) == "well"
        assert answers == []
        go.touch()
    assert answers == ["well"]
    await until(lambda: processes(made) == [("tiny#2", "ready", "live")])
    assert not first.is_running()
    await apply(made, with_threads(place, 3))
    await until(lambda: processes(made) == [("tiny", "ready", "live")])


async def test_one_that_does_not_come_up_changes_nothing(opened: tuple[Place, InProcess]) -> None:
    """The apply fails with the last words of the new process; the revision, the plan and the old process stay."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, with_threads(place, 1))
    (before,) = place.processes()
    told: list[str] = []

    def hear(event: Event) -> None:
        told.append(f"{event.fields['state']} {event.fields['address']}")

    place.model("bad.gguf", exit=0)
    wanted = replace(desk(place, "bad"), name="desk")
    with pytest.raises(DeployError, match=r"the server of tiny does not come up .* cannot allocate 9 GB") as raised:
        await made.planes.reconciler.apply(Wanted(wanted), hear)
    assert "it rests" not in raised.value.message
    assert raised.value.cure == "desk goes on as it was; mend it and apply again"
    assert told == ["started server.tiny", "failed server.tiny"]
    assert await answer(made) == "well"
    await until(lambda: processes(made) == [("tiny", "ready", "live")])
    assert [each.pid for each in place.processes()] == [before.pid]
    assert [each.number for each in await made.planes.reconciler.desired.history("desk")] == [1]
    assert (await apply(made, with_threads(place, 1))).empty


async def test_a_new_model_file_is_an_update_when_it_is_applied_again(opened: tuple[Place, InProcess]) -> None:
    """Not before: it may still be written. The plan says that it is the file."""
    place, made = opened
    place.model("desk.gguf")
    wanted = with_threads(place, 1)
    await apply(made, wanted)
    place.model("desk.gguf", loading=0.1)
    await looked(made)
    assert len(place.starts("desk.starts")) == 1
    shown = [str(step) for step in diff(wanted, await made.planes.reconciler.observe(wanted)).steps]
    assert shown[0].endswith("(changed: the file of its model)") and "beside the one that serves" in shown[0]
    await looked(made)
    assert len(place.starts("desk.starts")) == 1
    await apply(made, wanted)
    assert await answer(made) == "well"
    await until(lambda: len(place.processes()) == 1)
    assert len(place.starts("desk.starts")) == 2
    assert (await apply(made, wanted)).empty
    await looked(made)
    assert len(place.starts("desk.starts")) == 2


async def test_where_two_do_not_fit_the_old_one_is_ended_first(opened: tuple[Place, InProcess]) -> None:
    """The plan says so with the arithmetic."""
    place, made = opened
    place.model("desk.gguf")
    within = {"max_memory_usage": 1_000_000_000}
    await apply(made, replace(desk(place, "desk", context_length=1024), resources=within))
    plan = await apply(made, replace(desk(place, "desk", context_length=1000), resources=within))
    assert "~ server.tiny: restart llama-server with desk.gguf, ended first: two do not fit (610 MB" in str(
        plan.steps[0]
    )
    assert "less 613 MB for the server of tiny as it runs" in str(plan.steps[0])
    assert len(place.processes()) == 1 and processes(made) == [("tiny", "ready", "live")]


async def test_a_port_of_its_own_is_never_had_twice(opened: tuple[Place, InProcess]) -> None:
    """Ended first, too; with another port it comes beside."""
    place, made = opened
    place.model("desk.gguf")

    def at(port: int, threads: int) -> Blueprint:
        (element,) = with_threads(place, threads).of_kind("model")
        spec = {**element.spec, "server": {**element.spec["server"], "port": port}}
        return blueprint(spec, agent("clerk", models=["tiny"], reflex=[rule("alone")]), name="desk")

    one, other = free_port(), free_port()
    await apply(made, at(one, 1))
    plan = await apply(made, at(one, 2))
    assert f"ended first: both would need port {one}" in str(plan.steps[0])
    plan = await apply(made, at(other, 2))
    assert "beside the one that serves" in str(plan.steps[0])
    assert await answer(made) == "well"


async def test_a_later_apply_takes_the_place_of_one_that_still_starts(opened: tuple[Place, InProcess]) -> None:
    """The earlier one is told, and its process is gone."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, with_threads(place, 1))
    place.model("slow.gguf", loading=30)
    failed: list[str] = []

    async def first() -> None:
        try:
            await apply(made, replace(desk(place, "slow"), name="desk"))
        except DeployError as error:
            failed.append(error.message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await until(lambda: bool(place.starts("slow.starts")))
        await apply(made, with_threads(place, 2))
        assert await answer(made) == "well"
    assert failed == ["a later apply of desk took the place of this one"]
    await until(lambda: len(place.processes()) == 1)
    assert "--threads 2" in " ".join(place.processes()[0].cmdline())


async def test_who_goes_away_while_it_starts_leaves_all_as_it_was(opened: tuple[Place, InProcess]) -> None:
    """The process that nobody waits for any more is ended."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, with_threads(place, 1))
    place.model("slow.gguf", loading=30)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(apply, made, replace(desk(place, "slow"), name="desk"))
        await until(lambda: bool(place.starts("slow.starts")))
        assert await answer(made) == "well"
        tasks.cancel_scope.cancel()
    await until(lambda: processes(made) == [("tiny", "ready", "live")])
    assert (await apply(made, with_threads(place, 1))).empty


@pytest.mark.parametrize("point", ["server.rotating", "server.rotated"])
async def test_a_caller_that_goes_away_while_it_begins_leaves_only_the_old_one(
    opened: tuple[Place, InProcess], point: str
) -> None:
    """Nothing was recorded, so the new process is for nobody."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, with_threads(place, 1))
    (before,) = place.processes()
    with anyio.CancelScope() as asking:
        arm(point, 1, asking.cancel)
        try:
            await apply(made, with_threads(place, 2))
        finally:
            disarm()
    assert asking.cancelled_caught
    await looked(made)  # by then it would have been started
    await until(lambda: [each.pid for each in place.processes()] == [before.pid])
    assert [each.number for each in await made.planes.reconciler.desired.history("desk")] == [1]
    assert await answer(made) == "well"
    assert (await apply(made, with_threads(place, 1))).empty


async def test_taken_down_while_the_new_one_starts_nothing_is_left(opened: tuple[Place, InProcess]) -> None:
    """Neither of the two processes."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, with_threads(place, 1))
    place.model("slow.gguf", loading=30)
    failed: list[str] = []

    async def change() -> None:
        try:
            await apply(made, replace(desk(place, "slow"), name="desk"))
        except DeployError as error:
            failed.append(error.message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change)
        await until(lambda: bool(place.starts("slow.starts")))
        await made.planes.reconciler.down("desk", 1.0, lambda _: None)
    assert len(failed) == 1 and "not wanted any more" in failed[0]
    assert place.processes() == []
