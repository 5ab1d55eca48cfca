"""What a restricted run wrote counts as restricted for good: after a restart, on another revision, and in another process."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

import orchestrator
from orchestrator.core.errors import OrchestratorError, StateUnusable
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.plugins.stores.marks import MARKS_NAME, SqliteMarks
from orchestrator.ports.marks import Mark
from orchestrator.serve.rooms import Rooms, Store
from tests.policy.lives import applied, asked, life
from tests.policy.shop import alone
from tests.runtime.conftest import home
from tests.runtime.living import Home

__all__ = ["alone", "home"]
pytestmark = pytest.mark.anyio
CANARY = "canary-7f3a"
TICKETS = Store("clinic/tickets")
SAID = (Message("user", "my file?"), Message("assistant", f"you are {CANARY}"))
NONE: Mapping[str, Any] = {}


def noted(folder: Path, *, private: bool) -> Path:
    """Whoever says ``one`` or ``two`` writes into that file, ``list`` before it reads there."""
    write = {"sql": "insert into note values (:text)", "parameters": {"text": "string"}}
    queries = {"keep": write, "read": {"sql": "select text from note"}}
    agents: list[dict[str, Any]] = []
    for name in ("one", "two"):
        read = {"when": {"regex": f"list {name}"}, "call": f"{name}.read", "say": "{{ result }}"}
        keep = {"call": f"{name}.keep", "arguments": {"text": "{{ text }}"}, "say": "noted"}
        agents.append({"name": f"{name}-desk", "tools": [name], "reflex": [read, keep], "privacy_mode": private})
    routes = [{"to": f"{name}-desk", "when": {"regex": name}} for name in ("one", "two")]
    tools = [
        {"name": name, "use": "database", "path": f"../{name}.db", "writable": True, "queries": queries}
        for name in ("one", "two")
    ]
    front = {"name": "front", "role": "router", "strategy": "rules", "routes": routes}
    inside = {"type": "single-device", "entry": "front", "agents": [front, *agents], "tools": tools}
    written = folder / "notes.yaml"
    written.write_text(json.dumps({"metadata": {"name": "notes"}, "deployment": inside}))
    return written


def clinic(folder: Path, *, private: bool) -> Path:
    """``doctor`` writes a ticket, ``reader`` lists them; nobody has a model."""
    write = {"call": "tickets.create", "arguments": {"subject": "{{ text }}", "body": "{{ text }}"}, "say": "noted"}
    read = {"call": "tickets.list", "say": "I read: {{ result }}"}
    routes = [{"to": "doctor", "when": {"regex": CANARY}}, {"to": "reader", "when": {"regex": "list"}}]
    agents = [
        {"name": "front", "role": "router", "strategy": "rules", "routes": routes},
        {"name": "doctor", "tools": ["tickets"], "reflex": [write], **({"privacy_mode": True} if private else NONE)},
        {"name": "reader", "tools": ["tickets"], "reflex": [read]},
    ]
    inside = {
        "type": "single-device",
        "entry": "front",
        "agents": agents,
        "tools": [{"name": "tickets"}],
    }
    written = folder / "clinic.yaml"
    written.write_text(json.dumps({"metadata": {"name": "clinic"}, "deployment": inside}))
    return written


def names(folder: Path) -> list[str]:
    """What is in it."""
    return [each.name for each in folder.iterdir()]


def seen(result: Result) -> tuple[bool, str]:
    """Whether it holds the canary, and as what it counts."""
    return CANARY in result.text, result.data_class


async def test_a_later_revision_knows_it_after_a_restart(tmp_path: Path) -> None:
    """Nobody is restricted any more; the ticket is still there, and a caller's history may still hold what was said."""
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=True))
        await asked(planes, "clinic", CANARY, agent="doctor")
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=False))
    async with life(tmp_path) as planes:
        assert seen(await asked(planes, "clinic", "list")) == (True, "restricted")
        noted = await asked(planes, "clinic", "other", agent="doctor", history=SAID)
        assert noted.data_class == "restricted"


async def test_what_a_restricted_agent_could_have_written_and_did_not_is_free_again(tmp_path: Path) -> None:
    """The manifest guards its tools while it is served; only what was done outlives it."""
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=True))
        assert (await asked(planes, "clinic", "list")).data_class == "restricted"
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=False))
        assert (await asked(planes, "clinic", "list")).data_class == "restricted", "the runtime still remembers"
    async with life(tmp_path) as planes:
        assert (await asked(planes, "clinic", "list")).data_class == "internal"


async def test_taken_down_and_applied_again_it_is_still_known(tmp_path: Path) -> None:
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=True))
        await asked(planes, "clinic", CANARY, agent="doctor")
        await planes.reconciler.down("clinic", 5.0, lambda _: None)
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=False))
        assert seen(await asked(planes, "clinic", "list")) == (True, "restricted")


async def test_a_program_knows_what_one_before_it_wrote(tmp_path: Path) -> None:
    """Each ``orchestrator.open`` is a process of its own as far as anybody can tell; the tools' stores are the same."""
    async with orchestrator.open(clinic(tmp_path, private=True)) as there:
        await there.run(CANARY, agent="doctor")
    async with orchestrator.open(clinic(tmp_path, private=False)) as there:
        assert seen(await there.run("list")) == (True, "restricted")


async def test_what_a_program_writes_into_a_file_the_runtime_knows_at_once(tmp_path: Path, home: Home) -> None:
    """And the other way round: a file is the same to all processes."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with sqlite3.connect(tmp_path / f"{name}.db") as made:
            made.execute("create table note (text)")
    private, open_ = noted(tmp_path / "one", private=True), noted(tmp_path / "two", private=False)
    async with life(home.folders.state) as planes, orchestrator.open(private) as program:
        await applied(planes, open_)
        assert (await asked(planes, "notes", "list one")).data_class == "internal"
        await program.run(f"one {CANARY}")
        assert seen(await asked(planes, "notes", "list one")) == (True, "restricted")
        assert (await asked(planes, "notes", "list two")).data_class == "internal"
        async with orchestrator.open(open_) as other:
            assert (await other.run("list two")).data_class == "internal"
            await asked(planes, "notes", f"two {CANARY}", data_class="restricted")
            assert seen(await other.run("list two")) == (True, "restricted")


@pytest.mark.parametrize(("point", "written"), [("marks.before-keep", False), ("marks.kept", False), ("", True)])
def test_killed_around_the_write_nothing_is_written_without_its_mark(
    home: Home, tmp_path: Path, point: str, written: bool
) -> None:
    """``kill -9`` before the mark, after it and after the write. In the next life nobody is restricted any more."""
    from orchestrator.app.compile import compile_files
    from orchestrator.core.request import Request
    from orchestrator.deploy.wanted import Wanted

    def wanted(*, private: bool) -> Wanted:
        return Wanted(compile_files([str(clinic(tmp_path, private=private))], environment={}).blueprint)

    home.start().apply(wanted(private=True))  # what the deployment is, is kept by now: the next mark is of the write
    home.kill()
    client = home.start(**({"ORCHESTRATOR_FAIL_AT": point} if point else {}))
    with suppress(OrchestratorError):
        client.run("clinic", Request(CANARY, agent="doctor"))
    if point:
        assert home.processes[-1].wait(10) == -signal.SIGKILL, f"{point} was never passed"
    else:
        home.kill()
    client = home.start()
    client.apply(wanted(private=False))
    home.kill()
    result = home.start().run("clinic", Request("list"))
    assert (CANARY in result.text) is written
    assert result.data_class == ("internal" if point == "marks.before-keep" else "restricted")
    assert home.stop() == 0


async def test_a_restricted_run_does_not_write_where_that_cannot_be_kept(tmp_path: Path) -> None:
    """The place of the file is taken by a folder."""
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=True))
    async with life(tmp_path) as planes:
        (tmp_path / MARKS_NAME).unlink()
        (tmp_path / MARKS_NAME).mkdir()
        result = await asked(planes, "clinic", CANARY, agent="doctor")
        assert result.error is not None and result.error["code"] == "ORC507"
        assert (
            "tickets.create was not called: that a restricted run writes there cannot be kept"
            in result.error["message"]
        )
        assert CANARY not in (await asked(planes, "clinic", "list")).text


async def test_after_damage_everything_counts_as_restricted(tmp_path: Path) -> None:
    """The runtime comes back by itself, says so, and lets nothing out that it cannot know."""
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=False))
        assert (await asked(planes, "clinic", "list")).data_class == "internal"
    (tmp_path / MARKS_NAME).write_bytes(b"no database" * 500)
    marks = SqliteMarks(tmp_path / MARKS_NAME, "runtime")
    note = marks.recover()
    marks.close()
    assert "was damaged (file is not a database) and is kept as" in note and "counts as restricted" in note
    assert any(each.startswith(f"{MARKS_NAME}.corrupt-") for each in names(tmp_path))
    async with life(tmp_path) as planes:
        assert (await asked(planes, "clinic", "list")).data_class == "restricted"


def test_a_program_does_not_serve_on_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / MARKS_NAME).write_bytes(b"no database" * 500)
    with pytest.raises(StateUnusable, match=r"restricted\.db is damaged"):
        Rooms(SqliteMarks(tmp_path / MARKS_NAME, "in-process"))
    assert not list(tmp_path.glob("*.corrupt-*"))


def rooms(tmp_path: Path, place: str) -> Rooms:
    return Rooms(SqliteMarks(tmp_path / MARKS_NAME, place))


async def test_a_store_without_a_path_is_of_its_place_alone(tmp_path: Path) -> None:
    """Programs keep theirs in another folder than the runtime; a file is one to both."""
    runtime, program = rooms(tmp_path, "runtime"), rooms(tmp_path, "in-process")
    shared = Store("", str(tmp_path / "shared.db"))
    await runtime.wrote(TICKETS)
    await runtime.wrote(shared)
    assert (runtime.holds(TICKETS), program.holds(TICKETS), program.holds(shared)) == (True, False, True)
    assert rooms(tmp_path, "runtime").holds(TICKETS)


async def test_another_link_to_a_file_is_known_after_a_restart_that_it_outlived(tmp_path: Path) -> None:
    """The marked name is of another file by then."""
    first, link = tmp_path / "a.db", tmp_path / "b.db"
    first.write_text("x")
    await rooms(tmp_path, "runtime").wrote(Store("", str(first)))
    link.hardlink_to(first)
    first.unlink()
    (tmp_path / "other").write_text("y")
    (tmp_path / "other").rename(first)
    assert rooms(tmp_path, "runtime").holds(Store("", str(link)))


async def test_a_mark_of_a_newer_version_marks_everything(tmp_path: Path) -> None:
    marks = SqliteMarks(tmp_path / MARKS_NAME, "runtime")
    marks.add((Mark("file", "/x"),))
    with sqlite3.connect(tmp_path / MARKS_NAME) as file:
        file.execute("INSERT INTO mark VALUES ('cabinet', '4', 0)")
    assert Rooms(marks).holds(Store("", "/elsewhere"))


ADDS = """
import sys
from pathlib import Path
from orchestrator.plugins.stores.marks import SqliteMarks
from orchestrator.ports.marks import Mark
SqliteMarks(Path(sys.argv[1]), "in-process").add((Mark("file", sys.argv[2]),))
"""


async def test_what_another_process_marks_is_seen_also_after_marks_of_this_one(tmp_path: Path) -> None:
    """POSIX gives up the locks of a process on a file when it closes any descriptor of it: the other would think that it is alone,
    and take away the log that this one reads."""
    mine = rooms(tmp_path, "runtime")
    (tmp_path / "mine").mkdir()
    for number in range(3):
        await mine.wrote(Store("", str(tmp_path / "mine" / str(number))))
        assert not mine.holds(Store("", f"/theirs/{number}"))
        added = [sys.executable, "-c", ADDS, str(tmp_path / MARKS_NAME), f"/theirs/{number}"]
        await anyio.run_process(added)
        assert mine.holds(Store("", f"/theirs/{number}")), number


def _found(folder: Path, name: str) -> list[Path]:
    return list(folder.rglob(name))


def reader_of(folder: Path, **tool: Any) -> Path:
    """Another deployment, whose agent reads what a tool or a document set gives."""
    written = folder / "reader.yaml"
    read = {"call": "book.read", "say": "{{ result }}"}
    agent = {"name": "desk", "tools": ["book"], "reflex": [read]}
    queries = {"read": {"sql": "select subject from ticket"}}
    tools = [{"name": "book", "use": "database", "queries": queries, **tool}]
    inside = {"type": "single-device", "agents": [agent], "tools": tools}
    written.write_text(json.dumps({"metadata": {"name": "reader"}, "deployment": inside}))
    return written


async def test_the_store_of_a_tool_without_a_path_is_known_by_its_file_too(tmp_path: Path) -> None:
    """Another deployment's tool may be given that path, also in a later life."""
    async with life(tmp_path) as planes:
        await applied(planes, clinic(tmp_path, private=True))
        await asked(planes, "clinic", CANARY, agent="doctor")
    [store] = _found(tmp_path, "tickets.db")
    async with life(tmp_path) as planes:
        await applied(planes, reader_of(tmp_path, path=str(store)))
        assert seen(await asked(planes, "reader", "list")) == (True, "restricted")


def letters(folder: Path) -> Path:
    """``doctor`` writes into a calendar, whose folder is a document set of another name."""
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    start = "2027-01-05T10:00"
    write = {"call": "calendar.add", "arguments": {"title": "{{ text }}", "start": start}, "say": "noted"}
    read = {"call": "knowledge.search", "arguments": {"query": "summary"}, "say": "{{ result }}"}
    routes = [{"to": "doctor", "when": {"regex": CANARY}}, {"to": "reader", "when": {"regex": "list"}}]
    agents = [
        {"name": "front", "role": "router", "strategy": "rules", "routes": routes},
        {"name": "doctor", "tools": ["calendar"], "reflex": [write], "privacy_mode": True},
        {"name": "reader", "knowledge": ["sent"], "reflex": [read]},
    ]
    inside = {
        "type": "single-device",
        "entry": "front",
        "agents": agents,
        "tools": [{"name": "calendar", "path": "docs/c.ics"}],
        "knowledge": [{"name": "sent", "path": "docs", "include": ["*.ics"]}],
    }
    written = folder / "letters.yaml"
    written.write_text(json.dumps({"metadata": {"name": "letters"}, "deployment": inside}))
    return written


async def test_a_document_set_over_a_folder_that_is_written_into_counts_as_restricted(tmp_path: Path) -> None:
    """Whatever it is called."""
    async with life(tmp_path) as planes:
        await applied(planes, letters(tmp_path))
        assert (await asked(planes, "letters", CANARY, agent="doctor")).text == "noted"
        assert seen(await asked(planes, "letters", "list")) == (True, "restricted")
