"""The named fields of what a tool gives reach no model in the cloud, whatever the tool makes of them for a model to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing.script import Rule, Script
from tests.policy.shop import alone, shop

__all__ = ["alone"]

pytestmark = pytest.mark.anyio

_ROWS = 'id,patient,age\n1,"Rossi, CANCOMMA",41\n2,Bob; CANSEMI,7\n3,Al [CANBR],7\n'


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        (
            {"sql": "select id, patient, age from visits"},
            "id | patient | age\\n1 | [PATIENT_1] | [AGE_1]\\n2 | [PATIENT_2]",
        ),
        ({"sql": "select patient from visits"}, "patient\\n[PATIENT_1]\\n[PATIENT_2]\\n[PATIENT_3]"),
        ({"sql": "select patient as p, id from visits"}, "p | id\\n[PATIENT_1] | 1\\n[PATIENT_2] | 2"),
        ({"sql": "select upper(patient) as who, count(*) as n from visits where id = 2"}, "who | n\\n[PATIENT_1] | 1"),
        ({"sql": "select group_concat(patient) from visits"}, "group_concat(patient)\\n[PATIENT_1]"),
        (
            {"sql": "with t as (select patient p from visits) select 'is ' || p as q from t where p like 'Bob%'"},
            "q\\n[PA",
        ),
        ({"sql": "select max(patient) as m from visits where id = 3", "one": True}, "m: [PATIENT_1]"),
        ({"sql": "select * from visits where id = 2"}, "id | patient | age\\n2 | [PATIENT_1] | [AGE_1]"),
        ({"sql": "select * from visits where id = 3", "one": True}, "id: 3\\npatient: [PATIENT_1]\\nage: [AGE_1]"),
    ],
)
async def test_rows_leave_with_placeholders_in_their_places(query: dict[str, Any], seen: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "visits.csv").write_text(_ROWS)
    tools = [{"name": "db", "use": "database", "path": "d", "queries": {"rows": query}}]
    desk = {"name": "desk", "model": "far", "instructions": "Answer.", "tools": ["db"]}
    script = Script([Rule("rows", say="it says: {result}", calls=(("db_rows", {}),))])
    security = {"redaction": {"fields": ["patient", "age"]}}
    async with shop(tmp_path, desk, script=script, tools=tools, security=security) as it:
        result = await it.run("rows please")
    assert not [value for value in ("CANCOMMA", "CANSEMI", "CANBR", "Rossi", "Bob") if it.far.got(value)]
    assert any(seen in each for each in it.far.came), it.far.asked[-1]
    assert "CAN" in result.text and "[PATIENT" not in result.text


_TAKEN = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//t//t//EN
BEGIN:VEVENT
UID:a@t
DTSTART:20300305T090000Z
DTEND:20300305T100000Z
SUMMARY:Lia
LOCATION:Room CANROOM
END:VEVENT
END:VCALENDAR
"""
_REFUSES = """
from orchestrator.core.errors import ToolFailed

def find(patient: str) -> str:
    raise ValueError(f"nobody is called {patient}")

def call(patient: str) -> str:
    return "called"

def row(number: int) -> str:
    raise ToolFailed("row 1 is of Lia", cure="ask for another one", value={"patient": "Lia"})
"""


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        (
            ("dates_add", {"title": "call", "start": "2030-03-05 09:30"}),
            "error: that time is taken: 2030-03-05 09:00 - 10:00 [TITLE_2] ([LOCATION_1]) [id",
        ),
        (("people_find", {"patient": "Lia"}), "error: nobody is called [PATIENT_1]"),
        (("people_row", {"number": 1}), "error: row 1 is of [PATIENT_1]"),
        (
            ("people_call", {"patient": {"name": "Lia"}}),
            'error: people.call: \\"patient\\" must be a text, not {\\"[PATIENT_1]\\": \\"[PATIENT_2]\\"}',
        ),
        (("people_call", {"patient": ["Lia " * 20]}), 'must be a text, not [\\"[PATIENT_2]...'),
    ],
)
async def test_what_a_tool_says_of_its_failing_is_hidden_as_what_it_gives(
    call: tuple[str, dict[str, Any]], seen: str, tmp_path: Path
) -> None:
    """However short a value is: it is known what it is of. What the function was asked counts too, as a text of its own says."""
    (tmp_path / "dates.ics").write_text(_TAKEN.replace("\n", "\r\n"))
    (tmp_path / "people.py").write_text(_REFUSES)
    tools: list[dict[str, Any]] = [
        {"name": "dates", "use": "calendar", "path": "dates.ics", "timezone": "UTC"},
        {"name": "people", "python": "people:find", "functions": ["find", "row", "call"]},
    ]
    desk = {"name": "desk", "model": "far", "instructions": "Answer.", "tools": ["dates", "people"]}
    script = Script([Rule("try", say="it says: {result}", calls=(call,))])
    security = {"redaction": {"fields": ["patient", "title", "location"]}}
    async with shop(tmp_path, desk, script=script, tools=tools, security=security) as it:
        result = await it.run("try it")
    assert "CANROOM" not in str(it.far.came) and not [each for each in it.far.asked[1:] if "Lia" in each]
    assert any(seen in each for each in it.far.asked[1:]), it.far.asked[-1]
    assert "error" in result.text


async def test_why_a_tool_failed_is_hidden_where_another_agent_takes_over(tmp_path: Path) -> None:
    """The reason goes into the prompt of the next one."""
    (tmp_path / "dates.ics").write_text(_TAKEN.replace("\n", "\r\n"))
    tools = [{"name": "dates", "use": "calendar", "path": "dates.ics", "timezone": "UTC"}]
    rule = {"when": {}, "call": "dates.add", "arguments": {"title": "call", "start": "2030-03-05 09:30"}, "say": "done"}
    desk = {"name": "desk", "reflex": [rule], "tools": ["dates"], "escalate_to": "up", "escalate_when": ["tool_failed"]}
    up = {"name": "up", "role": "escalation", "model": "far", "instructions": "Help."}
    security = {"redaction": {"fields": ["title", "location"]}}
    async with shop(tmp_path, desk, up, script=Script(default="well"), tools=tools, security=security) as it:
        result = await it.run("book it")
    assert result.text == "well" and "that time is taken" in it.far.asked[-1]
    assert "CANROOM" not in str(it.far.came)
