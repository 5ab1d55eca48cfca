"""The revision store: durable, checked, and back after damage."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import DeployError, StateUnusable
from orchestrator.core.failpoint import FAILPOINTS
from orchestrator.plugins.stores.memory import MemoryRevisions
from orchestrator.plugins.stores.schema import STEPS
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.plugins.stores.statefile import Damaged
from orchestrator.ports.store import Revision, RevisionStore

FIRST = Revision("clinic", 1, "d1", {"name": "clinic", "n": [1, 2.5, None]}, {"a.yaml": "x: è"}, 1000.0, "/a.yaml")
SECOND = replace(FIRST, number=2, digest="d2", cause="rollback")
OTHER = replace(FIRST, deployment="shop")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def fill(path: Path, *revisions: Revision) -> None:
    stores = open_stores(path)
    for revision in revisions:
        stores.revisions.add(revision)
    stores.close()


def desired(path: Path, *, recover: bool = False) -> list[Revision]:
    stores = open_stores(path, recover=recover)
    try:
        return list(stores.revisions.desired())
    finally:
        stores.close()


def test_the_last_added_revision_of_each_deployment_is_desired_after_a_restart(path: Path) -> None:
    fill(path, FIRST, OTHER, SECOND)
    assert desired(path) == [SECOND, OTHER]


def test_history_is_newest_first_and_survives_removal(path: Path) -> None:
    stores = open_stores(path)
    for revision in (FIRST, SECOND):
        stores.revisions.add(revision)
    stores.revisions.remove("clinic")
    assert stores.revisions.desired() == []
    assert stores.revisions.history("clinic") == [SECOND, FIRST]
    stores.close()
    assert desired(path) == []


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_what_is_taken_down_has_served_nothing_when_it_is_applied_again(path: Path, kind: str) -> None:
    """Else the next start would fall back to what somebody has ended."""
    stores = open_stores(path)
    revisions: RevisionStore = stores.revisions if kind == "sqlite" else MemoryRevisions()
    revisions.add(FIRST)
    revisions.mark_served("clinic", 1)
    assert revisions.served() == [FIRST]
    revisions.remove("clinic")
    revisions.add(SECOND)
    assert revisions.served() == []
    stores.close()


def test_a_damaged_old_revision_is_left_out_of_the_history_and_blocks_no_new_one(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(path, FIRST, SECOND)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE revision SET digest = 'forged' WHERE number = 1")
    connection.close()
    stores = open_stores(path)
    assert stores.revisions.history("clinic") == [SECOND]
    assert "revision 1 of clinic does not match" in caplog.text
    third = replace(FIRST, number=stores.revisions.last_number("clinic") + 1)
    stores.revisions.add(third)
    assert stores.revisions.history("clinic") == [third, SECOND]
    stores.close()


def test_the_newest_revisions_of_each_deployment_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.plugins.stores.revisions.KEPT", 3)
    fill(path, OTHER, *(replace(FIRST, number=number) for number in range(1, 8)))
    stores = open_stores(path)
    assert [each.number for each in stores.revisions.history("clinic")] == [7, 6, 5]
    assert stores.revisions.last_number("clinic") == 7
    assert (stores.revisions.history("shop"), stores.revisions.last_number("none")) == ([OTHER], 0)
    stores.close()


def test_a_number_that_is_taken_is_refused_and_changes_nothing(path: Path) -> None:
    fill(path, FIRST)
    with pytest.raises(DeployError, match="revision 1 of clinic exists already"):
        fill(path, replace(FIRST, digest="other"))
    assert desired(path) == [FIRST]


def test_every_file_is_private(path: Path) -> None:
    before = os.umask(0)
    try:
        stores = open_stores(path)
        stores.revisions.add(FIRST)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        stores.close()
    finally:
        os.umask(before)
    assert set(modes) >= {"state.db", "state.db-wal", "state.db.desired.json"}
    assert set(modes.values()) == {0o600}


def test_commits_are_flushed_to_the_disk(path: Path) -> None:
    stores = open_stores(path)
    assert stores.revisions._file.rows("PRAGMA synchronous") == [(2,)]
    assert stores.revisions._file.rows("PRAGMA journal_mode") == [("wal",)]
    stores.close()


# ---- killed in the middle --------------------------------------------------------------------------------------------

CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
from orchestrator.app.failing import arm_kill
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.store import Revision
arm_kill(sys.argv[2])
stores = open_stores(Path(sys.argv[1]))
stores.revisions.add(Revision("clinic", 2, "d2", {}, {}, 2.0))
"""


@pytest.mark.parametrize(
    ("point", "expected"),
    [("store.before-add", 1), ("store.in-transaction", 1), ("store.after-commit", 2)],
)
def test_killed_while_adding_the_store_holds_the_old_or_the_new_revision(path: Path, point: str, expected: int) -> None:
    assert point in FAILPOINTS
    fill(path, FIRST)
    child = subprocess.run([sys.executable, "-c", CHILD, str(path), point], check=False)
    assert child.returncode == -signal.SIGKILL
    assert [revision.number for revision in desired(path)] == [expected]
    fill(path, replace(FIRST, number=3))
    assert [revision.number for revision in desired(path)] == [3]


# ---- damage ----------------------------------------------------------------------------------------------------------


def _no_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 64)


def _no_content(path: Path) -> None:
    path.write_bytes(b"")


def _missing(path: Path) -> None:
    path.unlink()


def _noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped_bit(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b"x: \xc3\xa8") >= 1
    path.write_bytes(content.replace(b"x: \xc3\xa8", b"y: \xc3\xa8"))


def _other_digest(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE revision SET digest = 'forged'")
    connection.close()


def _lost_commit(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM desired WHERE deployment = 'shop'")
    connection.close()


DAMAGES = [_no_header, _no_content, _missing, _noise, _cut, _flipped_bit, _other_digest, _lost_commit]


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def damaged(request: pytest.FixtureRequest, path: Path) -> Iterator[Path]:
    fill(path, FIRST, OTHER)
    request.param(path)
    return path  # type: ignore[return-value] # pytest takes both forms


def test_damage_is_put_aside_and_what_must_run_comes_back_with_a_note(damaged: Path) -> None:
    stores = open_stores(damaged, recover=True)
    assert stores.revisions.desired() == [FIRST, OTHER]
    assert len(stores.notes) == 1
    assert "deployments restored: clinic, shop" in stores.notes[0]
    stores.close()
    assert len([file for file in damaged.parent.iterdir() if ".corrupt-" in file.name]) == 1
    again = open_stores(damaged)
    assert (list(again.revisions.desired()), again.notes) == ([FIRST, OTHER], ())
    again.close()


def test_who_only_looks_gets_an_error_and_moves_nothing(damaged: Path) -> None:
    before = damaged.read_bytes() if damaged.exists() else None
    with pytest.raises(StateUnusable) as caught:
        open_stores(damaged)
    assert str(damaged) in caught.value.message
    assert caught.value.cure
    assert not [file for file in damaged.parent.iterdir() if ".corrupt-" in file.name]
    assert not before or damaged.read_bytes() == before


def test_without_a_sound_spare_a_damaged_file_stays_and_each_start_says_so(path: Path) -> None:
    fill(path, FIRST)
    _noise(path)
    path.with_name("state.db.desired.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(Damaged):
            open_stores(path, recover=True)
    assert path.stat().st_size == 256 * 64


def test_a_lost_log_of_writes_is_noticed(path: Path) -> None:
    fill(path, FIRST)
    stores = open_stores(path)
    stores.revisions.add(SECOND)
    lost = path.with_name("copy")
    lost.mkdir()
    for name in ("state.db", "state.db.desired.json"):  # as after a crash, without the -wal that held the last commit
        (lost / name).write_bytes(path.with_name(name).read_bytes())
    stores.close()
    with pytest.raises(Damaged, match="other revisions than were committed"):
        open_stores(lost / "state.db")
    assert desired(lost / "state.db", recover=True) == [SECOND]


def test_a_damaged_spare_is_written_again_from_a_sound_database(path: Path) -> None:
    fill(path, FIRST)
    spare = path.with_name("state.db.desired.json")
    spare.write_text("noise")
    assert desired(path) == [FIRST]
    _noise(path)
    assert desired(path, recover=True) == [FIRST]


def test_damage_while_running_is_reported_and_never_read_as_an_answer(path: Path) -> None:
    fill(path, FIRST)
    stores = open_stores(path)
    _other_digest(path)
    with pytest.raises(StateUnusable, match="does not match its checksum"):
        stores.revisions.desired()
    stores.close()


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StateUnusable, match="newer version"):
        open_stores(path, recover=True)
    assert path.read_bytes() == before


# ---- disks -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_the_change_whole_and_recovers_when_there_is_room(path: Path) -> None:
    stores = open_stores(path)
    stores.revisions.add(FIRST)
    stores.revisions._file.rows("PRAGMA max_page_count = 1")
    large = replace(SECOND, sources={"a.yaml": "x" * 400_000})
    with pytest.raises(StateUnusable) as caught:
        stores.revisions.add(large)
    assert "full" in caught.value.message
    assert "make room" in caught.value.cure
    assert stores.revisions.desired() == [FIRST]
    stores.revisions._file.rows("PRAGMA max_page_count = 1000000")
    stores.revisions.add(large)
    stores.close()
    assert desired(path) == [large]


def test_a_disk_that_is_full_for_the_spare_is_told_as_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says it in other words than SQLite; the cure is the same."""
    stores = open_stores(path)
    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(StateUnusable) as caught:
        stores.revisions.add(FIRST)
    monkeypatch.undo()
    stores.close()
    assert "make room" in caught.value.cure


def _no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_spare_that_cannot_be_written_refuses_the_change_whole(path: Path) -> None:
    fill(path, FIRST)
    stores = open_stores(path)
    blocked = path.with_name("state.db.desired.json.new")
    blocked.mkdir()
    with pytest.raises(StateUnusable, match=r"state\.db"):
        stores.revisions.add(SECOND)
    assert stores.revisions.desired() == [FIRST]
    blocked.rmdir()
    stores.close()


def test_a_change_that_is_committed_is_never_told_as_one_that_failed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The next start runs it, and so whoever asked hears the same; the spare follows before the next change."""
    fill(path, FIRST)
    stores = open_stores(path)
    spare, kept = path.with_name("state.db.desired.json"), path.with_name("kept")
    spare.rename(kept)
    (spare / "in-the-way").mkdir(parents=True)
    stores.revisions.add(SECOND)
    assert stores.revisions.desired() == [SECOND]
    assert "the spare of the state database is behind" in caplog.text
    with pytest.raises(StateUnusable):  # with a second one, a kill would leave a spare that agrees with nothing
        stores.revisions.add(OTHER)
    assert stores.revisions.desired() == [SECOND]
    shutil.rmtree(spare)
    kept.rename(spare)
    stores.revisions.add(OTHER)
    stores.close()
    assert desired(path) == [SECOND, OTHER]
    path.write_bytes(b"noise" * 1000)
    assert desired(path, recover=True) == [SECOND, OTHER]


def test_a_start_finishes_a_spare_that_was_behind(path: Path) -> None:
    """Where the runtime ended before it could be put in its place."""
    fill(path, FIRST)
    stores = open_stores(path)
    spare, kept = path.with_name("state.db.desired.json"), path.with_name("kept")
    spare.rename(kept)
    spare.mkdir()
    stores.revisions.add(SECOND)
    stores.close()
    spare.rmdir()
    kept.rename(spare)
    assert desired(path) == [SECOND]


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(unwritable: Path) -> None:
    with pytest.raises(StateUnusable) as caught:
        open_stores(unwritable / "state.db")
    assert str(unwritable) in caught.value.message
    assert "ORCHESTRATOR_HOME" in caught.value.cure


@pytest.mark.parametrize("which", range(7))
def test_stores_that_cannot_all_be_opened_leave_no_connection(
    path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Whichever of them fails, a start that is tried again finds the file as free as before."""
    fill(path, FIRST)
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connect_some(*args: Any, **options: Any) -> sqlite3.Connection:
        if len(made) == which:
            raise sqlite3.OperationalError("unable to open database file")
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_some)
    with pytest.raises(StateUnusable):
        open_stores(path)
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert len(made) == which


def test_a_lock_of_another_process_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.plugins.stores.statefile._BUSY_SECONDS", 0.0)
    fill(path, FIRST)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnusable, match="locked") as caught:
        open_stores(path)
    assert "runtime status" in caught.value.cure
    other.close()


@pytest.fixture(params=["memory", "sqlite"])
def any_store(request: pytest.FixtureRequest, path: Path) -> Iterator[RevisionStore]:
    if request.param == "memory":
        yield MemoryRevisions()
    else:
        stores = open_stores(path)
        yield stores.revisions
        stores.close()


def test_revisions_stay_when_a_deployment_is_taken_down(any_store: RevisionStore) -> None:
    """What is taken down is not desired, but its history is there, and a new revision brings it back."""
    assert any_store.last_number("clinic") == 0
    any_store.add(FIRST)
    any_store.add(SECOND)
    any_store.add(OTHER)
    assert any_store.desired() == [SECOND, OTHER]
    any_store.remove("clinic")
    assert any_store.desired() == [OTHER]
    assert any_store.history("clinic") == [SECOND, FIRST]
    third = replace(FIRST, number=any_store.last_number("clinic") + 1)
    any_store.add(third)
    assert sorted(each.number for each in any_store.desired()) == [1, 3]


def test_what_has_ever_served_is_known(any_store: RevisionStore) -> None:
    """Not only the last one; of this deployment alone, and also after it was taken down."""
    for each in (FIRST, SECOND, OTHER):
        any_store.add(each)
    any_store.mark_served("clinic", 1)
    any_store.mark_served("clinic", 2)
    any_store.remove("clinic")
    assert sorted(any_store.ever_served("clinic")) == [1, 2]
    assert list(any_store.ever_served(OTHER.deployment)) == []


def test_of_a_file_of_the_version_before_every_revision_counts_as_one_that_served(path: Path) -> None:
    """Nobody wrote it down then."""
    stores = open_stores(path)
    stores.revisions.add(FIRST)
    stores.close()
    with closing(sqlite3.connect(path)) as connection:
        for table in ("ever_served", "fence", "effect", "receipt"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE run DROP COLUMN kept_until")
        connection.execute(f"PRAGMA user_version = {len(STEPS) - 3}")
        connection.commit()
    again = open_stores(path)
    assert list(again.revisions.ever_served("clinic")) == [1]
    again.close()
