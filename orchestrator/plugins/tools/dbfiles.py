"""Opens the files behind the database tool, and examines its named queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.core.errors import DeployError
from orchestrator.core.schema_check import unsupported_keywords
from orchestrator.plugins.tools.csvtables import CsvTables
from orchestrator.plugins.tools.sqlguard import Examined, QueryFault, examine, guard_reads, guard_writes
from orchestrator.plugins.tools.sqlholds import Schemas
from orchestrator.plugins.tools.sqlite import SqliteFile, connect, open_own
from orchestrator.plugins.tools.workers import Workers
from orchestrator.ports.store import KEPT_TABLES
from orchestrator.ports.tool import ToolPlace


@dataclass(frozen=True, slots=True)
class Files:
    """The connections: ``reader`` always, ``writer`` where queries may write; ``tables`` where CSV files are read;
    ``loading`` is the thread that loads them. ``schemas`` knows which columns hold named fields."""

    path: Path
    reader: SqliteFile
    writer: SqliteFile | None
    tables: CsvTables | None
    loading: Workers
    schemas: Schemas = field(default_factory=Schemas)


@dataclass(frozen=True, slots=True)
class Query:
    """A named query that was examined."""

    sql: str
    description: str
    parameters: Mapping[str, Any]
    one: bool
    writes: bool


def open_files(name: str, options: Mapping[str, Any], place: ToolPlace, undo: ExitStack) -> Files:
    """Open what the options name; ``undo`` closes it again. Raises ``DeployError``, ``ToolFailed`` or SQLite's errors."""
    path, tables = place.state / "database.db", None
    source = place.folder / options["path"] if "path" in options else None
    if source is not None and not source.exists():
        raise DeployError(f"the tool {name}: there is no {source}", cure="mend its path")
    if source is not None and not source.is_dir() and source.suffix.lower() != ".csv":
        path = source.resolve()
    else:
        open_own(path, (), name).close()
        if source is not None:
            tables = CsvTables(source, path)
            tables.load()
    reader = _open_one(path, "ro", name, undo)
    _refuse_ours(reader.connection, path, name)
    guard_reads(reader.connection)
    writer = _open_one(path, "rw", name, undo) if options.get("writable", False) else None
    if writer is not None:
        writer.connection.execute("PRAGMA synchronous=FULL")
        guard_writes(writer.connection)
    return Files(path, reader, writer, tables, Workers(name, 1))


def _refuse_ours(connection: sqlite3.Connection, path: Path, name: str) -> None:
    """What the runtime keeps holds the words of every run and session, also of restricted ones, and which files those wrote: no
    tool reads or writes that. It is known by its tables, under any name and in any folder. Raises ``DeployError``."""
    for table, columns in KEPT_TABLES.items():
        found = {str(row["name"]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        if columns <= found:
            raise DeployError(
                f"the tool {name}: {path} is a database of the orchestrator itself",
                cure="give it one of its own; orchestrator history, logs and report tell of runs",
            )


def _open_one(path: Path, mode: str, name: str, undo: ExitStack) -> SqliteFile:
    connection = connect(f"{path.as_uri()}?mode={mode}")
    undo.callback(connection.close)
    connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    file = SqliteFile(connection, name)
    undo.callback(file.close)
    return file


def queries_of(name: str, options: Mapping[str, Any], files: Files) -> list[tuple[str, Query]]:
    """The named queries, each compiled once to find its parameters and whether it writes. Raises ``DeployError``."""
    connection = connect(f"{files.path.as_uri()}?mode=ro")
    try:
        examined = {
            key: (query, _examined(f"{name}.{key}", query, connection))
            for key, query in options.get("queries", {}).items()
        }
    finally:
        connection.close()
    written = frozenset[str]().union(*(found.writes for _, found in examined.values()))
    if written and files.writer is None:
        names = ", ".join(key for key, (_, found) in examined.items() if found.writes)
        raise DeployError(f"the tool {name}: {names} would write", cure="set writable: true on the tool")
    if files.tables is not None:
        files.tables.keep(written)
    files.schemas.filled_by([query["sql"] for query, found in examined.values() if found.writes])
    return [(key, _query(query, bool(found.writes))) for key, (query, found) in examined.items()]


def _examined(name: str, query: Mapping[str, Any], connection: sqlite3.Connection) -> Examined:
    try:
        found = examine(connection, query["sql"])
    except QueryFault as error:
        raise DeployError(f"the query {name} cannot run: {error}", cure="mend its sql") from error
    declared = query.get("parameters", {})
    if found.parameters != declared.keys():
        odd = ", ".join(sorted(found.parameters ^ declared.keys()))
        raise DeployError(
            f"the query {name}: its sql and its parameters do not name the same: {odd}",
            cure="write each :name of the sql under parameters, with its type",
        )
    unknown = unsupported_keywords({"properties": {key: _typed(kind) for key, kind in declared.items()}})
    if unknown:
        raise DeployError(f"the query {name}: its parameters: {', '.join(unknown)}", cure="see docs/tools.md")
    return found


def _query(query: Mapping[str, Any], writes: bool) -> Query:
    parameters = {key: _typed(kind) for key, kind in query.get("parameters", {}).items()}
    return Query(query["sql"], query.get("description", ""), parameters, query.get("one", False), writes)


def _typed(kind: Any) -> Any:
    return {"type": kind} if isinstance(kind, str) else kind
