"""What servers that we started print: a file for each, which is kept short."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.deploy.server_records import file_name
from orchestrator.ports.log_file import cut

LOG_SIZE: Final = 8_000_000
"""Bytes of a log beyond which only its end is kept."""
_LAST: Final = 4_000
"""Bytes of a log that its last lines are looked for in."""


class ServerLogs:
    """The logs in one folder, by the names of processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begins: dict[str, int] = {}

    def path(self, name: str) -> Path:
        """Where it is, or will be."""
        return self._folder / f"{file_name(name)}.log"

    def begin(self, name: str) -> Path:
        """It is started now: what stands there already is of an earlier process."""
        self._begins[name] = size_of(self.path(name))
        return self.path(name)

    def has(self, name: str) -> bool:
        """Whether one was begun."""
        return name in self._begins

    def last_words(self, name: str) -> str:
        """What the process said last that was started last."""
        return last_lines(self.path(name), self._begins.get(name, 0))

    def cut(self, names: Iterable[str]) -> None:
        """Keep the end of those that have grown too long."""
        for name in names:
            with suppress(OSError):  # a log that cannot be cut now is cut later
                cut(self.path(name), LOG_SIZE)


def size_of(log: Path) -> int:
    """Its bytes; 0 where there is none."""
    return log.stat().st_size if log.exists() else 0


def last_lines(log: Path, begin: int = 0, count: int = 3) -> str:
    """The last lines of a log that say something, in one; of what was written after its first ``begin`` bytes."""
    try:
        with log.open("rb") as file:
            size = log.stat().st_size
            file.seek(max(0, begin if begin <= size else 0, size - _LAST))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(line[:200] for line in lines[-count:])
