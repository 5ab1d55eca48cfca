"""SQL over an SQLite file or CSV files: named queries of the operator, and free reading where it is allowed.

Three walls keep a query from doing more than it may: reads go through a read-only connection; an authorizer refuses
every action that is not listed; values come as parameters only. What a query does is found when the tool is opened, so
that a fault in it stops the deployment and not a customer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.dbfiles import Files, Query, open_files, queries_of
from orchestrator.plugins.tools.opened import OpenedTool, arguments_schema, checked_options, described
from orchestrator.plugins.tools.origins import Asked
from orchestrator.plugins.tools.sqlite import as_lines, as_table
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace

_QUERY: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "sql": {"type": "string", "minLength": 1},
        "description": {"type": "string"},
        "parameters": {"type": "object"},
        "one": {"type": "boolean"},
    },
    "required": ["sql"],
    "additionalProperties": False,
}
OPTIONS: Final[Mapping[str, Any]] = {
    "path": {"type": "string", "minLength": 1},
    "queries": {"type": "object", "additionalProperties": _QUERY},
    "allow_sql": {"type": "boolean"},
    "writable": {"type": "boolean"},
}

_MOST_ROWS: Final = 200
_LARGEST: Final = 4_000_000
"""Characters and bytes of all values of an answer together."""
_TABLES: Final = r"""SELECT name FROM sqlite_master WHERE type IN ('table', 'view')
    AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> '_csv' ORDER BY name"""


def open_database(name: str, options: Mapping[str, Any], place: ToolPlace) -> OpenedTool:
    """Open the database tool. Raises ``DeployError`` for a missing file and for a query that cannot run."""
    read = checked_options(name, options, OPTIONS)
    with ExitStack() as undo:
        try:
            files = open_files(name, read, place, undo)
            functions = [_tables_function(name, files)]
            functions += [
                _query_function(f"{name}.{key}", query, files) for key, query in queries_of(name, read, files)
            ]
        except ToolFailed as error:
            raise DeployError(f"the tool {name}: {error.message}", cure="mend the file") from error
        except sqlite3.Error as error:
            raise DeployError(f"the tool {name}: {_file_name(read)}: {error}", cure="is it an SQLite file?") from error
        if read.get("allow_sql", False):
            functions.append(_free_function(name, files))
        release = undo.pop_all()
    return OpenedTool(tuple(functions), release.close)


def _file_name(options: Mapping[str, Any]) -> str:
    """The file for a message."""
    return Path(options["path"]).name if "path" in options else "its store"


def _tables_function(name: str, files: Files) -> ToolFunction:
    async def run(_arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        await _refresh(files)
        rows = await files.reader.read(_described)
        return ToolOutcome.shown(rows, as_table)

    return ToolFunction(f"{name}.tables", "The tables and their columns.", arguments_schema({}), "read", run, True)


def _query_function(name: str, query: Query, files: Files) -> ToolFunction:
    tool, _, key = name.partition(".")
    place = f"mend its sql in the manifest: queries.{key} of the tool {tool}"
    defaults = {key: schema["default"] for key, schema in query.parameters.items() if "default" in schema}

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        values = {**defaults, **arguments}
        asked = Asked(query.sql, context.fields, query.writes, files.schemas)
        with _mended_by(place):
            if query.writes:
                return await _write(files, query, asked, values)
            outcome = await _rows(files, asked, values)
            return _first(outcome) if query.one else outcome

    return ToolFunction(
        name,
        query.description or name.replace(".", " ").replace("_", " "),
        arguments_schema(query.parameters, tuple(defaults)),
        "write" if query.writes else "read",
        run,
        idempotent=not query.writes,
    )


def _free_function(name: str, files: Files) -> ToolFunction:
    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        with _mended_by(f"mend the statement: {name}.tables gives the tables and columns"):
            asked = Asked(arguments["sql"], context.fields, schemas=files.schemas)
            return await _rows(files, asked, arguments.get("parameters", {}))

    scalar = {"type": ["string", "integer", "number", "boolean", "null"]}
    schema = arguments_schema(
        {
            "sql": described({"type": "string", "maxLength": 20_000}, "one SELECT of SQLite; values as :name"),
            "parameters": described({"type": "object", "additionalProperties": scalar}, "the value of each :name"),
        },
        optional=("parameters",),
    )
    return ToolFunction(f"{name}.query", "Run one SELECT; see the tables first.", schema, "read", run, True)


@contextmanager
def _mended_by(cure: str) -> Iterator[None]:
    """What a statement is refused for is mended there; faults of files and disks have a cure of their own."""
    try:
        yield
    except ToolFailed as error:
        error.cure = error.cure or cure
        raise


def _described(connection: sqlite3.Connection) -> list[dict[str, str]]:
    names = [row["name"] for row in connection.execute(_TABLES)]
    return [
        {"table": name, "columns": ", ".join(column["name"] for column in connection.execute(_columns_of(name)))}
        for name in names
    ]


def _columns_of(table: str) -> str:
    escaped = table.replace('"', '""')
    return f'PRAGMA table_info("{escaped}")'


async def _refresh(files: Files) -> None:
    if files.tables is not None and files.tables.changed():
        await files.loading.run(files.tables.load)


async def _rows(files: Files, asked: Asked, values: Mapping[str, Any]) -> ToolOutcome:
    await _refresh(files)

    def work(connection: sqlite3.Connection) -> ToolOutcome:
        with asked.kept_in(connection):
            cursor = connection.execute(asked.sql, values)
            names, rows = _names(cursor), _fetched(cursor)
        return ToolOutcome.shown(rows, as_table, asked.origins(connection, rows, names))

    return await files.reader.read(work)


async def _write(files: Files, query: Query, asked: Asked, values: Mapping[str, Any]) -> ToolOutcome:
    if files.writer is None:
        raise ToolFailed("this database may only be read", cure="set writable: true on the tool")

    def work(connection: sqlite3.Connection) -> ToolOutcome:
        with asked.kept_in(connection):
            cursor = connection.execute(query.sql, values)
            names, rows = _names(cursor), _fetched(cursor)
        if not names:
            return ToolOutcome({"changed": cursor.rowcount}, f"{cursor.rowcount} rows changed")
        return ToolOutcome.shown(rows, as_table, asked.origins(connection, rows, names))

    outcome = await files.writer.write(work)
    return _first(outcome) if query.one and isinstance(outcome.value, list) else outcome


def _names(cursor: sqlite3.Cursor) -> list[str]:
    """Of the columns, in order; empty where a statement gives no rows."""
    return [column[0] for column in cursor.description or ()]


def _fetched(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    """More than the caps are an error: a list that ends somewhere reads like the whole truth."""
    rows: list[dict[str, Any]] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, (str, bytes)))
        if len(rows) > _MOST_ROWS:
            raise ToolFailed(f"the answer has more than {_MOST_ROWS} rows; ask for fewer (WHERE, LIMIT)")
        if size > _LARGEST:
            raise ToolFailed(f"the answer is larger than {_LARGEST // 1_000_000} MB; ask for fewer rows or columns")
    return rows


def _first(outcome: ToolOutcome) -> ToolOutcome:
    rows = outcome.value
    return ToolOutcome.shown(rows[0], as_lines, outcome.origins) if rows else ToolOutcome(None, "nothing found")
