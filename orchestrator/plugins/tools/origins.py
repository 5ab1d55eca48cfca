"""Which columns of a result hold what stands in a named column of a table, under whatever name a statement gives it.

SQLite tells which columns a statement reads, and not which of them a column of the result is made of. So the statement itself is
read, with the views that it names (``sqlmade``, ``sqlholds``), and what is found is held against what SQLite says: where the two do
not fit, or the statement is not understood, every column counts as made of the named one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools.sqlguard import columns_read, is_of_the_statement, unguarded
from orchestrator.plugins.tools.sqlholds import Holdings, Schemas
from orchestrator.plugins.tools.sqlsources import Relation
from orchestrator.plugins.tools.sqlwords import CannotTell

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Named ``fields`` for which the columns of a statement ``sql`` are looked at; ``writes``: its connection may write;
    ``schemas`` knows its file."""

    sql: str
    fields: Sequence[str]
    writes: bool = False
    schemas: Schemas = field(default_factory=Schemas)

    def origins(self, connection: sqlite3.Connection, rows: Rows, names: Sequence[str]) -> dict[str, str]:
        """By the name of a column of the result: the field that it holds, where the name does not say so. ``names`` are those of
        all columns, in order."""
        if not rows or not self.fields:
            return {}
        holdings = self._holdings(connection)
        read = self._read(connection, holdings)
        if not read:
            return {}
        known = {field.casefold() for field in self.fields}
        held = zip(names, _held(holdings, self.sql, len(names), read), strict=True)
        return {name: holds for name, holds in held if holds and name.casefold() not in known}

    @contextmanager
    def kept_in(self, connection: sqlite3.Connection) -> Iterator[None]:
        """What goes wrong while a statement reads a named column may tell its values ("JSON path error near 'Anna'"): it is said in
        other words. A statement that cannot even be compiled has read nothing."""
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning) as error:
            if not self.fields or not _may_tell(error):
                raise
            if not self._read_before(connection):
                raise
            kind = getattr(error, "sqlite_errorname", "an error")
            message = f"the statement failed while it read ({kind}); what SQLite says of it may hold a value that is kept back"
            raise ToolFailed(message) from error

    def _read_before(self, connection: sqlite3.Connection) -> str:
        holdings = self._holdings(connection)
        try:
            return self._read(connection, holdings)
        except sqlite3.Error as error:
            if not is_of_the_statement(error):
                raise  # ended by the clock: whether it had read one is not known, and it begins again
            return ""

    def _holdings(self, connection: sqlite3.Connection) -> Holdings:
        with unguarded(connection, writes=self.writes):
            return self.schemas.of(connection, self.fields)

    def _read(self, connection: sqlite3.Connection, holdings: Holdings) -> str:
        """A field whose values the statement reads, as SQLite itself says."""
        read = columns_read(connection, self.sql, writes=self.writes)
        return next((holds for table, column in sorted(read) if (holds := holdings.holds(table, column))), "")


_OF_VALUES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG)
"""Faults of what a statement met; those of files, locks and memory have words of their own."""


def _may_tell(error: sqlite3.Error | sqlite3.Warning) -> bool:
    """Python's own fault without a code of SQLite is of a text that is no UTF-8, which it quotes."""
    code = getattr(error, "sqlite_errorcode", None)
    return type(error) is sqlite3.OperationalError if code is None else code & 0xFF in _OF_VALUES


def _held(holdings: Holdings, sql: str, count: int, read: str) -> list[str]:
    """For each column of the result: the field that it may hold; ``read`` is one that the statement reads."""
    try:
        made: Relation | None = holdings.made(sql)
    except (CannotTell, RecursionError):
        made = None
    if made is None or len(made.columns) != count:
        return [read] * count
    return [column.holds for column in made.columns]
