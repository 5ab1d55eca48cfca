"""Which columns of the tables and views of a file hold the values of named ones, under whatever name.

Besides the named columns themselves: columns of views, generated columns, what triggers and the operator's own statements put
elsewhere, and virtual tables over such tables (full-text search), with the tables in which these keep what they hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from orchestrator.plugins.tools.sqlfills import Fill, fills_of, made_by
from orchestrator.plugins.tools.sqlguard import is_of_the_statement
from orchestrator.plugins.tools.sqlmade import Maker
from orchestrator.plugins.tools.sqlsources import ROWIDS, Column, Relation, Scope, Source, first, mark, renamed
from orchestrator.plugins.tools.sqlwords import (
    CannotTell,
    Group,
    Nodes,
    after,
    is_word,
    parted,
    path_at,
    small,
    words_of,
)

MOST_REMEMBERED: Final = 16
_OWN: Final = ("sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema")
_SAMPLES: Final = ("sqlite_stat3", "sqlite_stat4")
_HARMLESS: Final = ("json_each", "json_tree", "generate_series")
"""Functions that stand for tables and give what they are called with, and nothing of the file."""
_HIDDEN, _GENERATED = 1, (2, 3)


@dataclass(frozen=True, slots=True)
class Written:
    """One entry of the schema, and its columns: name, how hidden, place in the key, type."""

    kind: str
    name: str
    table: str
    sql: str
    columns: tuple[tuple[str, int, int, str], ...] = ()


class Schemas:
    """What was found out of a tool's file, until its schema changes. ``fills`` are the operator's statements that write."""

    def __init__(self) -> None:
        self._fills: tuple[str, ...] = ()
        self._found: dict[tuple[Sequence[str], int], Holdings] = {}

    def filled_by(self, statements: Sequence[str]) -> None:
        """The operator's statements that write: they may put a named column elsewhere."""
        self._fills = tuple(statements)
        self._found.clear()

    def of(self, connection: sqlite3.Connection, fields: Sequence[str]) -> Holdings:
        """On a connection that nothing guards for now."""
        key = (tuple(fields), int(_value(connection, "PRAGMA schema_version")))
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            found = self._found[key] = Holdings(fields, list(_written(connection)), self._fills)
        return found


class Holdings:
    """``any`` is a field that some column of the file holds; empty where none does. Once made it does not change: several threads
    may ask it."""

    def __init__(self, fields: Sequence[str], schema: Sequence[Written], fills: Sequence[str]) -> None:
        self._named = {field.casefold(): field for field in fields}
        known = [each for each in schema if each.columns]  # of another nothing can be told: it counts as any
        self._tables = {small(each.name): self._table(each) for each in known if each.kind == "table"}
        self._views = {small(each.name): each for each in known if each.kind == "view"}
        self._made: dict[str, Relation] = {}
        self._opened: set[str] = set()
        self._schema, self._fills = schema, fills
        while self._spread():
            self._made.clear()
        self._made.clear()
        for name in self._views:
            self.relation(name)

    @property
    def any(self) -> str:
        """A field that some column holds."""
        return next((table.holds for table in self._tables.values() if table.holds), self._named_in_views())

    def _named_in_views(self) -> str:
        names = (column[0].casefold() for view in self._views.values() for column in view.columns)
        return next((self._named[name] for name in names if name in self._named), "")

    def holds(self, table: str, column: str) -> str:
        """The field that a column of a table or view holds. One that is not known may hold any."""
        relation = self.relation(small(table)) or Relation([])
        found = Source.of(relation, "").named(small(column))
        if found or not column:
            return first(each.holds for each in found)
        return self._named.get(column.casefold(), relation.holds or self.any)

    def made(self, sql: str) -> Relation:
        """The columns of what a statement gives. Raises ``CannotTell``."""
        return made_by(words_of(sql), self.relation)

    def relation(self, name: str) -> Relation | None:
        """A table, a view, or a function that stands for one."""
        if name in self._tables:
            return self._tables[name]
        if name in self._views:
            if name not in self._made:
                self._made[name] = self._view(name)
            return self._made[name]
        if name in _OWN:
            return Relation([Column(frozenset({each})) for each in ("type", "name", "tbl_name", "rootpage", "sql")])
        return self._function(name)

    def _function(self, name: str) -> Relation | None:
        columns = _columns_of_function(name)
        if not columns:
            return None
        holds = "" if name in _HARMLESS or name.startswith("pragma_") else self.any
        return Relation([Column(frozenset({small(each)}), holds, hidden == _HIDDEN) for each, hidden in columns])

    def _table(self, written: Written) -> Relation:
        names = {small(column[0]) for column in written.columns}
        keys = [column for column in written.columns if column[2]]
        columns = []
        for name, hidden, key, kind in written.columns:
            also = ROWIDS - names if key and len(keys) == 1 and small(kind) == "integer" else frozenset[str]()
            holds = self._named.get(name.casefold(), "")
            columns.append(Column(frozenset({small(name)}) | also, holds, hidden == _HIDDEN))
        if not any(column.names & ROWIDS for column in columns):
            columns.append(Column(ROWIDS - names, hidden=True))
        return Relation(columns, stored=not written.sql.casefold().startswith("create virtual"))

    def _view(self, name: str) -> Relation:
        written = self._views[name]
        names = [column[0] for column in written.columns]
        try:
            if name in self._opened:
                raise CannotTell
            self._opened.add(name)
            body = after(words_of(written.sql), "as")[1][1:]
            made = renamed(Maker(self.relation).select(body, Scope()), [small(each) for each in names])
        except (CannotTell, RecursionError):
            made = Relation([Column(frozenset({small(each)}), self.any) for each in names])
        finally:
            self._opened.discard(name)
        for column, each in zip(made.columns, names, strict=True):
            mark([column], self._named.get(each.casefold(), ""))
        return made

    # how values come from one table into another

    def _spread(self) -> bool:
        """One more round; whether anything new was found."""
        found = sum(self._fill(fill) for fill in self._all_fills())
        return found + sum(self._virtual(each) for each in self._schema if not self._is_stored(each)) > 0

    def _is_stored(self, written: Written) -> bool:
        relation = self._tables.get(small(written.name)) if written.kind == "table" else None
        return relation is None or (relation.stored and small(written.name) not in _SAMPLES)

    def _fill(self, fill: Fill) -> int:
        table, name, holds = fill
        relation = self._tables.get(table)
        columns = [each for each in relation.columns if name in each.names or not name] if relation else []
        return mark(columns, holds)

    def _all_fills(self) -> Iterator[Fill]:
        for written in self._schema:
            if written.kind == "trigger":
                yield from self._by_trigger(written)
            elif written.kind == "table" and any(column[1] in _GENERATED for column in written.columns):
                yield from self._generated(written)
        for sql in self._fills:
            yield from self._by_statement(sql, ())

    def _by_trigger(self, written: Written) -> Iterator[Fill]:
        relation = self.relation(small(written.table))
        if relation is None:
            return
        try:
            nodes = after(words_of(written.sql), "begin")[1][1:-1]
        except CannotTell:
            nodes = []
        around = [Source.of(relation, "new"), Source.of(relation, "old")]
        for statement in parted(nodes, ";"):
            yield from self._by_statement(statement, around)

    def _by_statement(self, statement: str | Nodes, around: Sequence[Source]) -> Iterator[Fill]:
        """Where it is not understood, all that it names is filled with what any of it holds."""
        nodes: Nodes = ()
        try:
            nodes = words_of(statement) if isinstance(statement, str) else statement
            yield from fills_of(nodes, self.relation, around)
        except (CannotTell, RecursionError):
            tables = {each for each in _all_names(nodes) if each in self._tables}
            yield from ((table, "", self.any) for table in sorted(tables))

    def _generated(self, written: Written) -> Iterator[Fill]:
        name = small(written.name)
        own = {small(column[0]) for column in written.columns if column[1] in _GENERATED}
        try:
            body = next(node for node in words_of(written.sql) if isinstance(node, Group))
        except (CannotTell, StopIteration):
            body = Group()
        for part in parted(body):
            path, made = path_at(part, 0), after(part, "as")[1]
            if path and path[0] in own and len(made) > 1:
                scope = Scope(sources=[Source.of(self._tables[name], name)])
                with suppress(CannotTell, RecursionError):
                    holds = Maker(self.relation).seen(made[1:2], scope).holds
                    own.discard(path[0])
                    yield name, path[0], holds
        yield from ((name, each, self._tables[name].holds) for each in own)

    def _virtual(self, written: Written) -> int:
        """What it holds by what it is made over, and where it keeps that."""
        name = small(written.name)
        relation = self._tables[name]
        if name in _SAMPLES:
            return mark(relation.columns, self.any)
        given = self._made_over(written)
        found = sum(mark([column], given.get(next(iter(column.names)), "")) for column in relation.columns)
        found += mark([column for column in relation.columns if column.hidden], relation.holds)
        kept = [table for each, table in self._tables.items() if each.startswith(f"{name}_")] if relation.holds else []
        return found + sum(mark(table.columns, relation.holds) for table in kept)

    def _made_over(self, written: Written) -> Mapping[str, str]:
        """By the name of each of its columns: the field that it may hold, as one in what it is made over does."""
        names = [small(column[0]) for column in written.columns]
        try:
            using = after(words_of(written.sql), "using")[1]
        except CannotTell:
            return dict.fromkeys(names, self.any)
        full_text = len(using) > 1 and is_word(using[1], "fts3", "fts4", "fts5")
        given = using[2] if len(using) > 2 else Group()
        parts = parted(given if isinstance(given, Group) else ())
        if full_text:
            parts = [part[1:] for part in parts if part and is_word(part[0], "content")]
        over = [self.relation(each) for part in parts for each in _all_names(part) if each != small(written.name)]
        found: dict[str, str] = {}
        for relation in over:
            if relation is not None and relation.holds:
                known = (
                    {name: column.holds for column in relation.columns for name in column.names} if full_text else {}
                )
                found |= {name: known.get(name, relation.holds) or found.get(name, "") for name in names}
        return found


def _all_names(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Group):
            yield from _all_names(node)
        elif node.kind in ("word", "name", "text"):
            yield node.text


def _written(connection: sqlite3.Connection) -> Iterator[Written]:
    cursor = connection.cursor()
    cursor.row_factory = None
    for kind, name, table, sql in cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall():
        columns = _columns(connection, name) if kind in ("table", "view") else ()
        yield Written(kind, name, table, sql or "", columns)


def _columns(connection: sqlite3.Connection, name: str) -> tuple[tuple[str, int, int, str], ...]:
    quoted = name.replace('"', '""')
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        rows = cursor.execute(f'PRAGMA table_xinfo("{quoted}")').fetchall()
    except sqlite3.Error as error:
        if not is_of_the_statement(error):
            raise  # ended by the clock, it would be taken for a table without columns
        return ()  # a view over what is gone: no statement can use it
    return tuple((str(row[1]), int(row[6]), int(row[5]), str(row[2])) for row in rows)


@lru_cache(maxsize=64)
def _columns_of_function(name: str) -> tuple[tuple[str, int], ...]:
    """It belongs to SQLite, and not to a file."""
    connection = sqlite3.connect(":memory:")
    try:
        return tuple((each, hidden) for each, hidden, _, _ in _columns(connection, name))
    finally:
        connection.close()


def _value(connection: sqlite3.Connection, sql: str) -> int:
    cursor = connection.cursor()
    cursor.row_factory = None
    row = cursor.execute(sql).fetchone()
    return int(row[0])
