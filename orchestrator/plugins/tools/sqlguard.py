"""What an SQL statement may do: found by SQLite itself, through its authorizer, while it compiles the statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

_READS: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_WRITES: Final = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_BAD_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})
_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 8_000_000),  # bytes of one value: randomblob(10^9) must not eat the device
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 50_000),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
)


@dataclass(frozen=True, slots=True)
class Examined:
    """The names of a statement's parameters, and the tables that it writes."""

    parameters: frozenset[str]
    writes: frozenset[str]


def is_of_the_statement(error: sqlite3.Error) -> bool:
    """Whether the statement itself is at fault, and not the clock that ended it, a lock, the file or the memory."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY) & 0xFF == sqlite3.SQLITE_ERROR


class QueryFault(Exception):
    """A statement that cannot run, or that does what none may."""


def guard_reads(connection: sqlite3.Connection) -> None:
    """Refuse everything but reading on this connection."""
    _limit(connection)
    connection.set_authorizer(_may_read)


def guard_writes(connection: sqlite3.Connection) -> None:
    """Refuse everything but reading and changing rows in transactions."""
    _limit(connection)
    connection.set_authorizer(_may_write)


def examine(connection: sqlite3.Connection, sql: str) -> Examined:
    """Compile a statement without running it; ``connection`` is used for nothing else. Raises :class:`QueryFault`."""
    writes: set[str] = set()
    refused: list[str] = []

    def record(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
        if action in _WRITES and first is not None:
            writes.add(first)
        verdict = _may_change(action, first, second, *rest)
        if verdict == sqlite3.SQLITE_DENY:
            refused.append(first or "")
        return verdict

    asked = _Asked()
    connection.set_authorizer(record)
    try:
        connection.execute(f"EXPLAIN {sql}", asked).fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise QueryFault("it may only read or change rows" if refused else str(error)) from error
    return Examined(frozenset(asked), frozenset(writes))


def columns_read(connection: sqlite3.Connection, sql: str, *, writes: bool) -> frozenset[tuple[str, str]]:
    """The tables and columns that a statement reads, on a connection that is guarded for reading, or for ``writes``."""
    found: set[tuple[str, str]] = set()
    may = _may_write if writes else _may_read

    def record(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
        if action == sqlite3.SQLITE_READ and first and second:
            found.add((first, second))
        return may(action, first, second, *rest)

    connection.set_authorizer(record)
    try:
        connection.execute(f"EXPLAIN {sql}", _Asked()).fetchall()  # it is compiled, and not run
    finally:
        connection.set_authorizer(may)
    return frozenset(found)


@contextmanager
def unguarded(connection: sqlite3.Connection, *, writes: bool) -> Iterator[None]:
    """A connection that is guarded for reading, or for ``writes``, may meanwhile be asked by us what its schema is."""
    connection.set_authorizer(None)
    try:
        yield
    finally:
        connection.set_authorizer(_may_write if writes else _may_read)


class _Asked(dict[str, Any]):
    """Stands for the values, and notes which names are asked for."""

    def __missing__(self, name: str) -> None:
        self[name] = None


def _may_read(action: int, first: str | None, second: str | None, *_rest: str | None) -> int:
    if action in _READS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second in _BAD_FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "table_info":  # names of columns, for the list of tables
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _may_change(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
    if action in _WRITES:
        internal = (first or "").startswith(("sqlite_", "_csv"))
        return sqlite3.SQLITE_DENY if internal else sqlite3.SQLITE_OK
    return _may_read(action, first, second, *rest)


def _may_write(action: int, first: str | None, second: str | None, *rest: str | None) -> int:
    """Transactions are begun by us; a query that holds such a statement does not pass :func:`examine`."""
    if action == sqlite3.SQLITE_TRANSACTION:
        return sqlite3.SQLITE_OK
    return _may_change(action, first, second, *rest)


def _limit(connection: sqlite3.Connection) -> None:
    for what, most in _LIMITS:
        connection.setlimit(what, most)
