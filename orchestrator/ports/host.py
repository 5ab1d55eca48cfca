"""The port of the operating system: folders, background processes, their identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

SOCKET_NAME: Final = "orchestrator.sock"
"""The control socket, in the runtime folder."""

DATABASE_NAME: Final = "state.db"
"""What the runtime keeps, in the state folder."""

FLEETS: Final = "fleets"
"""Below the state folder: the homes of fleets whose nodes all run on this machine, one folder for each deployment."""


def make_private(folder: Path) -> None:
    """The folder with those above it that are missing, each for its user alone (mode 0700). Raises ``OSError``."""
    if folder.is_dir():
        return
    for each in reversed(folder.parents):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


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


@dataclass(frozen=True, slots=True)
class Child:
    """How a child is started: its command, exactly this environment, the folder to stand in, where its output is
    appended, and a ``marker`` that stands in its environment and in that of all its descendants."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    marker: str


class Processes(Protocol):
    """Processes that we start and that may outlive us: each leads a session of its own, and is found again by its marker."""

    def start(self, wanted: Child) -> ProcessIdentity:
        """Start one. Raises ``DeployError`` where it cannot start."""
        ...

    def alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly that process still runs."""
        ...

    def ended(self, process: ProcessIdentity) -> str:
        """How a child of ours ended (``exit code 1``, ``killed by SIGKILL``); empty where nobody can tell."""
        ...

    def find(self, marker: str) -> ProcessIdentity | None:
        """The oldest process that has this marker."""
        ...

    def terminate(self, process: ProcessIdentity) -> None:
        """Ask its whole group to end (SIGTERM)."""
        ...

    def members(self, process: ProcessIdentity) -> tuple[ProcessIdentity, ...]:
        """What it has begun, itself not among it; empty once it is gone. Not for the event loop."""
        ...

    def kill(self, process: ProcessIdentity, marker: str, members: Iterable[ProcessIdentity] = ()) -> None:
        """End its whole group, the ``members`` that it was seen to have with what is left of their session, and whatever else has
        the marker (SIGKILL). Fine where nothing is left, and where a number is another process's by now."""
        ...
