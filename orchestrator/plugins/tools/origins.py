"""Which columns of a result hold what stands in a named column of a table, under whatever name a statement gives it.

SQLite tells which columns a statement reads, and not which of them a column of the result is made of. So the values decide: a
column of the result that has the name of none of those is looked through for the values of the named ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.known_values import FEWEST
from orchestrator.core.marks import whole
from orchestrator.plugins.tools.sqlguard import columns_read

MOST_WORK: Final = 200_000_000
"""Letters of a result times rows of a table: some tenths of a second of SQLite's work."""
MOST_VALUES: Final = 1_000
Rows = Sequence[Mapping[str, Any]]
_VALUES: Final = """SELECT DISTINCT CAST({column} AS TEXT) AS value FROM {table}
    WHERE {column} IS NOT NULL AND instr(lower(:text), lower(CAST({column} AS TEXT))) > 0 LIMIT :most"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Named ``fields`` for which the rows of a statement ``sql`` are looked through; ``writes``: its connection may write."""

    sql: str
    fields: Sequence[str]
    writes: bool = False

    def origins(self, connection: sqlite3.Connection, rows: Rows) -> dict[str, str]:
        """By the name of a column of the result: the field that it holds, where the name does not say so. What is too large to look
        through counts as if it held one."""
        if not rows or not self.fields:
            return {}
        read = columns_read(connection, self.sql, writes=self.writes)
        known = {field.casefold(): field for field in self.fields}
        plain = {*known, *(column.casefold() for _, column in read)}
        renamed = [name for name in rows[0] if name.casefold() not in plain]
        found: dict[str, str] = {}
        for table, column in sorted(read):
            looked_at = [name for name in renamed if name not in found]
            if column.casefold() in known and looked_at:
                holding = _holding(connection, (table, column), rows, looked_at)
                found |= dict.fromkeys(holding, known[column.casefold()])
        return found


def _holding(
    connection: sqlite3.Connection, source: tuple[str, str], rows: Rows, names: Sequence[str]
) -> Iterator[str]:
    """Those columns of the result in which a value of the source stands."""
    cells = {name: list(_cells(rows, name)) for name in names}
    values = _values(connection, source, "\n".join(cell for each in cells.values() for cell in each))
    for name, each in cells.items():
        if each and (values is None or any(_stands(value, each) for value in values)):
            yield name


def _cells(rows: Rows, name: str) -> Iterator[str]:
    """Texts, and numbers of as many digits as are looked for anywhere: a shorter one equals others by accident."""
    for value in dict.fromkeys(row[name] for row in rows if isinstance(row[name], (str, int, float))):
        if isinstance(value, str) or len(str(value)) >= FEWEST:
            yield str(value)


def _values(connection: sqlite3.Connection, source: tuple[str, str], text: str) -> list[str] | None:
    """Those of the source that may stand in a text; ``None`` where these are too many, or it would take too long to look."""
    if not text:
        return []
    table, column = map(_quoted, source)
    most = MOST_WORK // len(text)
    sql = f"SELECT count(*) AS n FROM (SELECT 1 FROM {table} LIMIT ?)"  # noqa: S608 - quoted
    if connection.execute(sql, (most + 1,)).fetchone()["n"] > most:
        return None
    given = {"text": text, "most": MOST_VALUES + 1}
    found = connection.execute(_VALUES.format(table=table, column=column), given).fetchall()
    return [row["value"] for row in found] if len(found) <= MOST_VALUES else None


def _stands(value: str, cells: Sequence[str]) -> bool:
    """A short value stands in a text by accident: it must be all of it."""
    if sum(letter.isalnum() for letter in value) < FEWEST:
        return any(value.casefold() == cell.casefold() for cell in cells)
    pattern = whole(value)
    return any(pattern.search(cell) is not None for cell in cells)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
