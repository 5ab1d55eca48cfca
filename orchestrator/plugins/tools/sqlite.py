"""SQLite as the tools use it: short reads at once, long ones and every write in a worker thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from orchestrator.core.errors import DeployError, ToolFailed

T = TypeVar("T")

_AT_ONCE: Final = 0.005
"""Seconds that a read may hold up the event loop; what takes longer starts again in a thread."""
_LONGEST: Final = 5.0
"""Seconds after which a statement is ended."""
_STEPS: Final = 2000
"""Instructions of SQLite's machine between two looks at the clock: about 0.1 ms."""


class SqliteFile:
    """One connection of a tool, ``connection``, used by one thread at a time. Rows are dicts."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        connection.row_factory = _as_dict
        self.connection = connection
        self._place = place
        self._lock = threading.Lock()
        self._deadline = float("inf")
        connection.set_progress_handler(self._is_late, _STEPS)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give the connection to ``work``, which only reads (it may be begun twice)."""
        if self._lock.acquire(blocking=False):
            try:
                return self._timed(work, _AT_ONCE)
            except _Late:
                pass
            finally:
                self._lock.release()
        return await anyio.to_thread.run_sync(self._alone, work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give it to ``work`` in a transaction that is on the disk when this returns."""
        return await anyio.to_thread.run_sync(self._alone, lambda connection: _in_transaction(connection, work))

    def close(self) -> None:
        """Close it, after what runs."""
        with self._lock:
            self.connection.close()

    def _alone(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return self._timed(work, _LONGEST)
            except _Late as error:
                raise ToolFailed(f"{self._place} needed more than {_LONGEST:g} s; ask for less") from error

    def _timed(self, work: Callable[[sqlite3.Connection], T], seconds: float) -> T:
        self._deadline = time.perf_counter() + seconds
        try:
            return work(self.connection)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._translated(error) from error
        except (OverflowError, UnicodeError) as error:
            raise ToolFailed(f"{self._place}: a value cannot be stored: {error}") from error
        finally:
            self._deadline = float("inf")

    def _is_late(self) -> bool:
        return time.perf_counter() > self._deadline

    def _translated(self, error: sqlite3.Error | sqlite3.Warning) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            return _Late()
        if code == sqlite3.SQLITE_AUTH:
            return ToolFailed(f"{self._place} may only be read")
        return ToolFailed(f"{self._place}: {error}")


class _Late(Exception):
    """The statement was ended by the clock."""


def open_own(path: Path, schema: Sequence[str], place: str) -> SqliteFile:
    """Open a tool's own store, make it (mode 0600) and its tables where they are missing. Raises ``DeployError``."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = connect(path.as_uri())
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            for statement in schema:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise DeployError(
            f"the store {path} of {place} cannot be used: {error}",
            cure="is the disk full or read-only? a damaged store can be moved away; a new one is made",
        ) from error
    return SqliteFile(connection, place)


def connect(uri: str) -> sqlite3.Connection:
    """A connection without hidden transactions, that may go from thread to thread."""
    return sqlite3.connect(uri, uri=True, timeout=_LONGEST, isolation_level=None, check_same_thread=False)


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
        return result
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as compact text for a model: names once, then one line a row."""
    if not rows:
        return "no rows"
    lines = [" | ".join(rows[0])]
    lines += [" | ".join(_cell(value) for value in row.values()) for row in rows]
    return "\n".join(lines)


def as_lines(row: Mapping[str, Any]) -> str:
    """One row as ``name: value`` lines."""
    return "\n".join(f"{name}: {_cell(value)}" for name, value in row.items())


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("\n", " ")
