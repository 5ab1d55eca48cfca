"""What came into the cache of a hub is held to its name, which is what the registry announced."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestrator.app.fetched_files import compare, files_of
from orchestrator.core.errors import NotAsAnnounced
from orchestrator.ports.lifecycle import PullProgress

MODEL = "ju/tiny:Q4_K_M"


def blob(cache: Path, content: bytes, name: str = "", repository: str = "ju--tiny") -> Path:
    """A file of a repository in the cache, as the hub names it or otherwise."""
    folder = cache / f"models--{repository}" / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (name or hashlib.sha256(content).hexdigest())
    file.write_bytes(content)
    return file


def test_only_the_large_files_of_its_repository_are_looked_at(tmp_path: Path) -> None:
    """Small ones have another digest, parts have an ending, and what others hold is theirs."""
    mine = blob(tmp_path, b"weights")
    blob(tmp_path, b"readme", "b" * 40)
    blob(tmp_path, b"half", f"{'a' * 64}.part")
    blob(tmp_path, b"others", repository="ju--other")
    assert list(files_of(MODEL, [tmp_path, tmp_path / "none"])) == [mine]


def test_what_is_there_is_read_and_how_far_is_told(tmp_path: Path) -> None:
    """Where nothing is there, nothing was compared."""
    come, told = blob(tmp_path, b"weights"), list[PullProgress]()
    assert compare(files_of(MODEL, [tmp_path]), told.append)
    assert told == [PullProgress("verifying", come.name[:12], 7, 7)]
    assert not compare([], told.append)


def test_what_is_not_as_announced_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    """It names the file, and both digests."""
    come = blob(tmp_path, b"other bytes", "c" * 64)
    with pytest.raises(NotAsAnnounced, match=f"announced as {'c' * 12}: {come} has sha256:") as fault:
        compare(files_of(MODEL, [tmp_path]), lambda _: None)
    assert "pull it again" in fault.value.cure


def test_what_cannot_be_read_is_not_said_to_be_compared(tmp_path: Path) -> None:
    """It went away meanwhile."""
    come = blob(tmp_path, b"weights")
    found = files_of(MODEL, [tmp_path])
    come.unlink()
    assert not compare(found, lambda _: None)
