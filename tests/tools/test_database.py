"""The database tool: what a query may do, what it may not, and tables from CSV files."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools import csvtables
from orchestrator.plugins.tools.database import open_database
from orchestrator.ports.tool import Tool, ToolPlace
from tests.tools.calling import call, closing, function, outcome

pytestmark = pytest.mark.anyio

PRODUCTS = (
    "sku,name,price_cents,weight,postcode\nPT-1,drill,12990,1.5,01234\nPT-2,saw,500,2,20100\nPT-3,tape,0,,00100\n"
)


@pytest.fixture
def shop(place: ToolPlace, monkeypatch: pytest.MonkeyPatch) -> ToolPlace:
    monkeypatch.setattr(csvtables, "_LOOK_EVERY", 0.0)
    folder = place.folder / "data"
    folder.mkdir()
    (folder / "products.csv").write_text(PRODUCTS)
    (folder / "quotes.csv").write_text("number,sku\n")
    (folder / "README.md").write_text("# about\n")
    return place


def open_shop(place: ToolPlace, **options: Any) -> Tool:
    return open_database("stock", {"path": "data", **options}, place)


BY_SKU = {
    "sql": "SELECT name, price_cents FROM products WHERE sku = :sku",
    "parameters": {"sku": "string"},
    "one": True,
}


async def test_a_named_query_takes_parameters_and_gives_rows(shop: ToolPlace) -> None:
    cheap = {"sql": "SELECT sku FROM products WHERE price_cents < :most", "parameters": {"most": "integer"}}
    async with closing(open_shop(shop, queries={"by_sku": BY_SKU, "cheap": cheap})) as tool:
        found = await outcome(tool, "by_sku", sku="PT-1")
        assert found.value == {"name": "drill", "price_cents": 12990}
        assert found.text == "name: drill\nprice_cents: 12990"
        assert (await outcome(tool, "cheap", most="1000")).text == "sku\nPT-2\nPT-3"
        nothing = await outcome(tool, "by_sku", sku="' OR 1=1 --")
        assert (nothing.value, nothing.text) == (None, "nothing found")
        assert function(tool, "by_sku").effect == "read"
        with pytest.raises(ToolFailed, match='"sku" is missing'):
            await call(tool, "by_sku")


async def test_columns_are_numbers_only_where_every_cell_is_and_empty_cells_are_null(shop: ToolPlace) -> None:
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        rows = await call(tool, "query", sql="SELECT * FROM products ORDER BY sku DESC LIMIT 2")
        tables = await call(tool, "tables")
    assert rows == [
        {"sku": "PT-3", "name": "tape", "price_cents": 0, "weight": None, "postcode": "00100"},
        {"sku": "PT-2", "name": "saw", "price_cents": 500, "weight": 2.0, "postcode": "20100"},
    ]
    assert tables == [
        {"table": "products", "columns": "sku, name, price_cents, weight, postcode"},
        {"table": "quotes", "columns": "number, sku"},
    ]


async def test_a_single_file_and_semicolons_and_a_byte_order_mark_are_read(place: ToolPlace) -> None:
    (place.folder / "orte.csv").write_bytes('\ufeffort;größe\n"Köln; Süd";1\n'.encode())
    async with closing(open_database("orte", {"path": "orte.csv", "allow_sql": True}, place)) as tool:
        assert await call(tool, "query", sql="SELECT * FROM orte") == [{"ort": "Köln; Süd", "größe": 1}]


async def test_a_changed_a_new_and_a_removed_file_are_seen(shop: ToolPlace) -> None:
    folder = shop.folder / "data"
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        (folder / "products.csv").write_text(PRODUCTS.replace("12990", "11990"))
        (folder / "extra.csv").write_text("a\n1\n")
        (folder / "quotes.csv").unlink()
        assert await call(tool, "query", sql="SELECT price_cents p FROM products WHERE sku = 'PT-1'") == [{"p": 11990}]
        assert [row["table"] for row in await call(tool, "tables")] == ["extra", "products"]


async def test_a_file_that_becomes_wrong_is_an_error_and_not_old_rows(shop: ToolPlace) -> None:
    file = shop.folder / "data" / "products.csv"
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        file.write_text(PRODUCTS + "PT-4,nail\n")
        for _ in range(2):
            with pytest.raises(ToolFailed, match=r"products\.csv line 5: 2 fields, the header has 5"):
                await call(tool, "query", sql="SELECT * FROM products")
        file.write_text(PRODUCTS)
        assert len(await call(tool, "query", sql="SELECT * FROM products")) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,a\n1,2\n", "each column needs a name"),
        (b"", "each column needs a name"),
        (b"a,\n", "each column needs a name"),
        (b'a\n"open\n', "line 2"),
        (b"a\n\xff\n", r"not UTF-8 \(byte 2\)"),
    ],
)
async def test_a_wrong_csv_file_stops_the_opening(place: ToolPlace, content: bytes, message: str) -> None:
    (place.folder / "x.csv").write_bytes(content)
    with pytest.raises(DeployError, match=message):
        open_database("x", {"path": "x.csv"}, place)


async def test_a_link_that_leaves_the_folder_is_refused(shop: ToolPlace, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("secret\n1\n")
    (shop.folder / "data" / "link.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(DeployError, match=r"link\.csv is a link that leaves its folder"):
        open_shop(shop)


# ---- writing ---------------------------------------------------------------------------------------------------------

ADD = {
    "sql": "INSERT INTO quotes VALUES ('Q-' || (SELECT count(*) + 1 FROM quotes), :sku) RETURNING number",
    "parameters": {"sku": "string"},
    "one": True,
}


async def test_what_a_write_query_stores_stays_while_other_tables_follow_their_files(shop: ToolPlace) -> None:
    options: dict[str, Any] = {"writable": True, "allow_sql": True, "queries": {"add": ADD}}
    async with closing(open_shop(shop, **options)) as tool:
        assert function(tool, "add").effect == "write"
        assert await call(tool, "add", sku="PT-1") == {"number": "Q-1"}
    (shop.folder / "data" / "products.csv").write_text(PRODUCTS.replace("500", "501"))
    (shop.folder / "data" / "quotes.csv").write_text("number,sku\nQ-9,none\n")
    async with closing(open_shop(shop, **options)) as tool:
        assert await call(tool, "add", sku="PT-2") == {"number": "Q-2"}
        assert [row["number"] for row in await call(tool, "query", sql="SELECT * FROM quotes")] == ["Q-1", "Q-2"]
        assert await call(tool, "query", sql="SELECT count(*) n FROM products WHERE price_cents = 501") == [{"n": 1}]


async def test_a_change_tells_how_many_rows(shop: ToolPlace) -> None:
    raise_all = {"sql": "UPDATE products SET price_cents = price_cents + 1 WHERE price_cents > 0"}
    async with closing(open_shop(shop, writable=True, queries={"raise": raise_all})) as tool:
        assert (await outcome(tool, "raise")).text == "2 rows changed"


async def test_a_query_that_writes_needs_writable(shop: ToolPlace) -> None:
    with pytest.raises(DeployError, match="add would write") as caught:
        open_shop(shop, queries={"add": ADD})
    assert "writable: true" in caught.value.cure


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sql": "SELEC 1"}, "syntax error"),
        ({"sql": "SELECT * FROM nowhere"}, "no such table: nowhere"),
        ({"sql": "SELECT 1; SELECT 2"}, "one statement"),
        ({"sql": "SELECT ?"}, "no name"),
        ({"sql": "SELECT :a"}, "do not name the same: a"),
        ({"sql": "SELECT 1", "parameters": {"b": "string"}}, "do not name the same: b"),
        ({"sql": "SELECT :a", "parameters": {"a": "date"}}, "a.type"),
        ({"sql": "DROP TABLE products"}, "only read or change rows"),
        ({"sql": "ATTACH 'x' AS y"}, "only read or change rows"),
        ({"sql": "PRAGMA journal_mode=DELETE"}, "only read or change rows"),
        ({"sql": "COMMIT"}, "only read or change rows"),
        ({"sql": "DELETE FROM _csv"}, "only read or change rows"),
        ({"sql": "SELECT load_extension('x')"}, "not authorized|only read|no such function"),
    ],
)
async def test_a_query_that_cannot_or_may_not_run_stops_the_opening(
    shop: ToolPlace, query: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeployError, match=message):
        open_shop(shop, writable=True, queries={"q": query})


# ---- hostile SQL -----------------------------------------------------------------------------------------------------

HOSTILE = [
    "DELETE FROM products",
    "UPDATE products SET name = 'x'",
    "INSERT INTO products (sku) VALUES ('x')",
    "DROP TABLE products",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "ATTACH DATABASE '{outside}' AS o",
    "VACUUM INTO '{outside}'",
    "PRAGMA writable_schema = 1",
    "PRAGMA query_only = 0",
    "PRAGMA journal_mode = DELETE",
    "SELECT load_extension('evil.so')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT 1; DROP TABLE products",
    "BEGIN",
    "WITH x AS (SELECT 1) DELETE FROM products",
    "REPLACE INTO products (sku) VALUES ('x')",
    "REINDEX",
    "ANALYZE",
    "SELECT randomblob(1000000000)",
    "SELECT * FROM pragma_journal_mode('delete')",
    "EXPLAIN DELETE FROM products",
]


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("sql", HOSTILE)
async def test_what_a_model_writes_can_only_read(shop: ToolPlace, tmp_path: Path, sql: str, writable: bool) -> None:
    outside = tmp_path / "outside.db"
    async with closing(open_shop(shop, allow_sql=True, writable=writable)) as tool:
        before = await call(tool, "query", sql="SELECT * FROM products")
        with pytest.raises(ToolFailed):
            await call(tool, "query", sql=sql.replace("{outside}", str(outside)))
        assert await call(tool, "query", sql="SELECT * FROM products") == before
    assert not outside.exists()


async def test_a_statement_without_end_is_ended_and_the_next_one_runs(
    shop: ToolPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.plugins.tools.sqlite._LONGEST", 0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        with pytest.raises(ToolFailed, match=r"needed more than 0\.05 s"):
            await call(tool, "query", sql=endless)
        assert await call(tool, "query", sql="SELECT 1 AS one") == [{"one": 1}]


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


async def test_a_read_that_is_cut_off_ends_at_once_and_the_next_one_runs(shop: ToolPlace) -> None:
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        began = time.monotonic()
        with anyio.move_on_after(0.05) as scope:
            await call(tool, "query", sql=ENDLESS)
        assert scope.cancelled_caught
        assert await call(tool, "query", sql="SELECT 1 AS one") == [{"one": 1}]
        assert time.monotonic() - began < 2


async def test_a_change_that_is_cut_off_is_undone_and_a_later_one_is_made(shop: ToolPlace) -> None:
    numbers = ENDLESS.removesuffix("SELECT max(i) FROM n") + "INSERT INTO quotes SELECT i, 'x' FROM n"  # noqa: S608 - a test's own
    one = {"sql": "INSERT INTO quotes VALUES (1, 'y')"}
    async with closing(
        open_shop(shop, allow_sql=True, writable=True, queries={"many": {"sql": numbers}, "one": one})
    ) as tool:
        with anyio.move_on_after(0.05) as scope:
            await call(tool, "many")
        assert scope.cancelled_caught
        assert await call(tool, "one") == {"changed": 1}
        assert await call(tool, "query", sql="SELECT sku FROM quotes") == [{"sku": "y"}]


async def test_a_file_that_another_program_locks_holds_up_only_its_own_tool(place: ToolPlace) -> None:
    path = place.folder / "crm.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE client (name TEXT)")
    async with closing(open_database("crm", {"path": "crm.db", "allow_sql": True}, place)) as tool:
        other.execute("BEGIN EXCLUSIVE")
        waiting = 60  # more than the threads that anyio lends to all
        ended: list[str] = []

        async def ask() -> None:
            try:
                with anyio.fail_after(0.1):
                    await call(tool, "query", sql="SELECT * FROM client")
            except (TimeoutError, ToolFailed) as error:
                ended.append(str(error))

        async with anyio.create_task_group() as tasks:
            for _ in range(waiting):
                tasks.start_soon(ask)
            await anyio.to_thread.run_sync(lambda: None)
            assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        assert len(ended) == waiting
        assert any("crm had no thread for the call" in each for each in ended), "all but one waited"
        other.execute("COMMIT")
        assert await call(tool, "query", sql="SELECT * FROM client") == []
    other.close()


async def test_closing_ends_what_runs(shop: ToolPlace) -> None:
    async with anyio.create_task_group() as tasks:
        tool = open_shop(shop, allow_sql=True)

        async def ask() -> None:
            with pytest.raises(ToolFailed, match="was closed"):
                await call(tool, "query", sql=ENDLESS)

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(2):
            await tool.aclose()


async def test_an_answer_of_many_megabytes_is_an_error(shop: ToolPlace) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT hex(zeroblob(500000)) FROM n"
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        assert len(await call(tool, "query", sql=rows.format(4))) == 4
        with pytest.raises(ToolFailed, match="larger than 4 MB"):
            await call(tool, "query", sql=rows.format(100))


async def test_too_many_rows_are_an_error_that_says_what_to_do(shop: ToolPlace) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        assert len(await call(tool, "query", sql=rows.format(200))) == 200
        with pytest.raises(ToolFailed, match=r"more than 200 rows.*LIMIT"):
            await call(tool, "query", sql=rows.format(201))


async def test_values_that_sqlite_cannot_hold_are_refused(shop: ToolPlace) -> None:
    async with closing(open_shop(shop, allow_sql=True)) as tool:
        for value in (10**30, "\ud800"):
            with pytest.raises(ToolFailed, match="cannot be stored"):
                await call(tool, "query", sql="SELECT :a", parameters={"a": value})
        with pytest.raises(ToolFailed):
            await call(tool, "query", sql="SELECT :a", parameters={})


# ---- SQLite files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(place: ToolPlace) -> ToolPlace:
    connection = sqlite3.connect(place.folder / "odd ?#% name.db")
    connection.execute("CREATE TABLE person (name TEXT)")
    connection.execute("INSERT INTO person VALUES ('Marta')")
    connection.commit()
    connection.close()
    return place


async def test_a_given_sqlite_file_is_read_in_place_and_not_written(foreign: ToolPlace) -> None:
    path = foreign.folder / "odd ?#% name.db"
    before = path.read_bytes()
    async with closing(open_database("crm", {"path": path.name, "allow_sql": True}, foreign)) as tool:
        assert await call(tool, "query", sql="SELECT * FROM person") == [{"name": "Marta"}]
    assert path.read_bytes() == before
    assert list(foreign.folder.iterdir()) == [path]


async def test_a_given_sqlite_file_is_written_where_that_is_allowed(foreign: ToolPlace) -> None:
    add = {"sql": "INSERT INTO person VALUES (:name)", "parameters": {"name": "string"}}
    options = {"path": "odd ?#% name.db", "writable": True, "queries": {"add": add}, "allow_sql": True}
    async with closing(open_database("crm", options, foreign)) as tool:
        assert await call(tool, "add", name="Jonas") == {"changed": 1}
        assert len(await call(tool, "query", sql="SELECT * FROM person")) == 2


async def test_a_missing_file_and_a_file_of_another_kind_stop_the_opening(place: ToolPlace) -> None:
    with pytest.raises(DeployError, match=r"there is no .*nowhere\.db"):
        open_database("crm", {"path": "nowhere.db"}, place)
    (place.folder / "text.db").write_text("no database" * 100)
    with pytest.raises(DeployError, match="not a database"):
        open_database("crm", {"path": "text.db"}, place)
    (place.folder / "empty").mkdir()
    with pytest.raises(DeployError, match=r"holds no \.csv file"):
        open_database("crm", {"path": "empty"}, place)


async def test_without_a_path_it_has_an_empty_store_of_its_own(place: ToolPlace) -> None:
    async with closing(open_database("database", {}, place)) as tool:
        assert await call(tool, "tables") == []
    assert (place.state / "database.db").exists()


async def test_a_database_of_the_runtime_is_no_tools(place: ToolPlace, tmp_path: Path) -> None:
    """It holds what was said in every run. It is known by its tables: also as a copy under another name, and by a link."""
    from orchestrator.plugins.stores.marks import MARKS_NAME, SqliteMarks
    from orchestrator.plugins.stores.sqlite import open_stores
    from orchestrator.ports.marks import Mark

    open_stores(tmp_path / "state.db", recover=True).close()
    SqliteMarks(tmp_path / MARKS_NAME, "runtime").add((Mark("file", "/x"),))
    for name in ("state.db", MARKS_NAME):
        (place.folder / f"{name}-copy").write_bytes((tmp_path / name).read_bytes())
        (place.folder / f"{name}-link").symlink_to(tmp_path / name)
        for path in (str(tmp_path / name), f"{name}-copy", f"{name}-link"):
            with pytest.raises(DeployError, match="is a database of the orchestrator itself"):
                open_database("stock", {"path": path, "writable": True, "allow_sql": True}, place)
    own = sqlite3.connect(place.folder / "own.db")
    own.execute("CREATE TABLE revision (deployment, number, note)")
    own.close()
    async with closing(open_database("stock", {"path": "own.db"}, place)) as tool:
        assert "revision" in (await outcome(tool, "tables")).text
