"""What a node keeps for one deployment over a restart, and by what it knows that an earlier process of it is gone."""

from __future__ import annotations

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


def life_of(folder: Path) -> str:
    """What all processes have in common that had this folder since the machine was switched on, of which only one can live: the
    runtime locks its state. A copy of the folder is another one. Empty where the system does not tell when it was switched on."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        found = folder.stat()
    except OSError:
        return ""
    return f"{boot} {found.st_dev}:{found.st_ino}"
