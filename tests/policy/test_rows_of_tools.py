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
