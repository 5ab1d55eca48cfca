"""Real processes within a limit: the second is not started, what goes makes room, and the best build of a folder is taken."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import PlanError
from orchestrator.deploy.prospects import Looked, builds_in, look_at, wants_of
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from orchestrator.manifest.catalogue.reader import find_model
from orchestrator.plan.observed import ObservedState, StartedServer
from orchestrator.plan.plan import Plan
from orchestrator.plan.servers import server_notes
from orchestrator.ports.lifecycle import Launch, LaunchOrder, SetAside
from tests.plan.parts import agent, blueprint, model, rule
from tests.servers.asking import answer
from tests.servers.conftest import desk
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

ONE = 700_000_000
"""Room for one server of the fake program (479 MB) beside the orchestrator, and not for two."""
SMALL: dict[str, Any] = {"context_length": 1024}


def within(limit: int, wanted: Blueprint) -> Blueprint:
    return replace(wanted, resources={"max_memory_usage": limit})


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


def pair(place: Place, limit: int) -> Blueprint:
    """One deployment with two models, each with a server of its own. The first is pinned: they do not take turns."""
    specs = []
    for alias in ("one", "two"):
        (element,) = desk(place, alias, **SMALL).of_kind("model")
        pinned = alias == "one"
        server = element.spec["server"]
        specs.append(model(alias, provider="llama-cpp", ids={"*": [alias]}, server=server, pinned=pinned))
    clerks = [agent(f"clerk-{each['alias']}", models=[each["alias"]], reflex=[rule("alone")]) for each in specs]
    return within(limit, blueprint(*specs, *clerks, name="pair"))


def desired(made: InProcess, name: str) -> Blueprint:
    found = made.planes.reconciler.desired.get(name)
    assert found is not None
    return found.blueprint


def servers_of(made: InProcess, name: str) -> list[dict[str, Any]]:
    (found,) = [each for each in status(made.planes.reconciler) if each["name"] == name]
    return list(found["servers"])


async def test_of_two_servers_of_one_deployment_the_second_has_no_room(opened: tuple[Place, InProcess]) -> None:
    """One process runs, status says what it takes, and the plan what the other would; a second apply changes nothing."""
    place, made = opened
    place.model("one.gguf")
    place.model("two.gguf")
    plan = await apply(made, pair(place, ONE))
    assert "two does not fit this device: its server needs 613 MB" in str(plan)
    assert (place.starts("one.starts") != [], place.starts("two.starts")) == (True, [])
    (found,) = [each for each in status(made.planes.reconciler) if each["name"] == "pair"]
    assert [(each["alias"], each["state"], each["memory"]) for each in found["servers"]] == [
        ("one", "ready", 10 + 1024 * 131_072 + 457 * 2**20)
    ]
    assert [each["alias"] for each in found["models"] if each["missing"]] == ["two"]
    assert (await apply(made, pair(place, ONE))).empty


async def test_what_is_taken_down_makes_room_for_another_deployment(opened: tuple[Place, InProcess]) -> None:
    """It is not started while the first runs, though only the first one's manifest has the limit; then it is, by itself."""
    place, made = opened
    place.model("first.gguf")
    place.model("second.gguf")
    await apply(made, within(ONE, desk(place, "first", **SMALL)))
    plan = await apply(made, within(ONE, desk(place, "second", **SMALL)))
    assert "less 613 MB for the server of first/tiny" in str(plan)
    assert await answer(made, "second") == "alone"
    await made.planes.reconciler.down("first", 1.0, lambda _: None)
    with anyio.fail_after(10):
        while await answer(made, "second") != "well":  # noqa: ASYNC110 - it knows no event
            await anyio.sleep(0.05)
    assert len(place.starts("second.starts")) == 1


async def test_one_that_was_given_up_leaves_its_memory_to_another_deployment(opened: tuple[Place, InProcess]) -> None:
    """No process of it runs. It says why it has no room now, and which `down` makes some; then it is tried again."""
    place, made = opened
    place.model("first.gguf", exit=0)
    place.model("second.gguf")
    await apply(made, within(ONE, desk(place, "first", **SMALL)))
    (first,) = servers_of(made, "first")
    assert (first["state"], first["memory"]) == ("failed", None)
    await apply(made, within(ONE, desk(place, "second", **SMALL)))
    assert await answer(made, "second") == "well"
    place.model("first.gguf")  # mended
    plan = await apply(made, within(ONE, desk(place, "first", **SMALL)))
    (gain,) = [each.cure for each in plan.serving]
    assert gain.endswith(", or make room: `orchestrator down second`")
    assert await answer(made, "first") == "alone"
    (missing,) = made.planes.reconciler.starting.prospects(desired(made, "first")).values()
    assert "less 613 MB for the server of second/tiny)" in missing.why
    assert missing.cure.endswith(", or make room: `orchestrator down second`")
    await looked(made)
    assert [each["state"] for each in servers_of(made, "first")] == ["failed"]  # its rest goes on
    await made.planes.reconciler.down("second", 1.0, lambda _: None)
    await apply(made, within(ONE, desk(place, "first", **SMALL)))
    assert await answer(made, "first") == "well"


async def test_one_that_was_given_up_leaves_its_memory_to_another_of_its_deployment(
    opened: tuple[Place, InProcess],
) -> None:
    """Which had no room beside it."""
    place, made = opened
    place.model("one.gguf", exit=0)
    place.model("two.gguf")
    await apply(made, pair(place, ONE))
    await until(lambda: [each["state"] for each in servers_of(made, "pair") if each["alias"] == "two"] == ["ready"])


async def test_a_limit_that_is_lowered_ends_the_server(opened: tuple[Place, InProcess]) -> None:
    """Its deployment goes on with what can do without a model."""
    place, made = opened
    place.model("desk.gguf")
    await apply(made, within(ONE, desk(place, "desk", **SMALL)))
    assert await answer(made, "desk") == "well"
    plan = await apply(made, within(ONE // 2, desk(place, "desk", **SMALL)))
    assert "- server.tiny" in str(plan) and "stop (it does not fit any more)" in str(plan)
    assert await answer(made, "desk") == "alone"
    await until(lambda: place.processes() == [])


async def test_a_server_goes_with_its_drain_while_a_request_is_in_work(opened: tuple[Place, InProcess]) -> None:
    """The apply that takes it away ends well, however long the request takes."""
    place, made = opened
    place.model("desk.gguf", stuck=0.5)
    await apply(made, desk(place, "desk", **SMALL))
    await anyio.sleep(0.6)
    without = blueprint(agent("clerk", reflex=[rule("alone")]), name="desk")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer, made, "desk")
        live = made.planes.reconciler.table.get("desk")
        await until(lambda: live is not None and live.serving.in_flight == 1)
        assert not (await apply(made, without)).empty
        assert len(place.processes()) == 1
        tasks.cancel_scope.cancel()
    await until(lambda: place.processes() == [])


def test_who_has_the_port_that_is_written_is_seen(tmp_path: Path) -> None:
    """Without listening there; the plan tells it, of ours by name, but for one of its own deployment, which is ended first."""
    place = Place(tmp_path)
    place.model()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def launch(_: str, order: LaunchOrder) -> Launch:
            return Launch(("x",), {}, f"http://127.0.0.1:{order.port}", "m")

        (found,) = look_at(place.want(port=port), launch, "llama-server")
    who = f"port {port} is taken by {psutil.Process().name()} (process {os.getpid()})"
    assert found.startable.prospect.taken == who
    (free,) = look_at(place.want(port=port), launch, "llama-server")
    assert free.startable.prospect.taken == ""
    seen = ObservedState(prospects={"kiosk/tiny": found.startable.prospect})
    told = f"tiny: {who}, and its server is not started before that is free: write another `port`, or none"
    assert told in list(server_notes(seen))
    ours = StartedServer("shop/other", "llama-cpp", "x", "ready", url=f"http://127.0.0.1:{port}")
    (named,) = server_notes(replace(seen, started={"shop/other": ours}))
    assert named == told.replace(who, f"port {port} is taken by server.other of shop")
    own = replace(ours, name="kiosk/other")
    assert list(server_notes(replace(seen, started={"kiosk/other": own}))) == []


def test_a_folder_has_the_builds_that_a_server_can_be_started_with(tmp_path: Path) -> None:
    """Of a model in parts the first, with the bytes of all; nothing that only goes with a model."""
    sizes = {"m-Q4_K_M.gguf": 40, "m-Q8_0-00001-of-00002.gguf": 50, "m-Q8_0-00002-of-00002.gguf": 30}
    for name, size in {**sizes, "mmproj-m.gguf": 9, "README.md": 1}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    assert [file.name for file in builds_in(tmp_path)] == ["m-Q4_K_M.gguf", "m-Q8_0-00001-of-00002.gguf"]

    def launch(_: str, order: LaunchOrder) -> Launch:
        return Launch(("x", order.model), {}, "http://127.0.0.1:1", "m", aside=SetAside(1024))

    want = replace(Place(tmp_path).want(), order=LaunchOrder(str(tmp_path), "m"))
    found = [each.startable for each in look_at(want, launch, "llama-server")]
    assert [(each.build, each.weights, each.aside.context) for each in found] == [
        ("q4_k_m", 40, 1024),
        ("q8_0", 80, 1024),
    ]
    (tmp_path / "empty").mkdir()
    (none,) = look_at(replace(want, order=LaunchOrder(str(tmp_path / "empty"), "m")), launch, "llama-server")
    assert none.startable.prospect.why == f"there is no GGUF file in {tmp_path / 'empty'}"
    (tmp_path / "m-Q4_K_M.gguf").unlink()
    (tmp_path / "m-Q4_K_M.gguf").symlink_to("x" * 300)  # too long for a name: it cannot be read
    found = [each.startable for each in look_at(want, launch, "llama-server")]
    whys = [each.prospect.why for each in found]
    assert whys == [f"{tmp_path / 'm-Q4_K_M.gguf'} cannot be read: File name too long", ""]


QWEN, PHI, SMOL = "qwen2.5-0.5b-instruct-q8_0.gguf", "phi-4-mini-q4_k_m.gguf", "smollm2-360m-q8_0.gguf"
MIXED = (PHI, QWEN, SMOL)


@pytest.mark.parametrize(
    ("alias", "files", "taken"),
    [
        ("phi-4-mini", MIXED, [PHI]),
        ("phi-4-mini", ("Phi-4-mini-instruct-UD-Q4_K_XL.gguf", QWEN), ["Phi-4-mini-instruct-UD-Q4_K_XL.gguf"]),
        ("qwen2.5-0.5b", MIXED, [QWEN]),
        ("mine", (QWEN, "qwen2.5-0.5b-instruct-q4_k_m.gguf"), ["qwen2.5-0.5b-instruct-q4_k_m.gguf", QWEN]),
        (
            "phi-4-mini",
            ("microsoft_Phi-4-mini-instruct-Q4_K_M.gguf", QWEN),
            ["microsoft_Phi-4-mini-instruct-Q4_K_M.gguf"],
        ),
        ("phi-4-mini", ("bartowski__Phi-4-mini-instruct-Q4_K_M.gguf",), ["bartowski__Phi-4-mini-instruct-Q4_K_M.gguf"]),
        (
            "llama-3.2-1b",
            ("x_Llama-3.2-1B-Instruct-GGUF_llama-3.2-1b-instruct-q8_0.gguf", QWEN),
            ["x_Llama-3.2-1B-Instruct-GGUF_llama-3.2-1b-instruct-q8_0.gguf"],
        ),
        ("mine", ("ours-q4_k_m.gguf", "ours-q8_0.gguf"), ["ours-q4_k_m.gguf", "ours-q8_0.gguf"]),
    ],
)
def test_of_a_folder_only_builds_of_the_model_are_taken(
    tmp_path: Path, alias: str, files: tuple[str, ...], taken: list[str]
) -> None:
    """By the names that the catalogue knows, also with whose file it is; of one name, where it does not know the model."""
    found = looked_at(tmp_path, alias, files)
    assert [Path(each.want.order.model).name for each in found] == taken
    assert {each.startable.strangers for each in found} == {tuple(sorted(set(files) - set(taken)))}
    assert not any(each.startable.supposed for each in found)


@pytest.mark.parametrize("name", ["phi-4-mini-of-ours", "model", "ggml-model"])
def test_a_name_that_may_be_the_models_is_taken_and_said(tmp_path: Path, name: str) -> None:
    """One that holds the model's name, or none at all, where the catalogue knows the model and not the file."""
    found = looked_at(tmp_path, "phi-4-mini", (f"{name}-q4_k_m.gguf", f"{name}-q8_0.gguf"))
    assert [(each.startable.build, each.startable.supposed) for each in found] == [("q4_k_m", True), ("q8_0", True)]


@pytest.mark.parametrize(
    ("alias", "files", "why"),
    [
        ("mine", MIXED, f"several models, and none is known as mine: {PHI} (phi-4-mini), {QWEN} (qwen2.5-0.5b), "),
        ("mine", ("a-q8_0.gguf", "b-q8_0.gguf"), "several models, and none is known as mine: a-q8_0.gguf, b-q8_0.gguf"),
        ("phi-4-mini", (QWEN,), f"another model than phi-4-mini: {QWEN} (qwen2.5-0.5b)"),
        ("phi-4-mini", (f"Qwen_{QWEN}",), f"another model than phi-4-mini: Qwen_{QWEN} (qwen2.5-0.5b)"),
        ("phi-4-mini", ("ours-q4_k_m.gguf",), "another model than phi-4-mini: ours-q4_k_m.gguf"),
    ],
)
def test_a_folder_of_other_models_is_refused(tmp_path: Path, alias: str, files: tuple[str, ...], why: str) -> None:
    """With their names, and the line to write. What was started with one of them before goes on with that."""
    (found,) = looked_at(tmp_path, alias, files)
    prospect = found.startable.prospect
    assert prospect.refused and prospect.why.startswith(f"{tmp_path} holds files of {why}")
    assert prospect.cure.partition(", or")[0] == f"name the file that is meant, like path: {tmp_path / files[0]}"
    (again,) = looked_at(tmp_path, alias, files, {str(tmp_path / files[0]): "as it was"})
    assert (again.want.order.model, again.startable.prospect.why) == (str(tmp_path / files[0]), "")


def looked_at(folder: Path, alias: str, files: tuple[str, ...], stamps: dict[str, str] | None = None) -> list[Looked]:
    """A server of this alias with a folder that holds these files."""
    for name in files:
        (folder / name).write_bytes(b"x")

    def launch(_: str, order: LaunchOrder) -> Launch:
        return Launch(("x", order.model), {}, "http://127.0.0.1:1", "m", aside=SetAside(1024))

    server: dict[str, Any] = {"kind": "llama-cpp", "model": str(folder), "scenario": None, "host": "127.0.0.1"}
    server |= {"port": None, "start_timeout": 20.0, "remote_code": False, "options": {}}
    row = find_model(alias)
    ids = {kind: [name] for kind, name in row["ids"].items()} if row else {"*": [alias]}
    spec = model(alias, provider="llama-cpp", ids=ids, server=server)
    (want,) = wants_of(blueprint(spec, agent("clerk", models=[alias]), name="shop"), folder)
    return look_at(want, launch, "llama-server", stamps or {})


async def test_the_plan_names_the_file_and_why_not_the_others(opened: tuple[Place, InProcess]) -> None:
    """What does not fit with its need, what is another model with its name."""
    place, made = opened
    folder = place.root / "builds"
    folder.mkdir()
    for name in ("tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", QWEN):
        place.model(f"builds/{name}")
    (element,) = desk(place, "desk", **SMALL).of_kind("model")
    tiny = model(
        "tiny", provider="llama-cpp", ids={"*": ["tiny"]}, server=element.spec["server"] | {"model": str(folder)}
    )
    wanted = blueprint(tiny, agent("clerk", models=["tiny"], reflex=[rule("alone")]), name="desk")
    step = str((await apply(made, wanted)).steps[0])
    told = f"q8_0 is the best build that fits (tiny-Q4_K_M.gguf is no better; {QWEN} is not tiny)"
    assert step == f"+ server.tiny: start llama-server with tiny-Q8_0.gguf; {told} (the manifest adds it)"


async def test_the_best_build_of_a_folder_is_started(opened: tuple[Place, InProcess]) -> None:
    """And the plan says which."""
    place, made = opened
    folder = place.root / "builds"
    folder.mkdir()
    for name in ("tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"):
        place.model(f"builds/{name}")
    (element,) = desk(place, "desk", **SMALL).of_kind("model")
    tiny = model(
        "tiny", provider="llama-cpp", ids={"*": ["tiny"]}, server=element.spec["server"] | {"model": str(folder)}
    )
    await apply(made, blueprint(tiny, agent("clerk", models=["tiny"], reflex=[rule("alone")]), name="desk"))
    assert (place.starts("builds/tiny-Q4_K_M.starts"), len(place.starts("builds/tiny-Q8_0.starts"))) == ([], 1)
    assert await answer(made, "desk") == "well"


async def test_the_plan_says_that_a_name_tells_another_model_or_none(opened: tuple[Place, InProcess]) -> None:
    """A name that holds the model's is said in the step; another one is refused, until the file itself is named."""
    place, made = opened
    (place.root / "builds").mkdir()
    ours = place.model("builds/phi-4-mini-of-ours-q4_k_m.gguf")

    def wanted(path: Path) -> Blueprint:
        (element,) = desk(place, "desk", **SMALL).of_kind("model")
        phi = model("phi-4-mini", provider="llama-cpp", server=element.spec["server"] | {"model": str(path)})
        return blueprint(phi, agent("clerk", models=["phi-4-mini"], reflex=[rule("alone")]), name="desk")

    step = str((await apply(made, wanted(ours.parent))).steps[0])
    told = "taken for phi-4-mini, though the catalogue does not know its name"
    assert step == f"+ server.phi-4-mini: start llama-server with {ours.name}; {told} (the manifest adds it)"
    (place.root / "other").mkdir()
    other = place.model("other/somebody-q4_k_m.gguf")
    with pytest.raises(PlanError, match=r"holds files of another model than phi-4-mini: somebody-q4_k_m\.gguf"):
        await apply(made, wanted(other.parent))
    assert "start llama-server with somebody-q4_k_m.gguf" in str((await apply(made, wanted(other))).steps[0])
