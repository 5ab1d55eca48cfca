"""What a restricted run wrote into a file is known wherever the file goes, and to whoever comes to it: the mark lies beside it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator.core.errors import OrchestratorError, StateUnusable
from orchestrator.core.request import Request, Result
from orchestrator.plugins.stores.marks import MARKS_NAME, SqliteMarks
from orchestrator.serve.beside import MARK, Beside, mark_of, put_beside
from orchestrator.serve.rooms import Rooms, Store
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.policy.cloud import Servers, servers
from tests.policy.lives import applied, asked, life
from tests.policy.shop import alone
from tests.runtime.conftest import home
from tests.runtime.living import Home

__all__ = ["alone", "home"]
pytestmark = pytest.mark.anyio
CANARY = "canary-7f3a"
TOMORROW = {"title": "{{ text }}", "start": "tomorrow at 10:00"}
QUERIES = {
    "keep": {"sql": "insert into note values (:text)", "parameters": {"text": "string"}},
    "read": {"sql": "select text from note"},
}
TOOLS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "database": (
        {"path": "data/n.db", "writable": True, "queries": QUERIES},
        {"call": "book.keep", "arguments": {"text": "{{ text }}"}},
        "book_read",
    ),
    "csv": (
        {"path": "data/note.csv", "writable": True, "queries": QUERIES},
        {"call": "book.keep", "arguments": {"text": "{{ text }}"}},
        "book_read",
    ),
    "calendar": ({"path": "data/n.ics"}, {"call": "book.add", "arguments": TOMORROW}, "book_list"),
}
"""A tool over one file: its options, the rule that writes, and the function that a model calls to read."""


def project(folder: Path, there: Servers, tool: str) -> Path:
    """A folder with its data: ``desk`` writes into the file by rule, ``far`` reads it with a model in the cloud."""
    options, write, _ = TOOLS[tool]
    (folder / "data").mkdir(parents=True)
    if tool == "database":
        with sqlite3.connect(folder / "data" / "n.db") as made:
            made.execute("create table note (text)")
        made.close()
    if tool == "csv":
        (folder / "data" / "note.csv").write_text("text\nhello\n")
    server = {"provider": "openai-compatible", "endpoint": f"{there.far.url}/v1", "zone": "cloud"}
    front = {
        "name": "front",
        "role": "router",
        "strategy": "rules",
        "routes": [{"to": "desk", "when": {"regex": "^keep"}}, {"to": "far", "when": {"regex": "^list"}}],
    }
    agents: list[Mapping[str, Any]] = [
        front,
        {"name": "desk", "tools": ["book"], "reflex": [{**write, "say": "kept"}]},
        {"name": "far", "tools": ["book"], "model": "m", "instructions": "Read."},
    ]
    inside = {
        "type": "single-device",
        "entry": "front",
        "models": [{"alias": "m", "model": "m", **server}],
        "tools": [{"name": "book", "use": tool.replace("csv", "database"), **options}],
        "agents": agents,
    }
    written = folder / "notes.yaml"
    written.write_text(json.dumps({"metadata": {"name": "notes"}, "deployment": inside}))
    return written


@asynccontextmanager
async def cloud(tool: str) -> AsyncIterator[Servers]:
    """A model in the cloud that reads the file when it is told to list."""
    reads = Script([Rule("list", say="I read: {result}", calls=((TOOLS[tool][2], {}),))])
    async with servers(simulated(["m"]), simulated(["m"], reads)) as there:
        yield there


def made(folder: Path) -> Path:
    """The same, and it is there."""
    folder.mkdir(exist_ok=True)
    return folder


async def kept(state: Path, manifest: Path, data_class: str) -> Result:
    """A life of a runtime over this state, in which the canary is written."""
    async with life(made(state)) as planes:
        await applied(planes, manifest)
        return await asked(planes, "notes", f"keep {CANARY}", data_class=data_class)


async def listed(state: Path, manifest: Path) -> Result:
    """A life of a runtime over this state, in which the cloud is asked to list what there is."""
    async with life(made(state)) as planes:
        await applied(planes, manifest)
        return await asked(planes, "notes", "list")


def nothing_moves(folder: Path) -> Path:
    """It stays as it is."""
    return folder


def the_folder_moves(folder: Path) -> Path:
    """The whole project is somewhere else."""
    return folder.rename(folder.with_name("moved"))


def the_file_is_renamed(folder: Path) -> Path:
    """The file alone has another name, and so the manifest."""
    manifest = folder / "notes.yaml"
    for kind in ("db", "ics"):
        if (folder / "data" / f"n.{kind}").exists():
            (folder / "data" / f"n.{kind}").rename(folder / "data" / f"o.{kind}")
            manifest.write_text(manifest.read_text().replace(f"data/n.{kind}", f"data/o.{kind}"))
    return folder


MOVES = [
    (nothing_moves, "other"),
    (the_folder_moves, "state"),
    (the_folder_moves, "other"),
    (the_file_is_renamed, "state"),
]


@pytest.mark.parametrize("tool", ["calendar", "database"])
@pytest.mark.parametrize(("moves", "state"), MOVES, ids=lambda each: getattr(each, "__name__", each))
async def test_what_was_written_reaches_no_cloud_wherever_it_is(
    tool: str, moves: Any, state: str, tmp_path: Path
) -> None:
    """Both arms: another state folder, as a node or a program has, a folder that was moved, a calendar that replaced its file."""
    for data_class in ("restricted", "internal"):
        root = tmp_path / data_class
        async with cloud(tool) as there:
            manifest = project(root / "first", there, tool)
            assert (await kept(root / "state", manifest, data_class)).text == "kept"
            moved = moves(root / "first") / "notes.yaml"
            result = await listed(root / state, moved)
            if data_class == "internal":
                assert there.far.got(CANARY) and result.status == "completed", result.error
            else:
                assert there.far.got(CANARY) == []
                assert result.error is not None and result.error["code"] == "ORC502"
                read = TOOLS[tool][2].replace("_", ".")
                assert f"{read} may give what a restricted run wrote" in " ".join(result.notes)


async def test_what_was_written_into_the_table_of_a_csv_file_is_in_the_tool_and_not_in_the_file(tmp_path: Path) -> None:
    """The file is away, and the tool is given another one: what it keeps itself is still there."""
    for data_class in ("restricted", "internal"):
        root = tmp_path / data_class
        async with cloud("csv") as there:
            manifest = project(root / "first", there, "csv")
            await kept(root / "state", manifest, data_class)
            (root / "first/data/note.csv").unlink()
            (root / "first/data/else.csv").write_text("text\nhello\n")
            manifest.write_text(manifest.read_text().replace("data/note.csv", "data/else.csv"))
            await listed(root / "state", manifest)
            assert bool(there.far.got(CANARY)) is (data_class == "internal")


@pytest.mark.parametrize("tool", ["calendar", "database"])
async def test_two_nodes_and_a_program_know_it_at_once(tool: str, tmp_path: Path) -> None:
    """All are there at the same time, each with a state folder of its own; the control is the same file before it was marked."""
    async with cloud(tool) as there:
        manifest = project(tmp_path / "first", there, tool)
        async with (
            life(made(tmp_path / "a")) as one,
            life(made(tmp_path / "b")) as two,
            orchestrator.open(manifest, state=tmp_path / "c") as program,
        ):
            await applied(one, manifest)
            await applied(two, manifest)
            assert (await asked(two, "notes", "list")).status == (await program.run("list")).status == "completed"
            await asked(one, "notes", f"keep {CANARY}", data_class="restricted")
            results = [await asked(one, "notes", "list"), await asked(two, "notes", "list"), await program.run("list")]
        assert there.far.got(CANARY) == []
        assert [each.error and each.error["code"] for each in results] == ["ORC502"] * 3


async def test_the_mark_is_one_small_file_that_says_what_it_is(tmp_path: Path) -> None:
    """A person who finds it knows where to read on."""
    async with cloud("calendar") as there:
        manifest = project(tmp_path / "first", there, "calendar")
        data = tmp_path / "first" / "data"
        await kept(tmp_path / "state", manifest, "restricted")
        text = (data / f".n.ics{MARK}").read_text()
        assert "has written into n.ics" in text and "docs/policy.md" in text
        [only] = [each.name for each in data.iterdir() if each.name.endswith(MARK)]
        assert only == ".n.ics.orchestrator-restricted"


async def test_where_no_mark_can_be_put_nothing_is_written(tmp_path: Path) -> None:
    """The name of the file is as long as a name may be, and so there is no room for that of a mark."""
    async with cloud("database") as there:
        manifest = project(tmp_path / "first", there, "database")
        long = "n" * 250 + ".db"
        (tmp_path / "first/data/n.db").rename(tmp_path / f"first/data/{long}")
        manifest.write_text(manifest.read_text().replace("data/n.db", f"data/{long}"))
        result = await kept(tmp_path / "state", manifest, "restricted")
        assert result.error is not None and result.error["code"] == "ORC507"
        assert "book.keep was not called" in result.error["message"] and "cannot be written" in result.error["message"]
        assert (await listed(tmp_path / "other", manifest)).status == "completed"
        assert there.far.got(CANARY) == []


def test_killed_after_the_mark_and_before_the_write_another_state_folder_knows_it(home: Home, tmp_path: Path) -> None:
    """A mark too many, none too few."""
    from orchestrator.app.compile import compile_files
    from orchestrator.deploy.wanted import Wanted

    manifest = tmp_path / "clinic.yaml"
    write = {"call": "book.add", "arguments": TOMORROW, "say": "noted"}
    agent = {"name": "doctor", "tools": ["book"], "reflex": [write]}
    tool = {"name": "book", "use": "calendar", "path": "c.ics"}
    inside = {"type": "single-device", "tools": [tool], "agents": [agent]}
    manifest.write_text(json.dumps({"metadata": {"name": "clinic"}, "deployment": inside}))
    client = home.start(ORCHESTRATOR_FAIL_AT="marks.beside")
    client.apply(Wanted(compile_files([str(manifest)], environment={}).blueprint))
    with suppress(OrchestratorError):
        client.run("clinic", Request(CANARY, data_class="restricted"))
    assert home.processes[-1].wait(10) == -signal.SIGKILL
    assert not (tmp_path / "c.ics").exists() and (tmp_path / f".c.ics{MARK}").exists()
    assert Rooms(SqliteMarks(tmp_path / "other" / MARKS_NAME, "runtime")).holds(Store("", str(tmp_path / "c.ics")))


def test_a_folder_is_marked_inside_and_so_is_all_that_is_in_it(tmp_path: Path) -> None:
    """It is found from a file in it and from a folder around it, and not beside it."""
    docs = tmp_path / "set" / "docs"
    docs.mkdir(parents=True)
    (docs / "a.md").write_text("x")
    (tmp_path / "set" / "else.md").write_text("y")
    beside = Beside()
    assert not any(map(beside.holds, [str(tmp_path), str(docs), str(docs / "a.md")]))
    put_beside(str(docs))
    assert mark_of(str(docs)) == str(docs / MARK)
    assert all(map(beside.holds, [str(tmp_path), str(docs), str(docs / "a.md"), str(docs / "new.md")]))
    assert not beside.holds(str(tmp_path / "set" / "else.md"))
    (docs / MARK).unlink()
    assert not any(map(beside.holds, [str(tmp_path), str(docs), str(docs / "a.md")])), "taken off, it is free at once"


def test_a_folder_that_was_read_before_is_read_again_once_it_changed(tmp_path: Path) -> None:
    """Also where it changed within the same tick of the disk's clock as it was read, and where nothing changed for long."""
    beside, inner = Beside(), tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for age in (0, 3600):
        for folder in (inner, inner.parent, tmp_path):
            then = folder.stat().st_mtime - age
            os.utime(folder, (then, then))
        assert not beside.holds(str(tmp_path))
        stamp = inner.stat()
        put_beside(str(inner / "c.ics"))
        if age == 0:
            os.utime(inner, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert beside.holds(str(tmp_path)), age
        (inner / f".c.ics{MARK}").unlink()
        assert not beside.holds(str(tmp_path)), age


async def test_a_module_in_a_folder_that_takes_no_mark_is_called_all_the_same(tmp_path: Path) -> None:
    """What its functions keep may be elsewhere; that one of them was called is kept where it can be. Of a file it is refused."""
    rooms = Rooms(SqliteMarks(tmp_path / MARKS_NAME, "runtime"))
    module, file = tmp_path / ("m" * 250 + ".py"), tmp_path / ("c" * 250 + ".ics")
    await rooms.wrote(Store("", str(module), is_code=True))
    assert rooms.holds(Store("", str(module), is_code=True))
    with pytest.raises(
        StateUnusable, match=r"the mark .*ics\.orchestrator-restricted cannot be written: File name too long"
    ):
        await rooms.wrote(Store("", str(file)))
