"""The port of the operating system: folders, background processes, their identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

SOCKET_NAME: Final = "orchestrator.sock"
"""The control socket, in the runtime folder."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things live. ``state``: database, logs, stores of tools; ``runtime``: socket, lock, pid file."""

    state: Path
    config: Path
    runtime: Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that can be told from a later one with the same number: pid and start time (seconds since 1970)."""

    pid: int
    started: float


class Host(Protocol):
    """What the program needs of an operating system."""

    def folders(self, *, make: bool = True) -> Folders:
        """The folders, made with mode 0700; without ``make`` only where they are. Raises ``StateUnusable``."""
        ...

    def spawn_detached(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> ProcessIdentity:
        """Start a background process that outlives the caller and its terminal, its output appended to ``log``."""
        ...

    def alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly that process still runs."""
        ...

    def stop(self, process: ProcessIdentity, patience: float) -> None:
        """Ask it to end, then end it after ``patience`` seconds."""
        ...
