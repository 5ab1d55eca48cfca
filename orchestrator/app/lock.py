"""One runtime a user: a lock that the operating system frees when its process ends, however it ends."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any, Final

from orchestrator.core.errors import AnotherRuns, StateUnusable
from orchestrator.ports.durable import write_durably

LOCK_NAME: Final = "runtime.lock"
ABOUT_NAME: Final = "runtime.json"


class RuntimeLock:
    """Held while the runtime lives. A file that a killed process left locks nobody out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take it, or raise ``AnotherRuns`` where another runtime has it. Again, where its file was removed meanwhile."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateUnusable(f"the lock {self._path} cannot be made: {error.strerror}") from error
        file = os.fdopen(handle, "r+")
        try:
            _lock(file)
        except OSError as error:
            file.close()
            raise AnotherRuns(
                "another runtime of this user runs already", cure="orchestrator runtime status"
            ) from error
        self.free()
        self._file = file

    def free(self) -> None:
        """Give it back; twice is fine."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":

    def _lock(file: IO[str]) -> None:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock(file: IO[str]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Say who the runtime is and where it listens; the file is whole or not there. Raises ``OSError``."""
    write_durably(folder / ABOUT_NAME, json.dumps(about).encode())


def read_about(folder: Path) -> dict[str, Any] | None:
    """What the last runtime said of itself; ``None`` where none did, or where it cannot be read."""
    try:
        about = json.loads((folder / ABOUT_NAME).read_text())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def remove_about(folder: Path) -> None:
    """A runtime that ends well takes its note with it."""
    (folder / ABOUT_NAME).unlink(missing_ok=True)
