"""What a node keeps for one deployment over a restart, and by what it knows that an earlier process of it is gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.app.fleet.keys import write_private


class FilesKept:
    """``Kept`` as files of one folder, each written at once and durably."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> bytes:
        """What was saved; empty where nothing was."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return b""

    def save(self, name: str, value: bytes) -> None:
        """Keep it."""
        write_private(self._folder / name, value.decode())


if sys.platform == "win32":

    @contextmanager
    def sole_life(folder: Path) -> Iterator[str]:
        """Nothing tells lives from each other here."""
        del folder
        yield ""

else:
    import fcntl

    @contextmanager
    def sole_life(folder: Path) -> Iterator[str]:
        """What all processes have in common that had this folder since the machine was switched on, of which one at a time has it:
        the folder itself is locked until the end of the block. Empty where another one has it now, or where the system does not
        tell when it was switched on.

        The runtime's own lock would not do: it is a file in another folder, which may be removed, or be another one in a container,
        while its process lives. The folder that is locked is the very one that the life is named by, and a copy of it is another.
        """
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            yield ""
            return
        try:
            yield _life_of(handle)
        finally:
            os.close(handle)  # which frees it, as does the end of the process

    def _life_of(handle: int) -> str:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            found = os.fstat(handle)
        except OSError:
            return ""
        return f"{boot} {found.st_dev}:{found.st_ino}"
