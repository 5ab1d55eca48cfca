"""What the clock ends before it is known begins again: it is never taken for what holds nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing as closed
from typing import Any

import pytest

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools.database import open_database
from orchestrator.plugins.tools.origins import Asked
from orchestrator.plugins.tools.sqlguard import guard_reads
from orchestrator.plugins.tools.sqlholds import Holdings, Schemas, Written
from orchestrator.plugins.tools.sqlwords import Nodes, words_of
from orchestrator.ports.tool import ToolContext, ToolPlace
from tests.tools.calling import closing, function

pytestmark = pytest.mark.anyio

FIELDS = ("name",)
TABLES = """CREATE TABLE visits(id, name, ward);
CREATE VIEW short AS SELECT upper(name) AS n, ward FROM visits;
CREATE VIEW gone AS SELECT * FROM nowhere;
CREATE TABLE wide(NAMES, name);
INSERT INTO visits VALUES (1, 'Anna[', 'north');
INSERT INTO wide(name) VALUES ('Anna[');""".replace("NAMES", ", ".join(f"c{at}" for at in range(20)))
SHOWN = {"SELECT n AS x, ward AS w FROM short": "x", "SELECT lower(name) AS y, c1 FROM wide": "y"}
FAULTS = ("SELECT json_extract('{}', 'x' || name) FROM visits", "SELECT json_extract('{}', 'x' || name) FROM wide")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closed(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.executescript(TABLES)
        guard_reads(made)
        yield made


def ended_at_each_step(connection: sqlite3.Connection, look: Callable[[], Any]) -> Iterator[Any]:
    """What ``look`` gives each time that it is ended one instruction of SQLite later, until it comes to its end by itself."""
    over, step = True, 0
    while over:
        over, left, step = False, step, step + 1

        def is_over() -> bool:
            nonlocal over, left
            over = left <= 0
            left -= 1
            return over

        connection.set_progress_handler(is_over, 1)
        try:
            yield look()
        except sqlite3.OperationalError as error:
            yield error.sqlite_errorcode & 0xFF
        finally:
            connection.set_progress_handler(None, 0)


@pytest.mark.parametrize(("sql", "hidden"), SHOWN.items())
def test_whenever_it_is_ended_it_hides_no_less(connection: sqlite3.Connection, sql: str, hidden: str) -> None:
    """It says that it was ended, or what it says when it is not."""
    cursor = connection.execute(sql)
    names, rows = [each[0] for each in cursor.description], cursor.fetchall()
    given = list(ended_at_each_step(connection, lambda: Asked(sql, FIELDS).origins(connection, rows, names)))
    assert given.pop() == {hidden: "name"}
    assert len(given) > 50
    assert set(given) == {sqlite3.SQLITE_INTERRUPT}


@pytest.mark.parametrize("sql", FAULTS)
def test_whenever_it_is_ended_a_fault_tells_no_more(connection: sqlite3.Connection, sql: str) -> None:
    """SQLite's own words for it hold a value."""

    def look() -> str:
        try:
            with Asked(sql, FIELDS).kept_in(connection):
                connection.execute(sql).fetchall()
        except ToolFailed as error:
            return error.message
        return "nothing failed"

    *given, last = ended_at_each_step(connection, look)
    assert "kept back" in last
    assert len(given) > 50
    assert set(given) == {sqlite3.SQLITE_INTERRUPT}


@pytest.mark.parametrize(("small", "wide"), [(200, 1000), (400, 300)])
async def test_a_file_of_many_tables_is_read_whole(place: ToolPlace, small: int, wide: int) -> None:
    """That takes longer than a read may hold up all else, and so it ends in a thread."""
    with sqlite3.connect(place.folder / "visits.db") as made:
        made.executescript("".join(f"CREATE TABLE t{at}(a, b);" for at in range(small)))
        made.execute(f"CREATE TABLE wide(name, {', '.join(f'c{at}' for at in range(wide))})")
        made.execute("INSERT INTO wide(name) VALUES ('Anna[')")
    made.close()
    async with closing(open_database("db", {"path": "visits.db", "allow_sql": True}, place)) as tool:
        ask = function(tool, "query")
        with pytest.raises(ToolFailed, match="kept back"):
            await ask.run({"sql": FAULTS[1]}, ToolContext(fields=FIELDS))
        given = await ask.run({"sql": "SELECT upper(name) AS x FROM wide"}, ToolContext(fields=FIELDS))
    assert given.origins == {"x": "name"}


def test_a_table_whose_columns_are_not_known_may_hold_any() -> None:
    """It fails closed: a column by its name, else as any that is named."""
    holdings = Holdings(("name", "age"), [Written("table", "odd", "odd", ""), *_VISITS], ())
    assert [holdings.holds("odd", each) for each in ("Name", "other")] == ["name", "age"]
    assert [holdings.holds("visits", each) for each in ("age", "id", "name", "other")] == ["age", "", "name", "age"]
    assert Holdings(FIELDS, [Written("view", "odd", "odd", "")], ()).holds("odd", "NAME") == "name"


_VISITS = [Written("table", "visits", "visits", "CREATE TABLE visits(id, age)", (("id", 0, 0, ""), ("age", 0, 0, "")))]


def test_two_threads_may_ask_of_one_view(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that asks while the other has opened it is told the same: a view that is not its own is not a circular one."""
    connection.set_authorizer(None)
    holdings = Schemas().of(connection, FIELDS)
    sql, met = "SELECT ward FROM short", list[str]()

    def meanwhile(statement: str) -> Nodes:
        if statement != sql and not met:
            met.append(statement)
            met.append(holdings.made(sql).holds)  # as another thread would
        return words_of(statement)

    # The real function, with the other look at one certain moment: two threads would meet there once in many runs.
    monkeypatch.setattr("orchestrator.plugins.tools.sqlholds.words_of", meanwhile)
    assert holdings.made(sql).holds == ""
    assert met[1:] in ([], [""])
