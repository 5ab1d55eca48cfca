"""SQLite as the tools use it: short reads at once, long ones and every write in a worker thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.workers import Workers

T = TypeVar("T")

_AT_ONCE: Final = 0.005
"""Seconds that a read may hold up the event loop; what takes longer starts again in a thread."""
_LONGEST: Final = 5.0
"""Seconds after which a statement is ended."""
_STEPS: Final = 2000
"""Instructions of SQLite's machine between two looks at the clock: about 0.1 ms."""
_OF_THE_DISK: Final = "is the disk full or read-only, and may the runtime write there?"
_OF_THE_FILE: Final = "the file is damaged or no SQLite file: put a copy back, or move it away"
_CURES: Final = {
    sqlite3.SQLITE_FULL: _OF_THE_DISK,
    sqlite3.SQLITE_IOERR: _OF_THE_DISK,
    sqlite3.SQLITE_READONLY: _OF_THE_DISK,
    sqlite3.SQLITE_CANTOPEN: _OF_THE_DISK,
    sqlite3.SQLITE_CORRUPT: _OF_THE_FILE,
    sqlite3.SQLITE_NOTADB: _OF_THE_FILE,
}
"""Of faults that are not a statement's own."""
_PAUSE: Final = 0.01
"""Seconds between two attempts where another process keeps the file locked."""


class SqliteFile:
    """One connection of a tool, ``connection``, used by one thread at a time. Rows are dicts."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        connection.row_factory = _as_dict
        # We wait for other processes ourselves: SQLite's own waiting holds up the event loop and cannot be cancelled.
        connection.execute("PRAGMA busy_timeout=0").fetchall()
        self.connection = connection
        self._place = place
        self._lock = threading.Lock()
        self._workers = Workers(place, 1)
        self._running = _Use(float("inf"))
        self._closed = False
        connection.set_progress_handler(self._is_over, _STEPS)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give the connection to ``work``, which only reads (it may be begun again). One that is cancelled is ended."""
        if self._lock.acquire(blocking=False):
            try:
                return self._once(work, _Use(_AT_ONCE))
            except (_Late, _Busy):
                pass
            finally:
                self._lock.release()
        return await self._threaded(work, _Use(_LONGEST))

    async def write(self, work: Callable[[sqlite3.Connection], T], *, endless: bool = False) -> T:
        """Give it to ``work`` in a transaction that is on the disk when this returns (``work`` may be begun again).

        A call that is cancelled is undone, or done where its commit had begun; never by half. ``endless`` lifts the limit
        on its time.
        """
        use = _Use(float("inf") if endless else _LONGEST)
        return await self._threaded(lambda connection: _in_transaction(connection, work, use), use)

    def close(self) -> None:
        """End what runs, and close it. Blocks: call it in a thread."""
        self._closed = True
        with self._lock:
            self.connection.close()

    async def _threaded(self, work: Callable[[sqlite3.Connection], T], use: _Use) -> T:
        return await self._workers.run(lambda: self._alone(work, use), use.stop)

    def _alone(self, work: Callable[[sqlite3.Connection], T], use: _Use) -> T:
        with self._lock:
            use.begin()
            try:
                return self._patiently(work, use)
            except _Late as error:
                if self._closed:
                    raise ToolFailed(
                        f"{self._place} was closed", cure="ask again: the deployment was changed meanwhile"
                    ) from error
                raise ToolFailed(f"{self._place} needed more than {use.seconds:g} s; ask for less") from error

    def _patiently(self, work: Callable[[sqlite3.Connection], T], use: _Use) -> T:
        """Begin again while another process keeps the file locked, up to the limit."""
        until = min(use.until, time.perf_counter() + _LONGEST)
        while True:
            try:
                return self._once(work, use)
            except _Busy as error:
                if self._closed or use.is_over() or time.perf_counter() > until:
                    cure = "another program keeps the file locked; ask again once it is done with it"
                    raise ToolFailed(f"{self._place}: {error}", cure=cure) from error
            time.sleep(_PAUSE)

    def _once(self, work: Callable[[sqlite3.Connection], T], use: _Use) -> T:
        self._running = use
        try:
            if self._is_over():
                raise _Late
            return work(self.connection)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise self._translated(error) from error
        except (OverflowError, UnicodeError) as error:
            raise ToolFailed(
                f"{self._place}: a value cannot be stored: {error}", cure="give a smaller number, or text that is UTF-8"
            ) from error
        finally:
            self._running = _Use(float("inf"))

    def _is_over(self) -> bool:
        return self._closed or self._running.is_over()

    def _translated(self, error: sqlite3.Error | sqlite3.Warning) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            return _Late()
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return _Busy(str(error))
        if code == sqlite3.SQLITE_AUTH:
            return ToolFailed(f"{self._place} may only be read")
        return ToolFailed(f"{self._place}: {error}", cure=_CURES.get(code, ""))


class _Use:
    """One use of a connection, for some seconds. It is stopped by a mark of its own and not by ``interrupt()``, which may
    hit the next one's statement."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._stopped = False
        self.begin()

    def begin(self) -> None:
        """Count the seconds from now on."""
        self.until = time.perf_counter() + self.seconds

    def stop(self) -> None:
        """Ask it to end; from any thread."""
        self._stopped = True

    def is_over(self) -> bool:
        """Whether it is to end."""
        return self._stopped or time.perf_counter() > self.until


class _Late(Exception):
    """The statement was ended by the clock, or because nobody waits for it."""


class _Busy(Exception):
    """Another connection keeps the file locked."""


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


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], use: _Use) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        if use.is_over():
            raise _Late
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
