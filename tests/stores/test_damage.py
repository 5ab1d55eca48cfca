"""A database that is lost with its spare: the way out is printed, leads out, and deletes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.plugins.stores.revisions import desired_at
from orchestrator.plugins.stores.sqlite import open_stores, set_aside
from orchestrator.plugins.stores.statefile import Damaged, Lost
from tests.stores.test_revisions import FIRST, OTHER, SECOND, desired, fill

NOISE = bytes(range(256)) * 64


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """A database and a spare that both are noise."""
    path = tmp_path / "state.db"
    fill(path, FIRST)
    path.write_bytes(NOISE)
    path.with_name("state.db.desired.json").write_bytes(b"{")
    return path


def test_a_lost_database_names_its_spare_and_a_cure_that_no_start_is(lost: Path) -> None:
    """The cure of damage that a start recovers would go in circles here."""
    with pytest.raises(Lost) as caught:
        open_stores(lost, recover=True)
    assert caught.value.message.endswith(f"its copy {lost}.desired.json is damaged too")
    assert caught.value.cure.startswith("orchestrator runtime start --set-aside ")
    lost.with_name("state.db.desired.json").unlink()
    with pytest.raises(Lost, match=r"is missing$"):
        open_stores(lost, recover=True)


def test_set_aside_keeps_every_byte_and_leaves_an_empty_start(lost: Path) -> None:
    """Both files are there under names that tell they belong together, and the next start neither finds nor misses them."""
    moved = set_aside(lost, lambda: 0.0)
    assert [path.name for path in moved] == [
        "state.db.corrupt-19700101T000000.000000Z",
        "state.db.corrupt-19700101T000000.000000Z.desired.json",
    ]
    assert [path.read_bytes() for path in moved] == [NOISE, b"{"]
    assert desired(lost) == []
    fill(lost, SECOND)
    assert desired(lost) == [SECOND]


def test_what_only_the_log_of_writes_holds_is_set_aside_too(tmp_path: Path) -> None:
    """One that stayed would be read into the next database of this name."""
    path, kept = tmp_path / "state.db", tmp_path / "kept"
    fill(path, FIRST)
    kept.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE revision SET digest = 'forged'")
        for ending in ("", "-wal"):  # as after a power cut: the log holds the damage
            shutil.copy(f"{path}{ending}", kept)
    broken = kept / path.name
    moved = set_aside(broken, lambda: 0.0)
    assert sorted(kept.iterdir()) == list(moved)
    assert b"forged" in b"".join(each.read_bytes() for each in moved)
    assert desired(broken) == []


def test_nothing_is_set_aside_that_a_start_recovers(tmp_path: Path) -> None:
    """A sound database, and a damaged one with a sound spare, stay where they are."""
    path = tmp_path / "state.db"
    fill(path, FIRST, OTHER)
    assert set_aside(path) == () and desired(path) == [FIRST, OTHER]
    path.write_bytes(NOISE)
    assert set_aside(path) == () and path.read_bytes() == NOISE
    assert desired(path, recover=True) == [FIRST, OTHER]


# ---- looking ---------------------------------------------------------------------------------------------------------


def test_who_looks_sees_what_a_start_brings_back_and_writes_nothing(tmp_path: Path) -> None:
    """From the database, from its log after a kill, from the spare where the database is damaged, and of nothing."""
    path = tmp_path / "state.db"
    assert desired_at(path) == [] and not list(tmp_path.iterdir())
    stores = open_stores(path)
    stores.revisions.add(FIRST)
    stores.revisions.add(SECOND)
    assert desired_at(path) == [SECOND]  # it is in the log of writes still
    stores.close()
    path.write_bytes(NOISE)
    before = {file: file.stat() for file in tmp_path.iterdir()}
    assert desired_at(path) == [SECOND]
    assert {file: file.stat() for file in tmp_path.iterdir()} == before


def test_who_looks_believes_the_spare_where_a_commit_is_lost(tmp_path: Path) -> None:
    """As the start does."""
    path = tmp_path / "state.db"
    fill(path, FIRST)
    old = path.read_bytes()
    fill(path, SECOND)
    path.write_bytes(old)
    assert desired_at(path) == [SECOND] == desired(path, recover=True)


def test_who_looks_at_what_is_lost_is_told_the_way_out(lost: Path) -> None:
    """Not that nothing is applied."""
    with pytest.raises(Damaged, match="damaged too") as caught:
        desired_at(lost)
    assert "--set-aside" in caught.value.cure
    assert os.listdir(lost.parent) and lost.read_bytes() == NOISE  # noqa: PTH208 - names are enough
