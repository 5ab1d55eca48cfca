"""One connection to the state database, with SQLite's faults translated."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from orchestrator.core.errors import StateUnusable, UsageError

Synchronous = Literal["FULL", "NORMAL"]

_BUSY_SECONDS: Final = 5.0
_LAST: Final = chr(0x10FFFF)
"""Comes after every letter: what an id begins with, and this, is after all that begin so."""
_MOST: Final = 100
"""Ids that are looked through for the only one that begins so."""
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


RECOVERS: Final = "orchestrator runtime stop, then start: a start recovers what must run, and keeps the damaged file"
SET_ASIDE: Final = (
    "orchestrator runtime start --set-aside renames what is damaged (nothing is deleted), says where it is, and begins "
    "empty; then apply your manifests again"
)


class Damaged(StateUnusable):
    """The file is no sound database, or not the one that was written. Opening it to write recovers from that."""

    def __init__(self, path: Path, reason: str, cure: str = RECOVERS) -> None:
        super().__init__(f"the state database {path} is damaged: {reason}", cure=cure)
        self.reason = reason


class Lost(Damaged):
    """It is damaged, and nothing beside it tells what must run: no start can recover that, and none tries."""

    def __init__(self, path: Path, reason: str, spare: str) -> None:
        super().__init__(path, f"{reason}; {spare}", cure=SET_ASIDE)


class StateFile:
    """A connection that is used from one thread at a time (a lock holds that), in WAL mode.

    ``synchronous`` FULL makes every commit survive a power cut; NORMAL may lose the last commits then, and never
    damages the file.
    """

    def __init__(self, path: Path, synchronous: Synchronous = "FULL") -> None:
        self.path = path
        self._lock = threading.Lock()
        with translated(path):
            self._connection = _connect(path, synchronous)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, translated(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def row_of(self, select: str, id_: str, what: str) -> tuple[Any, ...] | None:
        """The row of ``select`` whose ``id`` is this one, or begins so; ``None`` where there is none. Raises ``UsageError`` where
        several of ``what`` begin so."""
        rows = self.rows(f"{select} WHERE id = ?", (id_,))
        if not rows and id_:
            rows = self.rows(f"{select} WHERE id >= ? AND id < ? LIMIT 2", (id_, id_ + _LAST))
        if len(rows) > 1:
            raise UsageError(f'several {what} begin with "{id_}"', cure="write more of the id")
        return rows[0] if rows else None

    def ids_of(self, table: str, beginning: str) -> list[str]:
        """The ids of a table that begin so, at most ``_MOST``."""
        sql = f"SELECT id FROM {table} WHERE id >= ? AND id < ? LIMIT {_MOST}"  # noqa: S608 - constants
        return [str(row[0]) for row in self.rows(sql, (beginning, beginning + _LAST))]

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is stored together when the block ends, or not at all."""
        with self._lock, translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close it; twice is fine."""
        with self._lock:
            self._connection.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's faults into :class:`StateUnusable`, and a broken file into :class:`Damaged`."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _DAMAGE:
            raise Damaged(path, str(error)) from error
        raise unusable(path, error) from error
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> StateUnusable:
    """The report for one fault: what, where, and what to do."""
    cause = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return StateUnusable(f"the state database {path} cannot be used: {cause}", cure=_cure(path, error))


def _cure(path: Path, error: Exception) -> str:
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {path.parent} is full: make room, then try again"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process keeps it locked: is a second runtime running? see `orchestrator runtime status`"
    if code == sqlite3.SQLITE_IOERR:
        return f"the disk of {path.parent} fails to read or write: look at the system's log"
    return f"is {path.parent} on a read-only disk or another user's? set ORCHESTRATOR_HOME to a folder that you own"


def _code(error: Exception) -> int:
    """SQLite's primary result code; the upper bits only refine it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    _make(path)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Made by us and not by SQLite, so that it is private whatever the umask; SQLite gives -wal and -shm the same mode.

    One that is there is not opened: closing any descriptor of a file gives up all locks of this process on it, those of its other
    connections too (https://sqlite.org/howtocorrupt.html, 2.2)."""
    if not (path.exists() and os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
