"""A column of a result that is renamed or made of others is known by what stands in it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools import origins
from orchestrator.plugins.tools.database import open_database
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
    """By the values, whatever the statement makes of them; a column under its own name is that column."""
    assert await origins_of(place, sql) == told


async def test_nothing_is_looked_at_where_nothing_need_stay(place: ToolPlace) -> None:
    """No field is named, or none that the statement reads."""
    assert await origins_of(place, "SELECT patient AS p FROM visits", ()) == {}
    assert await origins_of(place, "SELECT patient AS p FROM visits", ("diagnosis",)) == {}


@pytest.mark.parametrize("bound", ["MOST_WORK", "MOST_VALUES"])
async def test_what_is_too_large_to_look_through_counts_as_named(
    place: ToolPlace, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails closed: texts of every other name."""
    monkeypatch.setattr(origins, bound, 1)
    sql = "SELECT patient AS p, ward AS w, count(*) AS n FROM visits GROUP BY 1, 2"
    told = await origins_of(place, sql, ("patient",))
    assert told == {"p": "patient", "w": "patient"}


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
