"""Applies that wait for a server: others are served meanwhile, and what is taken down meanwhile stays down."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from orchestrator.app.wiring import InProcess, open_in_process
from orchestrator.core.errors import DeployError, OrchestratorError, PlanError
from orchestrator.core.event import Event
from orchestrator.core.failpoint import arm, disarm
from orchestrator.core.request import Request
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from tests.launchers.programs import put
from tests.servers.conftest import SETTINGS, desk
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio


async def test_others_are_applied_and_served_while_a_model_loads(opened: tuple[Place, InProcess]) -> None:
    """The first apply ends when its server is ready, and says so; the second does not wait for it."""
    place, made = opened
    place.model("slow.gguf", loading=1.5)
    place.model("quick.gguf")
    order: list[str] = []
    told: list[str] = []

    def hear(event: Event) -> None:
        told.append(f"{event.fields.get('state')} {event.fields.get('number')} {event.fields.get('address')}")

    async def apply(name: str) -> None:
        await made.planes.reconciler.apply(Wanted(desk(place, name)), hear if name == "slow" else lambda _: None)
        order.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(apply, "slow")
        await until(lambda: bool(place.starts("slow.starts")))
        (waiting,) = [each for each in status(made.planes.reconciler) if each["name"] == "slow"]
        assert (waiting["state"], waiting["error"]) == ("starting", None)
        assert [(each["address"], each["what"][:15]) for each in waiting["waits"]] == [
            ("server.tiny", "its first token")
        ]
        await apply("quick")
        assert (await made.planes.engines.get("quick").run(Request("hello"))).text == "well"
    assert order == ["quick", "slow"]
    assert (await made.planes.engines.get("slow").run(Request("hello"))).text == "well"
    assert told == [
        *("started 1 server.tiny", "done 1 server.tiny", "started 2 model.tiny", "done 2 model.tiny"),
        *("started 3 agent.clerk", "done 3 agent.clerk", "started 4 deployment.slow", "done 4 deployment.slow"),
    ]


async def test_what_is_taken_down_while_it_starts_stays_down(opened: tuple[Place, InProcess]) -> None:
    """Its apply is told, and its process is gone."""
    place, made = opened
    place.model("slow.gguf", loading=30)
    failed: list[DeployError] = []

    async def apply() -> None:
        try:
            await made.planes.reconciler.apply(Wanted(desk(place, "slow")), lambda _: None)
        except DeployError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(apply)
        await until(lambda: bool(place.starts("slow.starts")))
        await made.planes.reconciler.down("slow", 1.0, lambda _: None)
    assert [error.message for error in failed] == ["slow was taken down before it was ready"]
    assert place.processes() == []
    assert [each["name"] for each in status(made.planes.reconciler)] == ["spare"]


async def test_a_number_of_requests_that_bounds_nothing_starts_no_server_again(
    opened: tuple[Place, InProcess],
) -> None:
    """The deployment takes more at once; its server is told four as before, and keeps its model loaded."""
    place, made = opened
    place.model("tiny.gguf")
    wanted = desk(place, "tiny", max_num_seqs=4)
    pids: list[int] = []
    for number in (50, 60):
        await made.planes.reconciler.apply(Wanted(replace(wanted, max_concurrent=number)), lambda _: None)
        await looked(made)
        pids += [each.pid for each in place.processes()]
    assert len(place.starts()) == 1 and pids[0] == pids[1]
    await made.planes.reconciler.apply(Wanted(replace(wanted, max_concurrent=2)), lambda _: None)
    await looked(made)
    assert len(place.starts()) == 2


@pytest.mark.parametrize("point", ["apply.received", "apply.observed", "apply.recorded"])
async def test_an_apply_whose_caller_went_away_while_it_began_is_settled(
    opened: tuple[Place, InProcess], point: str
) -> None:
    """It goes on without its caller: what is recorded is served, and looked after."""
    place, made = opened
    place.model("slow.gguf", loading=0.5)
    with anyio.CancelScope() as asking:
        arm(point, 1, asking.cancel)
        try:
            await made.planes.reconciler.apply(Wanted(desk(place, "slow")), lambda _: None)
        finally:
            disarm()
    assert asking.cancelled_caught
    with anyio.fail_after(10):
        while "slow" not in made.planes.engines.names() or await says(made, "slow") != "well":  # noqa: ASYNC110 - it knows no event
            await anyio.sleep(0.05)  # a real process, which gives no sign
    (found,) = [each for each in status(made.planes.reconciler) if each["name"] == "slow"]
    assert (found["state"], len(place.starts("slow.starts"))) == ("running", 1)


async def says(made: InProcess, name: str) -> str:
    """What a deployment answers now."""
    return (await made.planes.engines.get(name).run(Request("hello"))).text


async def test_a_plan_of_an_apply_twice_is_empty_and_the_process_the_same(opened: tuple[Place, InProcess]) -> None:
    """Also after the loop has looked around."""
    place, made = opened
    place.model("desk.gguf")
    first = await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    assert [each.by for each in first.plan.serving] != ["tiny (llama-server, once it is started)"]
    await looked(made)
    again = await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    assert again.plan.empty and len(place.starts("desk.starts")) == 1


async def test_an_option_that_the_program_lacks_changes_nothing(opened: tuple[Place, InProcess]) -> None:
    """The apply is refused before anything is recorded; what served before serves on."""
    place, made = opened
    place.model("desk.gguf")
    await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    with pytest.raises(PlanError, match="the server of tiny: numa"):
        await made.planes.reconciler.apply(Wanted(desk(place, "desk", numa=True)), lambda _: None)
    (found,) = [each for each in status(made.planes.reconciler) if each["name"] == "desk"]
    assert (found["state"], found["revision"], found["servers"][0]["state"]) == ("running", 1, "ready")


async def test_a_model_file_that_comes_later_is_served_without_another_apply(opened: tuple[Place, InProcess]) -> None:
    """The loop looks whether what is missing is there now."""
    place, made = opened
    applied = await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    assert "there is no file" in str(applied.plan)
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "alone"
    place.model("desk.gguf")
    with anyio.fail_after(10):
        while (await made.planes.engines.get("desk").run(Request("hello"))).text != "well":  # noqa: ASYNC110 - it knows no event
            await anyio.sleep(0.05)  # a real process, which gives no sign


async def test_a_model_file_that_cannot_be_read_takes_nothing_down(opened: tuple[Place, InProcess]) -> None:
    """Others are applied and served, a plan of its deployment says why, and its server runs on until the file is back."""
    place, made = opened
    file = place.model("desk.gguf")
    await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    (before,) = place.processes()
    file.unlink()
    file.symlink_to("x" * 300)  # no name of a file is that long: each look at it fails, and not as one that is missing
    await looked(made)
    place.model("other.gguf")
    await made.planes.reconciler.apply(Wanted(desk(place, "other")), lambda _: None)
    assert (await made.planes.engines.get("other").run(Request("hello"))).text == "well"
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "alone"
    observed = await made.planes.reconciler.observe(desk(place, "desk"))
    (prospect,) = observed.prospects.values()
    assert prospect.why == f"{file} cannot be read: File name too long"
    assert prospect.cure == "mend the disk or the rights on it, or mend `path`"
    file.unlink()
    place.model("desk.gguf")
    await looked(made)
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "well"
    assert before in place.processes() and len(place.starts("desk.starts")) == 1


async def test_a_program_that_says_nothing_of_itself_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the apply of another deployment nor the end; and the loop goes on looking."""
    place = Place(tmp_path)
    monkeypatch.setenv("PATH", f"{place.program().parent}:{os.environ['PATH']}")
    place.model("hung.gguf")
    place.model("quick.gguf")
    put(place.root / "bin", "mlx_lm.server", f"touch {place.root / 'asked'}; exec sleep 1000")
    failed: list[OrchestratorError] = []
    hung = desk(place, "hung")
    (model,) = hung.of_kind("model")
    spec = {**model.spec, "provider": "mlx", "server": {**model.spec["server"], "kind": "mlx"}}
    hung = replace(hung, elements={**hung.elements, model.address: replace(model, spec=spec)})

    async def apply(made: InProcess) -> None:
        try:
            await made.planes.reconciler.apply(Wanted(hung), lambda _: None)
        except OrchestratorError as error:
            failed.append(error)

    with anyio.fail_after(8):  # less than the program has
        opening = open_in_process(desk(place, "quick"), state=tmp_path / "own", settings=SETTINGS)
        async with anyio.create_task_group() as tasks, opening as made:
            tasks.start_soon(apply, made)
            await until((place.root / "asked").exists)
            place.model("other.gguf")
            await made.planes.reconciler.apply(Wanted(desk(place, "other")), lambda _: None)
            await looked(made)
    assert [each.message for each in failed] == ["the runtime is shutting down"]
    assert place.processes() == []


async def test_one_whose_model_file_is_deleted_goes_on_with_what_it_has_open(opened: tuple[Place, InProcess]) -> None:
    """Also where it is applied again; the plan tells it. A file that is put back changes nothing before the next apply."""
    place, made = opened
    file, wanted = place.model("desk.gguf"), desk(place, "desk")
    await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)
    (before,) = place.processes()
    for change in (file.unlink, lambda: place.model("desk.gguf", loading=0.1)):
        change()
        await looked(made)
        assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "well"
    file.unlink()
    again = await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)
    assert again.plan.empty
    told = "tiny: its server goes on with what it has open, and could not be started again: there is no file"
    assert [note for note in again.plan.notes if note.startswith(told)]
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "well"
    assert [each.pid for each in place.processes()] == [before.pid]


async def test_one_whose_program_is_deleted_goes_on(opened: tuple[Place, InProcess]) -> None:
    """And is not served without its model until it ends."""
    place, made = opened
    place.model("desk.gguf")
    await made.planes.reconciler.apply(Wanted(desk(place, "desk")), lambda _: None)
    (place.root / "bin" / "llama-server").unlink()
    await looked(made)
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "well"
    for each in place.processes():
        each.kill()
    await until(lambda: not place.processes())
    await looked(made)
    assert (await made.planes.engines.get("desk").run(Request("hello"))).text == "alone"


async def test_a_draft_model_that_is_not_there_is_told_before_anything_is_started(
    opened: tuple[Place, InProcess],
) -> None:
    """As its model is."""
    place, made = opened
    place.model("desk.gguf")
    draft = str(place.root / "draft.gguf")
    applied = await made.planes.reconciler.apply(Wanted(desk(place, "desk", speculative_model=draft)), lambda _: None)
    assert f"there is no file {draft}" in str(applied.plan)
    assert place.starts("desk.starts") == []
