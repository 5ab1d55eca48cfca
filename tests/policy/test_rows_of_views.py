"""A canary in a named column of a real file reaches no model in the cloud, through whatever view, statement or fault it comes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from orchestrator.testing.script import Rule, Script
from tests.policy.shop import alone, shop

__all__ = ["alone"]

pytestmark = pytest.mark.anyio

CANARY = "Canary Quokka"
_SCHEMA = f"""CREATE TABLE patients(id INTEGER PRIMARY KEY, patient_name TEXT, ward TEXT);
CREATE TABLE log(at TEXT, detail TEXT);
CREATE TRIGGER noted AFTER INSERT ON patients BEGIN INSERT INTO log VALUES ('now', 'new: ' || new.patient_name); END;
CREATE VIEW v AS SELECT patient_name AS pn, ward FROM patients;
CREATE VIEW w(a, b) AS SELECT substr(pn, 1, 9), ward FROM v;
INSERT INTO patients(patient_name, ward) VALUES ('{CANARY}', 'north'), ('Bo', 'south');
"""  # noqa: S608 - a schema of the test's own
_LETTERS = "WITH RECURSIVE c(i) AS (SELECT 32 UNION ALL SELECT i + 1 FROM c WHERE i < 126) "


@pytest.mark.parametrize(
    ("sql", "stays"),
    [
        ("SELECT pn FROM v", ""),
        ("SELECT pn, ward FROM v WHERE ward = 'north'", "| north"),
        ("SELECT a AS ward, b FROM w", "| north"),
        ("WITH x AS (SELECT hex(pn) AS h, ward FROM v) SELECT ward AS said, h FROM x", "north |"),
        ("SELECT lower(replace(pn, ' ', '')) AS nick, ward AS w FROM v", "| north"),
        ("SELECT json_object('who', pn) AS j FROM v", ""),
        ("SELECT detail, at FROM log", "| now"),
        ("SELECT ward AS x FROM patients UNION SELECT pn FROM v", ""),
        ("LETTERS SELECT char(i) AS letter FROM c JOIN v ON instr(pn, char(i)) = 1", "letter\\n[PATIENT_NAME_1]"),
        ("SELECT json_extract('{}', pn) AS e FROM v", "what SQLite says of it"),
        ("SELECT ward AS w, count(*) AS n FROM v WHERE pn = 'Bo' GROUP BY ward", "south | 1"),
    ],
)
async def test_no_canary_leaves_and_the_rest_does(sql: str, stays: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "clinic.db")
    connection.executescript(_SCHEMA)
    connection.close()
    tools = [{"name": "db", "use": "database", "path": "clinic.db", "allow_sql": True}]
    desk = {"name": "desk", "model": "far", "instructions": "Answer.", "tools": ["db"]}
    script = Script(
        [Rule("rows", say="it says: {result}", calls=(("db_query", {"sql": sql.replace("LETTERS ", _LETTERS)}),))]
    )
    security = {"redaction": {"fields": ["Patient_Name"]}}
    async with shop(tmp_path, desk, script=script, tools=tools, security=security) as it:
        await it.run("rows please")
    told = "\n".join(it.far.came).casefold()
    for part in ("canary", "quokka", CANARY[:6].encode().hex()):
        assert part not in told, part
    assert any(stays in each for each in it.far.came), it.far.came[-1]
