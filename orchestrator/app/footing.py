"""The files that a runtime stands on. Whoever clears a folder of temporary files may take them away while it lives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import anyio

from orchestrator.core.errors import OrchestratorError
from orchestrator.ports.host import Folders, make_private

LOOK: Final = 3.0
"""Seconds between two looks."""

_Inode: TypeAlias = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Restoring:
    """What makes files of the runtime folder anew. Each raises ``OrchestratorError`` where that cannot be."""

    lock: Callable[[], None]
    socket: Callable[[], Awaitable[None]]


@dataclass(eq=False)
class Footing:
    """Looks whether the lock and the socket file are still there, and has them made anew; without its state a runtime ends.

    ``lock``, ``socket`` and ``database`` are files that are there when this is made.
    """

    folders: Folders
    lock: Path
    socket: Path
    database: Path
    _lock: _Inode = field(init=False)
    _socket: _Inode = field(init=False)
    _database: _Inode = field(init=False)

    def __post_init__(self) -> None:
        self._remember()
        self._database = _inode(self.database)

    def holds(self) -> bool:
        """Whether the lock and the socket file are this runtime's own; where another one has come, they are not to be removed."""
        return self._lock == _inode(self.lock) and self._socket == _inode(self.socket)

    async def watch(self, restoring: Restoring, told: Callable[[str], None]) -> str:
        """Look until it cannot go on; gives why. ``told`` hears what was made anew."""
        while True:
            await anyio.sleep(LOOK)
            if _inode(self.database) != self._database:
                return f"its state was removed: {self.database} is gone, or another file"
            try:
                await self._restore(restoring, told)
            except (OrchestratorError, OSError) as error:
                return f"what was removed from {self.folders.runtime} cannot be made anew: {error}"

    async def _restore(self, restoring: Restoring, told: Callable[[str], None]) -> None:
        if self.holds():
            return
        no_lock, no_socket = _inode(self.lock) != self._lock, _inode(self.socket) != self._socket
        make_private(self.folders.runtime)
        if no_lock:  # first: another runtime that has come meanwhile has it, and the socket too
            restoring.lock()
        if no_socket:
            await restoring.socket()
        self._remember()
        told(" and ".join(str(path) for path, gone in ((self.lock, no_lock), (self.socket, no_socket)) if gone))

    def _remember(self) -> None:
        self._lock, self._socket = _inode(self.lock), _inode(self.socket)


def _inode(path: Path) -> _Inode:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
