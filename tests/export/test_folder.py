"""An export into a folder: modes, what is left alone, what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator.app.exporting.folder import RECORD, write_folder
from orchestrator.app.exporting.pages import Page
from orchestrator.core.errors import UsageError

PAGES = (Page("a.yaml", b"one"), Page("files/b.txt", b"two"), Page("c.env", b"#NAME=\n", private=True, once=True))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_that_may_hold_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    """From the moment when they are there; the others may be read by the user of a container."""
    assert write_folder(tmp_path / "new" / "folder", PAGES, force=False) == ["a.yaml", "files/b.txt", "c.env"]
    folder = tmp_path / "new" / "folder"
    modes = {name: _mode(folder / name) for name in ("a.yaml", "files", "files/b.txt", "c.env")}
    assert modes == {"a.yaml": 0o644, "files": 0o755, "files/b.txt": 0o644, "c.env": 0o600}
    assert sorted(path.name for path in folder.iterdir()) == [RECORD, "a.yaml", "c.env", "files"]


def test_what_it_wrote_is_written_again_and_secrets_are_left_alone(tmp_path: Path) -> None:
    """Also with --force: nobody wants a secret overwritten."""
    write_folder(tmp_path, PAGES, force=False)
    (tmp_path / "c.env").write_text("NAME=a-secret\n")
    newer = (Page("a.yaml", b"newer"), *PAGES[1:])
    assert write_folder(tmp_path, newer, force=False) == ["a.yaml", "files/b.txt"]
    assert write_folder(tmp_path, PAGES, force=True) == ["a.yaml", "files/b.txt"]
    assert (tmp_path / "a.yaml").read_bytes() == b"one"
    assert (tmp_path / "c.env").read_text() == "NAME=a-secret\n"


@pytest.mark.parametrize("how", ["foreign", "edited", "link", "folder"])
def test_a_file_that_it_did_not_write_is_never_overwritten(how: str, tmp_path: Path) -> None:
    """Nothing at all is written then; --force does it, but follows no link."""
    target = tmp_path / "target"
    target.write_text("of somebody")
    path = tmp_path / "out" / "files" / "b.txt"
    if how == "edited":
        write_folder(tmp_path / "out", PAGES, force=False)
        path.write_text("edited by a person")
    else:
        path.parent.mkdir(parents=True)
    if how == "foreign":
        path.write_text("of somebody")
    elif how == "link":
        path.symlink_to(target)
    elif how == "folder":
        path.mkdir()
    newer = (Page("a.yaml", b"newer"), *PAGES[1:])
    with pytest.raises(UsageError, match=r"files/b.txt is there, and is not as an export wrote it"):
        write_folder(tmp_path / "out", newer, force=False)
    assert not (tmp_path / "out" / "a.yaml").exists() or (tmp_path / "out" / "a.yaml").read_bytes() == b"one"
    if how == "folder":
        with pytest.raises(UsageError, match="cannot be written"):
            write_folder(tmp_path / "out", newer, force=True)
        return
    write_folder(tmp_path / "out", newer, force=True)
    assert path.read_bytes() == b"two" and not path.is_symlink()
    assert target.read_text() == "of somebody"


def test_a_file_that_is_already_as_it_would_be_is_ours(tmp_path: Path) -> None:
    """A checkout of an export has no record of it."""
    (tmp_path / "a.yaml").write_bytes(b"one")
    assert write_folder(tmp_path, PAGES, force=False) == ["a.yaml", "files/b.txt", "c.env"]


def test_a_damaged_record_makes_nothing_ours(tmp_path: Path) -> None:
    """Then what is there counts as somebody's."""
    write_folder(tmp_path, PAGES, force=False)
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(UsageError, match="is not as an export wrote it"):
        write_folder(tmp_path, (Page("a.yaml", b"newer"),), force=False)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With another way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written: ") as told:
        write_folder(tmp_path / "file" / "out", PAGES, force=False)
    assert told.value.cure == "name another folder with -o"
