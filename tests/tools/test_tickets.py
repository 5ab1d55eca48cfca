"""The tickets tool."""

from __future__ import annotations

import stat
from itertools import count

import anyio
import pytest

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.tickets import open_tickets
from orchestrator.ports.tool import ToolPlace
from tests.tools.calling import call, closing, function, outcome

pytestmark = pytest.mark.anyio


async def test_tickets_are_numbered_kept_and_found_after_a_restart(place: ToolPlace) -> None:
    ticks = count(1_772_697_600)
    async with closing(open_tickets("tickets", {}, place, now=lambda: float(next(ticks)))) as tool:
        first = await outcome(tool, "create", subject="cracked lid", body="order 48201", priority="HIGH")
        await call(tool, "create", subject="second")
        await call(tool, "note", number="t-1001", text="called back")
        await call(tool, "close", number=1002)
    assert first.text == (
        "number: T-1001\nsubject: cracked lid\nbody: order 48201\npriority: high\ncontact: \nstatus: open\n"
        "created: 2026-03-05T08:00:00+00:00"
    )
    async with closing(open_tickets("tickets", {}, place)) as tool:
        shown = await call(tool, "show", number="T-1001")
        assert shown["notes"] == [{"text": "called back", "created": "2026-03-05T08:00:02+00:00"}]
        assert [ticket["number"] for ticket in await call(tool, "list")] == ["T-1001"]
        assert [ticket["number"] for ticket in await call(tool, "list", status="all")] == ["T-1002", "T-1001"]
        assert (await call(tool, "create", subject="third"))["number"] == "T-1003"


async def test_a_repeated_call_opens_no_second_ticket_and_adds_no_second_note(place: ToolPlace) -> None:
    async with closing(open_tickets("tickets", {}, place)) as tool:
        first = await call(tool, "create", call_id="run_1:c1", subject="x")
        assert await call(tool, "create", call_id="run_1:c1", subject="x") == first
        for _ in range(2):
            await call(tool, "note", call_id="run_1:c2", number=first["number"], text="once")
        assert len((await call(tool, "show", number=first["number"]))["notes"]) == 1
        assert len(await call(tool, "list")) == 1


@pytest.mark.parametrize(
    "other",
    [{"subject": "y"}, {"body": "other"}, {"priority": "high"}, {"contact": "me"}],
    ids=lambda each: next(iter(each)),
)
async def test_a_call_that_differs_is_no_repeat_and_never_gets_the_ticket_of_another(
    place: ToolPlace, other: dict[str, str]
) -> None:
    async with closing(open_tickets("tickets", {}, place)) as tool:
        await call(tool, "create", call_id="c1", subject="x")
        with pytest.raises(ToolFailed, match=r"made before with other arguments.*T-1001") as refused:
            await call(tool, "create", call_id="c1", **{"subject": "x", **other})
        assert "call_id" in refused.value.cure
        assert len(await call(tool, "list")) == 1


async def test_a_note_that_differs_is_no_repeat(place: ToolPlace) -> None:
    """Neither another text nor another ticket: it would be said to be done, and is not."""
    async with closing(open_tickets("tickets", {}, place)) as tool:
        await call(tool, "create", subject="x")
        await call(tool, "create", subject="y")
        await call(tool, "note", call_id="c2", number="T-1001", text="once")
        for number, text in (("T-1001", "other"), ("T-1002", "once")):
            with pytest.raises(ToolFailed, match=r"made before with other arguments"):
                await call(tool, "note", call_id="c2", number=number, text=text)
        assert [note["text"] for note in (await call(tool, "show", number="T-1001"))["notes"]] == ["once"]


async def test_tickets_opened_at_once_get_different_numbers(place: ToolPlace) -> None:
    numbers: list[str] = []
    async with closing(open_tickets("tickets", {}, place)) as tool:

        async def create() -> None:
            numbers.append((await call(tool, "create", subject="x"))["number"])

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(create)
    assert sorted(numbers) == [f"T-{number}" for number in range(1001, 1021)]


async def test_a_ticket_that_is_not_there_and_a_subject_of_two_lines_are_refused(place: ToolPlace) -> None:
    async with closing(open_tickets("tickets", {}, place)) as tool:
        for name, more in (("show", {}), ("close", {}), ("note", {"text": "x"})):
            with pytest.raises(ToolFailed, match="there is no ticket T-77"):
                await call(tool, name, number="77", **more)
        with pytest.raises(ToolFailed, match="subject"):
            await call(tool, "create", subject="a\nb")
        with pytest.raises(ToolFailed, match="number"):
            await call(tool, "show", number="1 OR 1=1")


async def test_the_store_is_private_and_a_broken_one_stops_the_opening(place: ToolPlace) -> None:
    await open_tickets("tickets", {}, place).aclose()
    store = place.state / "tickets.db"
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    store.write_bytes(b"noise" * 1000)
    with pytest.raises(DeployError, match=r"tickets\.db"):
        open_tickets("tickets", {}, place)


async def test_unknown_options_are_refused_and_effects_are_told(place: ToolPlace) -> None:
    with pytest.raises(DeployError, match='"colour" is unknown'):
        open_tickets("tickets", {"colour": 1}, place)
    async with closing(open_tickets("desk", {}, place)) as tool:
        assert function(tool, "create").effect == "write"
        assert function(tool, "create").idempotent
        assert function(tool, "show").schema.name == "desk_show"


async def test_a_question_in_words_chooses_by_status_priority_and_words(place: ToolPlace) -> None:
    async with closing(open_tickets("tickets", {}, place)) as tool:
        for subject, priority in (("broken printer", "normal"), ("slow laptop", "normal"), ("server down", "high")):
            await call(tool, "create", subject=subject, priority=priority)
        await call(tool, "close", number=1001)

        async def asked(question: str) -> tuple[int, list[str]]:
            found = await call(tool, "ask", question=question)
            return found["count"], [ticket["number"] for ticket in found["tickets"]]

        assert await asked("hi, show my tickets please") == (2, ["T-1003", "T-1002"])
        assert await asked("show closed tickets") == (1, ["T-1001"])
        assert await asked("which tickets did you close?") == (1, ["T-1001"])
        assert await asked("show all closed tickets") == (1, ["T-1001"])
        assert await asked("how many urgent tickets are open?") == (1, ["T-1003"])
        assert await asked("quali ticket sono chiusi?") == (1, ["T-1001"])
        assert await asked("all tickets about the printers") == (1, ["T-1001"])
        assert await asked("any tickets about the printer?") == (0, [])
        assert await asked("show the last two tickets") == (2, ["T-1003", "T-1002"])
        assert await asked("what is the latest ticket?") == (2, ["T-1003"])
        for question in ("tickets from last week", "which tickets were opened today?", "tickets that are not closed"):
            with pytest.raises(ToolFailed) as caught:
                await asked(question)
            assert caught.value.cure
        with pytest.raises(ToolFailed, match="two priorities"):
            await asked("show high and low priority tickets")
        assert [ticket["number"] for ticket in await call(tool, "list", priority="high")] == ["T-1003"]
