"""A column of a result that is renamed or made of others is known by what it is made of."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from typing import Any

import pytest

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools import sqlmade
from orchestrator.plugins.tools.database import open_database
from orchestrator.plugins.tools.origins import Asked
from orchestrator.plugins.tools.sqlholds import Schemas
from orchestrator.plugins.tools.sqlwords import CannotTell
from orchestrator.ports.tool import ToolContext, ToolPlace
from tests.tools.calling import closing, function

pytestmark = pytest.mark.anyio

VISITS = "id,patient,age,tax_code,ward\n1,Lia,41,CAN12345,north\n2,Anna Rossi,7,CAN99999,south\n3,Bo,1,77001122,north\n"
FIELDS = ("Patient", "age", "tax_code")


@pytest.fixture
def place(place: ToolPlace) -> ToolPlace:
    folder = place.folder / "data"
    folder.mkdir()
    (folder / "visits.csv").write_text(VISITS)
    return place


async def origins_of(place: ToolPlace, sql: str, fields: tuple[str, ...] = FIELDS, **options: Any) -> dict[str, str]:
    options = {"path": "data", "writable": True, "queries": {"ask": {"sql": sql}}, **options}
    async with closing(open_database("db", options, place)) as tool:
        outcome = await function(tool, "ask").run({}, ToolContext(fields=fields))
    return dict(outcome.origins)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT id, patient, age FROM visits", {}),
        ("SELECT patient AS p, tax_code AS t FROM visits", {"p": "Patient", "t": "tax_code"}),
        ("SELECT upper(patient) AS p FROM visits WHERE id = 1", {"p": "Patient"}),
        ("SELECT group_concat(patient, '; ') AS all_of_them FROM visits", {"all_of_them": "Patient"}),
        ("SELECT 'it is ' || patient AS said, ward FROM visits WHERE id = 2", {"said": "Patient"}),
        ("SELECT p, n FROM (SELECT patient AS p, count(*) AS n FROM visits GROUP BY 1)", {"p": "Patient"}),
        ("SELECT count(*) AS n FROM visits WHERE age > 5", {}),
        ("SELECT ward AS w FROM visits WHERE patient = 'Lia'", {}),
        ("SELECT tax_code + 0 AS number FROM visits WHERE id = 3", {"number": "tax_code"}),
        ("SELECT ward AS w FROM visits", {}),
        ("SELECT v.patient AS a, w.ward AS b FROM visits v JOIN visits w USING (ward)", {"a": "Patient"}),
        ("SELECT patient AS p FROM visits WHERE id = 99", {}),
        ("UPDATE visits SET ward = 'east' WHERE id = 2 RETURNING patient AS p, ward AS w", {"p": "Patient"}),
    ],
)
async def test_a_column_under_another_name_is_known(place: ToolPlace, sql: str, told: dict[str, str]) -> None:
    """Whatever the statement makes of it; a column under its own name is that column."""
    assert await origins_of(place, sql) == told


async def test_nothing_is_looked_at_where_nothing_need_stay(place: ToolPlace) -> None:
    """No field is named, or none that the statement reads."""
    assert await origins_of(place, "SELECT patient AS p FROM visits", ()) == {}
    assert await origins_of(place, "SELECT patient AS p FROM visits", ("diagnosis",)) == {}


SHOP = """CREATE TABLE patients(id INTEGER PRIMARY KEY, patient_name TEXT, ward TEXT,
    loud TEXT GENERATED ALWAYS AS (upper(patient_name)) VIRTUAL, sign TEXT AS (ward || '!') STORED);
CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT);
CREATE TABLE log(at TEXT, detail TEXT, ward TEXT);
CREATE TABLE copies(whole TEXT);
CREATE TRIGGER noted AFTER INSERT ON patients BEGIN
    INSERT INTO log(at, detail, ward) VALUES ('now', 'new: ' || new.patient_name, new.ward);
    INSERT INTO copies SELECT detail FROM log; END;
CREATE VIEW short AS SELECT patient_name AS pn, ward FROM patients;
CREATE VIEW loud_ones(said, place) AS SELECT upper(pn), ward FROM short;
CREATE VIRTUAL TABLE found USING fts5(what, place);
CREATE TRIGGER indexed AFTER INSERT ON patients BEGIN
    INSERT INTO found(rowid, what, place) VALUES (new.id, new.patient_name, new.ward); END;
CREATE VIEW numbered AS SELECT id AS n, patient_name AS pn, ward FROM patients;
CREATE VIRTUAL TABLE over USING fts5(pn, ward, content='numbered', content_rowid='n');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(found, row);
INSERT INTO patients(patient_name, ward) VALUES ('Canary Rossi', 'north'), ('Bo', 'south');
INSERT INTO over(over) VALUES ('rebuild');
INSERT INTO words(word) VALUES ('Canary Rossi'), ('tea');"""
NAMED = ("Patient_Name",)
_COUNTED = "WITH RECURSIVE c(i) AS (SELECT 32 UNION ALL SELECT i + 1 FROM c WHERE i < 126) "


def hidden(sql: str, fields: tuple[str, ...] = NAMED, *, fills: tuple[str, ...] = ()) -> str:
    """The columns of the result that are hidden under names of their own, on a connection that may read all."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = lambda cursor, row: {
        each[0]: value for each, value in zip(cursor.description, row, strict=True)
    }
    connection.executescript(SHOP)
    schemas = Schemas()
    schemas.filled_by(fills)
    cursor = connection.execute(sql, {"n": "Bo"})
    names, rows = [each[0] for each in cursor.description], cursor.fetchall()
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # full-text search reads tables of its own, which the tool does not allow
        patch.setattr("orchestrator.plugins.tools.sqlguard._may_write", lambda *_: sqlite3.SQLITE_OK)
        told = Asked(sql, fields, writes=True, schemas=schemas).origins(connection, rows, names)
    connection.close()
    return " ".join(sorted(told))


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT pn FROM short", "pn"),
        ("SELECT pn, ward FROM short", "pn"),
        ("SELECT said AS ward, place FROM loud_ones", "ward"),
        ("SELECT * FROM loud_ones", "said"),
        ("SELECT ward AS patient, patient_name AS ward FROM patients", "ward"),
        ("SELECT upper(patient_name) x, ward w FROM patients", "x"),
        ("SELECT substr(patient_name, 1, 3) AS s, hex(patient_name) AS h, ward AS w FROM patients", "h s"),
        ("WITH c(q, r) AS (SELECT ward, patient_name FROM patients) SELECT r, q FROM c", "r"),
        ("SELECT ward AS x, id AS i FROM patients UNION SELECT patient_name, 1 FROM patients", "x"),
        ("SELECT json_group_array(json_object('n', patient_name)) AS j, max(ward) AS w FROM patients", "j"),
        ("SELECT CASE patient_name WHEN 'Bo' THEN ward ELSE '' END AS k, ward AS w FROM patients", "k"),
        ("SELECT loud, sign FROM patients", "loud"),
        ("SELECT at, detail, ward FROM log", "detail"),
        ("SELECT whole FROM copies", "whole"),
        ("SELECT what, place FROM found", "what"),
        ("SELECT snippet(found, 0, '', '', '', 5) AS s, place FROM found WHERE found MATCH 'canary'", "s"),
        ("SELECT c0 FROM found_content", "c0"),
        ("SELECT block FROM found_data", "block"),
        ("SELECT term FROM vocabulary", "term"),
        ("SELECT pn, ward FROM over", "pn"),
        ("SELECT value FROM patients, json_each(json_array(patient_name))", "value"),
        ("SELECT (SELECT patient_name FROM patients p WHERE p.id = w.id) AS s, w.id AS o FROM words w", "s"),
        ('SELECT "upper(patient_name)" AS z FROM (SELECT upper(patient_name), ward FROM patients)', "z"),
        ('SELECT "a:1" AS z, b FROM (SELECT ward AS a, patient_name AS a, ward AS b FROM patients)', "z"),
        ("SELECT 'patients'.'patient_name' AS z, [ward] AS w FROM `patients`", "z"),
        ("SELECT /* ward */ patient_name -- AS ward\n AS z FROM patients", "z"),
        ("SELECT max(patient_name) OVER w AS z, count(*) OVER w AS n FROM patients WINDOW w AS (ORDER BY loud)", "n z"),
        ("VALUES ((SELECT patient_name FROM patients), 1)", "column1"),
        ("UPDATE patients SET ward = patient_name RETURNING ward AS w, id AS i", "w"),
        ("INSERT INTO words(word) SELECT patient_name FROM patients RETURNING word AS w, id AS i", "w"),
    ],
)
def test_whatever_it_goes_through_it_is_hidden_and_the_rest_is_not(sql: str, told: str) -> None:
    """Views of views, expressions, generated columns, triggers, full-text search: by what the statement and the schema say."""
    assert hidden(sql) == told


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT w.word AS x, p.ward AS y FROM words w JOIN patients p ON p.patient_name = w.word", "x"),
        ("SELECT w.word AS x FROM words w WHERE w.word IN (SELECT patient_name FROM patients)", "x"),
        ("SELECT w.word AS x FROM words w WHERE EXISTS (SELECT 1 FROM patients WHERE patient_name IN (w.word))", "x"),
        ("COUNTED SELECT char(i) AS x FROM c, patients WHERE char(i) = substr(patient_name, 1, 1)", "x"),
        ("COUNTED SELECT count(*) AS x FROM c JOIN patients ON i <= unicode(patient_name)", "x"),
        ("COUNTED SELECT i AS x FROM c ORDER BY abs(i - (SELECT max(unicode(pn)) FROM short)) LIMIT 1", "x"),
        ("COUNTED SELECT i AS x FROM c LIMIT (SELECT unicode(pn) FROM short)", "x"),
        ("SELECT ward AS w, count(patient_name) AS n FROM patients WHERE patient_name = :n GROUP BY ward", ""),
        ("SELECT word AS w FROM words WHERE id IN (SELECT id FROM patients WHERE patient_name LIKE 'B%')", ""),
        ("SELECT ward AS w FROM patients WHERE id > 0 AND (loud > 'A' OR NOT ward = '') ORDER BY patient_name", ""),
        ("SELECT total AS t FROM (SELECT count(*) AS total, max(patient_name) FROM patients)", ""),
    ],
)
def test_what_a_condition_tells_is_hidden_too(sql: str, told: str) -> None:
    """Rows that are chosen by comparing a named column with others tell its values; a question about one value does not."""
    assert hidden(sql.replace("COUNTED", _COUNTED)) == told


def test_what_the_operators_own_statements_copy_is_hidden_where_it_lies() -> None:
    fill = "UPDATE words SET word = (SELECT patient_name FROM patients) WHERE id = :id"
    assert not hidden("SELECT word AS w, id AS i FROM words")
    assert hidden("SELECT word AS w, id AS i FROM words", fills=(fill,)) == "w"


def test_the_number_of_a_row_may_be_named() -> None:
    assert hidden("SELECT rowid AS r, oid AS o, ward AS w FROM patients", ("id",)) == "o r"
    assert hidden("SELECT n FROM (SELECT rowid AS n FROM patients)", ("id",)) == "n"


def test_what_is_not_understood_is_hidden_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails closed: where a named column is read, and what the columns are made of cannot be told."""
    monkeypatch.setattr(sqlmade, "MOST_SELECTS", 0)
    assert hidden("SELECT patient_name AS p, ward AS w, count(*) AS n FROM patients") == "n p w"
    assert not hidden("SELECT word AS w FROM words")


@pytest.mark.parametrize(
    "sql",
    [
        *("WITH", "WITH a", "WITH a AS", "WITH a AS (SELECT 1)", "WITH a AS (SELECT 1),", "WITH RECURSIVE"),
        *("SELECT (WITH ISNULL)", "INSERT INTO words WITH", "INSERT INTO words WITH a AS (SELECT 1)"),
    ],
)
def test_what_is_cut_off_is_not_understood(sql: str) -> None:
    """Nothing else than that comes of it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SHOP)
    holdings = Schemas().of(connection, NAMED)
    connection.close()
    with pytest.raises(CannotTell):
        holdings.made(sql)


def test_a_column_may_have_the_name_of_a_word_that_begins_a_statement() -> None:
    """What is made of it where that is not understood counts as made of a named one, in generated columns too."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(
        "CREATE TABLE t(patient_name, with TEXT, loud AS (upper(with)), odd AS (upper(with ISNULL)));"
        "INSERT INTO t(patient_name, with) VALUES ('Bo', 'a')"
    )
    sql = "SELECT upper(with) AS w, loud, odd, upper(patient_name) AS p FROM t"
    cursor = connection.execute(sql)
    told = Asked(sql, NAMED, writes=True).origins(connection, [{"w": "A"}], [each[0] for each in cursor.description])
    connection.close()
    assert told == {"odd": "Patient_Name", "p": "Patient_Name"}


@pytest.mark.parametrize(
    ("begins", "inner", "ends"),
    [
        ("SELECT ward FROM patients WHERE ", "id IN (SELECT id FROM patients WHERE ", "patient_name = 'x'"),
        ("SELECT ", "(SELECT max(patient_name) FROM words JOIN patients ON word = patient_name WHERE ", "1"),
        ("SELECT ", "(", "patient_name"),
    ],
)
def test_no_statement_keeps_it_busy(begins: str, inner: str, ends: str) -> None:
    """However deep it goes; what takes too long is not understood, and so is hidden."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SHOP)
    holdings = Schemas().of(connection, NAMED)
    connection.close()
    began = time.process_time()
    with suppress(CannotTell):
        holdings.made(f"{begins}{inner * 60}{ends}{')' * 60} FROM patients")
    assert time.process_time() - began < 2.0


async def test_a_fault_does_not_tell_what_was_read(place: ToolPlace) -> None:
    """SQLite quotes the value that it could not use; a statement that cannot be compiled has met none."""
    options = {"path": "data", "allow_sql": True}
    async with closing(open_database("db", options, place)) as tool:
        ask = function(tool, "query")
        for sql in ("SELECT json_extract('{}', patient) FROM visits", "SELECT patient FROM visits WHERE json(patient)"):
            with pytest.raises(ToolFailed) as told:
                await ask.run({"sql": sql}, ToolContext(fields=FIELDS))
            assert "kept back" in told.value.message
            assert "Lia" not in told.value.message
        with pytest.raises(ToolFailed, match="no such column: patent"):
            await ask.run({"sql": "SELECT patent FROM visits"}, ToolContext(fields=FIELDS))
        with pytest.raises(ToolFailed, match="Lia"):
            await ask.run({"sql": "SELECT json_extract('{}', patient) FROM visits"}, ToolContext())


async def test_a_fault_of_a_text_that_is_no_utf_8_does_not_tell_it(place: ToolPlace) -> None:
    """Python quotes it, and has no code for that."""
    with sqlite3.connect(place.folder / "visits.db") as made:
        made.executescript("CREATE TABLE visits(patient); INSERT INTO visits VALUES (CAST(x'4c6961ff' AS TEXT))")
    made.close()
    async with closing(open_database("db", {"path": "visits.db", "allow_sql": True}, place)) as tool:
        with pytest.raises(ToolFailed, match="kept back"):
            await function(tool, "query").run({"sql": "SELECT patient FROM visits"}, ToolContext(fields=FIELDS))
        sql = "SELECT 1 AS ward FROM visits WHERE patient = :n"
        with pytest.raises(ToolFailed, match="binding parameter :n"):
            await function(tool, "query").run({"sql": sql}, ToolContext(fields=FIELDS))


async def test_reading_is_guarded_afterwards_as_before(place: ToolPlace) -> None:
    """A look at a statement leaves the walls where they were."""
    options = {"path": "data", "allow_sql": True}
    async with closing(open_database("db", options, place)) as tool:
        ask = function(tool, "query")
        sql = "SELECT patient AS p FROM visits"
        first = await ask.run({"sql": sql}, ToolContext(fields=FIELDS))
        with pytest.raises(ToolFailed, match="may only be read"):
            await ask.run({"sql": "DELETE FROM visits"}, ToolContext(fields=FIELDS))
        assert (await ask.run({"sql": sql}, ToolContext(fields=FIELDS))) == first
    assert first.origins == {"p": "Patient"}
