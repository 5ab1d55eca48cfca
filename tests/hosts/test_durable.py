"""What is said to be on the disk is there: content, and the name that it has in its folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from orchestrator.ports.durable import move_durably, write_durably


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced, in order: a file by its bytes, a folder by the names that were in it."""
    found: list[str] = []
    really = os.fsync

    def fsync(handle: int) -> None:
        really(handle)
        path = Path(f"/proc/self/fd/{handle}").resolve()
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        found.append(" ".join(sorted(each.name for each in path.iterdir())) if is_folder else path.read_text())

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_file_is_written_before_it_has_its_name_and_its_name_is_synced(tmp_path: Path, synced: list[str]) -> None:
    """A power cut at any time leaves the old one or the new one."""
    path = tmp_path / "a.json"
    path.write_text("old")
    write_durably(path, b"new")
    assert synced == ["new", "a.json"]
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_a_file_that_moves_is_in_its_new_folder_and_no_more_in_the_old_one(tmp_path: Path, synced: list[str]) -> None:
    for name in ("outbox", "sent"):
        (tmp_path / name).mkdir()
    (tmp_path / "outbox" / "m").write_text("hello")
    move_durably(tmp_path / "outbox" / "m", tmp_path / "sent" / "m")
    assert sorted(synced) == ["", "m"]


def test_a_disk_that_takes_nothing_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing beside it."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"] and path.read_text() == "old"


def test_a_file_system_that_cannot_sync_a_folder_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A calendar may lie on any."""
    really = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_durably(tmp_path / "a.ics", b"new", mode=0o640)
    assert stat.S_IMODE((tmp_path / "a.ics").stat().st_mode) == 0o640
