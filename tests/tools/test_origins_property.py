"""Whatever views, statements within statements and expressions a value goes through, it is in no column that may be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from orchestrator.plugins.tools.origins import Asked
from orchestrator.plugins.tools.sqlguard import guard_reads

FIELDS = ("Patient_Name",)
CANARIES = ("qxzjq", "xzqqj", "jzxqz")
SIGNS = frozenset("qxzjQXZJ")
"""Letters that stand in canaries alone: a part of one, in capitals or turned round, is known by any of them."""
HEXED = tuple(canary[:2].encode().hex().upper() for canary in CANARIES)
TABLES = """CREATE TABLE patients(id INTEGER PRIMARY KEY, patient_name TEXT, ward TEXT,
    loud TEXT GENERATED ALWAYS AS (upper(patient_name)) VIRTUAL);
CREATE TABLE wards(id INTEGER PRIMARY KEY, ward TEXT, head TEXT);
CREATE TABLE log(id INTEGER PRIMARY KEY, detail TEXT, kind TEXT);
CREATE TRIGGER noted AFTER INSERT ON patients BEGIN
    INSERT INTO log(kind, detail) SELECT 'new', 'patient ' || new.patient_name; END;
INSERT INTO patients(patient_name, ward) VALUES ('qxzjq', 'north'), ('xzqqj', 'south'), ('jzxqz', 'north');
INSERT INTO wards(ward, head) VALUES ('north', 'Ada'), ('south', 'Bea');
"""
COLUMNS = {
    "patients": ["id", "patient_name", "ward", "loud", "rowid"],
    "wards": ["id", "ward", "head"],
    "log": ["id", "detail", "kind", "OID"],
}
ALIASES = st.sampled_from(["a", "b", "ward", "Head", "p", "patient_name", '"a b"', "[kind]", "detail", "'t'"])
ONE = [
    "{0}", "upper({0})", "{0} || ''", "substr({0}, 1, 2)", "hex({0})", "json_object('k', {0})", "group_concat({0})",
    "CASE {1} WHEN 'north' THEN {0} ELSE 'no' END", "coalesce(NULL, {0})", "(SELECT {0})", "max({0}) OVER ()",
    "CASE WHEN {1} IS NOT NULL AND {0} > '' THEN {0} END", "count(*)", "count({0})", "'north'", "length({0})",
    "(SELECT max(z.{0}) FROM (SELECT {0} AS {2}) z)", "CAST({0} AS BLOB)", "quote({0})", "min({0}, {1})",
    "json_group_array({0})", "unicode({0})", "(SELECT group_concat(patient_name) FROM patients)", "*", "{3}.*",
]  # fmt: skip
WHERE = [
    "", " WHERE {0} = {1}", " WHERE {0} IS NOT NULL AND {1} > ''", " WHERE {0} LIKE '%q%' OR {1} = 'north'",
    " WHERE {1} IN (SELECT {0})", " WHERE EXISTS (SELECT 1 FROM patients i WHERE i.patient_name = {0})",
    " GROUP BY {0}", " ORDER BY {0} LIMIT 2", " WHERE {0} BETWEEN 'a' AND {1}",
]  # fmt: skip
Draw = Callable[[st.SearchStrategy[Any]], Any]


def _source(draw: Draw, known: dict[str, list[str]], depth: int) -> tuple[str, list[str]]:
    if depth and draw(st.booleans()):
        sql, names = _select(draw, known, depth - 1)
        return f"({sql})", names
    name = draw(st.sampled_from(sorted(known)))
    return name, known[name]


def _select(draw: Draw, known: dict[str, list[str]], depth: int) -> tuple[str, list[str]]:
    sources = [_source(draw, known, depth) for _ in range(draw(st.integers(1, 2)))]
    cells = st.sampled_from([f"s{at}.{name}" for at, (_, names) in enumerate(sources) for name in names])
    columns, names = [], []
    for _ in range(draw(st.integers(1, 3))):
        alias = draw(ALIASES)
        last = draw(cells)
        form = draw(st.sampled_from(ONE))
        made = form.format(draw(cells), draw(cells), last.partition(".")[2], last.partition(".")[0])
        starred, named = made.endswith("*"), draw(st.integers(0, 4))
        names += [] if starred else [alias]
        columns.append(made if starred else f"{made} {'AS ' if named else ''}{alias}")
    joined = draw(st.sampled_from([", ", " JOIN ", " LEFT JOIN "]))
    where = draw(st.sampled_from(WHERE)).format(draw(cells), draw(cells))
    tables = joined.join(f"{text} AS s{at}" for at, (text, _) in enumerate(sources))
    sql = f"SELECT {', '.join(columns)} FROM {tables}{where}"  # noqa: S608 - the test makes statements of its own
    if depth and draw(st.integers(0, 3)) == 0:
        sql = f"WITH c AS ({sql}) SELECT * FROM c UNION ALL SELECT * FROM c"  # noqa: S608 - as above
    return sql, names or ["rowid"]


@st.composite
def questions(draw: Draw) -> tuple[list[str], str]:
    """Views over tables and earlier views, and a statement over all of them."""
    known, views = dict(COLUMNS), []
    for at in range(draw(st.integers(0, 3))):
        sql, names = _select(draw, known, 1)
        views.append(f"CREATE VIEW v{at} AS {sql}")
        known[f"v{at}"] = names
    return views, _select(draw, known, 2)[0]


def _rows(views: list[str], sql: str) -> tuple[list[dict[str, Any]], dict[str, str]] | None:
    """``None`` for what is no SQL: not all that is put together is."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = lambda cursor, row: {
        each[0]: value for each, value in zip(cursor.description, row, strict=True)
    }
    try:
        connection.executescript(TABLES)
        for view in views:
            connection.execute(view)
        guard_reads(connection)
        cursor = connection.execute(sql)
        names, rows = [each[0] for each in cursor.description], cursor.fetchmany(50)
        return rows, Asked(sql, FIELDS).origins(connection, rows, names)
    except sqlite3.Error:
        return None
    finally:
        connection.close()


@settings(max_examples=300)
@given(questions())
def test_no_part_of_a_named_column_is_in_one_that_may_be_read(question: tuple[list[str], str]) -> None:
    found = _rows(*question)
    if found is None:
        event("no SQL")
        return
    rows, hidden = found
    readable = [name for name in rows[0] if name not in hidden and name.lower() != "patient_name"] if rows else []
    event(f"rows: {bool(rows)}, some readable: {bool(readable)}, some hidden: {bool(hidden)}")
    for row in rows:
        for name in readable:
            cell = row[name].decode("latin-1") if isinstance(row[name], bytes) else str(row[name])
            assert not SIGNS & set(cell), f"{name} tells {cell!r}"
            assert not any(part in cell for part in HEXED), f"{name} tells {cell!r}"
