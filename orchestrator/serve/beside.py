"""The mark that lies beside a file, or inside of a folder, where a restricted run wrote: whoever comes to the file finds it there.

It is a small file of a fixed name, and only that it is there counts. So it goes where the folder goes, and holds for every state
folder, every node and every program. What one state folder knows beyond it, as another link to a file, is in its ``MarkStore``.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.core.errors import StateUnusable
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.ports.durable import sync_folder, write_synced

declare("marks.beside")

MARK: Final = ".orchestrator-restricted"
"""The mark of a folder, inside of it; that of a file NAME is ``.NAME.orchestrator-restricted``. Hidden: no document, no table."""
_SAYS: Final = """A restricted run of orchestrator has written into {}: an agent with privacy_mode or compliance,
or a request with data_class restricted. What is read there counts as restricted, and reaches no model in the cloud.
Move this file with what it marks. How it is taken off: docs/policy.md of orchestrator, "Restricted data".
"""
_SETTLED: Final = 2.5
"""Seconds after which a change of a folder must have given it another time: the coarsest clock of a file system has two."""


def mark_of(real: str) -> str:
    """Where the mark of a file or a folder is; ``real`` is a path without links."""
    if _is_folder(real):
        return _inside(real)
    folder, _, name = real.rpartition(os.sep)
    return f"{folder}{os.sep}.{name}{MARK}"


def put_beside(real: str) -> None:
    """Put its mark there, if there is none; on the disk when this returns. Raises ``StateUnusable``."""
    mark = mark_of(real)
    try:
        if not _is_there(mark):
            write_synced(Path(mark), _SAYS.format(real.rpartition(os.sep)[2]).encode())
        sync_folder(Path(mark).parent)  # another process may have made it, and not be so far
    except OSError as error:
        cure = "Let the runtime write into that folder."
        raise StateUnusable(f"the mark {mark} cannot be written: {error.strerror}", cure=cure) from error
    failpoint("marks.beside")


def is_beside(real: str) -> bool:
    """Whether this very file or folder has one."""
    return _is_there(mark_of(real))


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder held: whether a mark, and which folders. ``stamp`` is its time and number, 0 while it may change unseen."""

    stamp: tuple[int, int]
    marked: bool
    folders: tuple[str, ...]


class Beside:
    """Finds marks. Folders that did not change are not read again."""

    __slots__ = ("_folders",)

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {}

    def holds(self, real: str) -> bool:
        """Whether a file or a folder has one, is in a folder that has one, or holds something that does. Where that cannot be
        read, it may."""
        try:
            return is_beside(real) or any(_is_there(_inside(each)) for each in _above(real)) or self._in(real)
        except OSError:
            return True

    def _in(self, real: str) -> bool:
        waiting = [real] if _is_folder(real) else []
        while waiting:
            folder = self._read(waiting.pop())
            if folder.marked:
                return True
            waiting += folder.folders
        return False

    def _read(self, path: str) -> _Folder:
        try:
            found = os.stat(path)  # noqa: PTH116 - once for each folder of a document set: a Path costs more than the look
            stamp = (found.st_mtime_ns, found.st_ino)
            known = self._folders.get(path)
            if known is None or known.stamp != stamp:
                settled = time.time() - found.st_mtime > _SETTLED
                known = self._folders[path] = _listed(path, stamp if settled else (0, 0))
        except (
            FileNotFoundError,
            NotADirectoryError,
            PermissionError,
        ):  # what cannot be listed is no document or table
            return _Folder((0, 0), marked=False, folders=())
        return known


def _listed(path: str, stamp: tuple[int, int]) -> _Folder:
    with os.scandir(path) as entries:
        found = [(each.path, each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    marked = any(name.endswith(MARK) for _, name, _ in found)
    return _Folder(stamp, marked, tuple(path for path, _, is_folder in found if is_folder))


def _above(real: str) -> Iterator[str]:
    """The folders that it is in."""
    while real := real.rpartition(os.sep)[0]:
        yield real
    yield os.sep


def _inside(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep + MARK


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - before each call of a tool: a Path costs more than the look
    except (OSError, ValueError):
        return False


def _is_there(path: str) -> bool:
    """Raises ``OSError`` where nobody can tell."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # none could be made there
            return False
        raise
    return True
