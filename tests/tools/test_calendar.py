"""The calendar tool; the time now is Thursday, 5 March 2026, 14:30 in Rome."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.core.schema_check import check_arguments
from orchestrator.plugins.tools import icsfile
from orchestrator.plugins.tools.calendar import open_calendar
from orchestrator.ports.tool import Tool, ToolContext, ToolPlace
from tests.tools.calling import call, function, outcome

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 5, 14, 30, tzinfo=ZoneInfo("Europe/Rome"))


def open_at(place: ToolPlace, path: str | None = None) -> Tool:
    options = {"timezone": "Europe/Rome", **({"path": path} if path else {})}
    return open_calendar("calendar", options, place, now=NOW.timestamp)


@pytest.fixture
def tool(place: ToolPlace) -> Tool:
    return open_at(place)


@pytest.fixture
def given_file(place: ToolPlace) -> Callable[[str], Tool]:
    def write(events: str) -> Tool:
        text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//y//EN\nX-OWN:kept\n{events.strip()}\nEND:VCALENDAR\n"
        (place.folder / "team.ics").write_bytes(text.replace("\n", "\r\n").encode())
        return open_at(place, "team.ics")

    return write


async def titles(tool: Tool, **span: str) -> list[tuple[str, str]]:
    return [(event["start"], event["title"]) for event in await call(tool, "list", **span)]


async def test_an_event_is_added_listed_found_and_cancelled(tool: Tool, place: ToolPlace) -> None:
    added = await outcome(tool, "add", title="Checkup, Marta", start="tomorrow at 5pm", minutes=45, location="Room; 2")
    (event,) = added.value
    assert (event["start"], event["end"]) == ("2026-03-06T17:00+01:00", "2026-03-06T17:45+01:00")
    assert added.text == f"2026-03-06 17:00 - 17:45 Checkup, Marta (Room; 2) [id {event['id']}]"
    assert await call(tool, "list") == [event]
    assert await call(tool, "find", text="ROOM marta") == [event]
    assert (await outcome(tool, "find", text="nobody")).text == "no events"
    assert stat.S_IMODE((place.state / "calendar.ics").stat().st_mode) == 0o600
    assert (await outcome(tool, "cancel", id=event["id"])).text == "cancelled: Checkup, Marta"
    assert await call(tool, "list") == []
    assert await call(tool, "add", title="again", start="tomorrow at 5pm")


async def test_the_file_is_one_that_other_programs_read(tool: Tool, place: ToolPlace) -> None:
    await call(tool, "add", title="Schön", start="2026-07-01 09:00", notes="line one\nline two")
    calendar = Calendar.from_ical((place.state / "calendar.ics").read_bytes())
    assert isinstance(calendar, Calendar)
    (event,) = calendar.walk("VEVENT")
    assert event.decoded("DTSTART").isoformat() == "2026-07-01T07:00:00+00:00"
    assert (str(event["SUMMARY"]), str(event["DESCRIPTION"])) == ("Schön", "line one\nline two")
    assert calendar["VERSION"] == "2.0"


async def test_a_time_that_is_taken_is_refused_unless_overlap_is_meant(tool: Tool) -> None:
    await call(tool, "add", title="first", start="tomorrow at 10:00", minutes=60)
    with pytest.raises(ToolFailed, match="that time is taken: 2026-03-06 10:00 - 11:00 first"):
        await call(tool, "add", title="second", start="tomorrow at 10:30")
    await call(tool, "add", title="after", start="tomorrow at 11:00")
    await call(tool, "add", title="beside", start="tomorrow at 10:30", overlap=True)
    assert len(await call(tool, "list")) == 3


async def test_a_repeated_call_adds_one_event(tool: Tool) -> None:
    wanted = {"title": "x", "start": "tomorrow at 10:00"}
    first = await call(tool, "add", call_id="run_1:c1", **wanted)
    assert await call(tool, "add", call_id="run_1:c1", **wanted) == first
    assert len(await call(tool, "list")) == 1


@pytest.mark.parametrize(
    "other",
    [{"title": "y"}, {"start": "tomorrow at 12:00"}, {"minutes": 60}, {"location": "here"}, {"notes": "bring it"}],
    ids=lambda each: next(iter(each)),
)
async def test_a_call_that_differs_is_no_repeat(tool: Tool, other: dict[str, Any]) -> None:
    """It would be said to be done, and is not."""
    wanted = {"title": "x", "start": "tomorrow at 10:00"}
    await call(tool, "add", call_id="c1", **wanted)
    with pytest.raises(ToolFailed, match=r"made before with other arguments"):
        await call(tool, "add", call_id="c1", **{**wanted, **other})
    assert len(await call(tool, "list")) == 1


async def test_free_times_are_what_events_leave(tool: Tool) -> None:
    for start, minutes in (("09:00", 30), ("11:00", 60), ("11:30", 60), ("17:50", 10)):
        await call(tool, "add", title="x", start=f"2026-03-09 {start}", minutes=minutes, overlap=True)
    free = await outcome(tool, "free", start="monday", minutes=60)
    assert free.text == "2026-03-09 09:30 - 11:00\n2026-03-09 12:30 - 17:50"
    assert (await outcome(tool, "free", start="2026-03-09 11:00", end="2026-03-09 12:00")).text == "no free time"
    assert len(await call(tool, "free", start="2026-03-10", end="2026-03-11")) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start": "tomorrow"}, "has no time of day"),
        ({"start": "at 5"}, "in the morning or in the afternoon"),
        ({"start": "whenever"}, "is no time that I understand"),
        ({"start": "tomorrow at 10:00", "end": "today"}, "is not after the start"),
        ({"start": "tomorrow at 10:00", "end": "2030-01-01"}, "longer than a year"),
        ({"start": "tomorrow at 10:00", "title": "a\nSTATUS:CANCELLED"}, '"title" must match'),
        ({"start": "tomorrow at 10:00", "minutes": 0}, "at least 1"),
    ],
)
async def test_what_cannot_be_an_event_is_refused(tool: Tool, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolFailed, match=said):
        await call(tool, "add", **{"title": "x", **wrong})
    assert await call(tool, "list") == []


SERIES = """
BEGIN:VEVENT
UID:standup
DTSTART;TZID=Europe/Rome:20260302T091500
DTEND;TZID=Europe/Rome:20260302T093000
RRULE:FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20260408
EXDATE;TZID=Europe/Rome:20260311T091500
SUMMARY:Stand-up
END:VEVENT
BEGIN:VEVENT
UID:standup
RECURRENCE-ID;TZID=Europe/Rome:20260316T091500
DTSTART;TZID=Europe/Rome:20260316T150000
DTEND;TZID=Europe/Rome:20260316T151500
SUMMARY:Stand-up (moved)
END:VEVENT
"""


async def test_a_series_with_exceptions_keeps_to_the_hours_of_its_zone(given_file: Callable[[str], Tool]) -> None:
    tool = given_file(SERIES)
    assert await titles(tool, start="2026-03-09", end="2026-03-18") == [
        ("2026-03-09T09:15+01:00", "Stand-up"),
        ("2026-03-16T15:00+01:00", "Stand-up (moved)"),
        ("2026-03-18T09:15+01:00", "Stand-up"),
    ]
    assert (await titles(tool, start="2026-03-29", end="2026-12-31"))[-1] == ("2026-04-08T09:15+02:00", "Stand-up")


async def test_one_time_of_a_series_or_the_whole_series_is_cancelled(given_file: Callable[[str], Tool]) -> None:
    tool = given_file(SERIES)
    first = (await call(tool, "list", start="2026-03-09", end="2026-03-10"))[0]
    await call(tool, "cancel", id=first["id"])
    assert await titles(tool, start="2026-03-09", end="2026-03-15") == []
    assert len(await titles(tool, start="2026-03-16", end="2026-03-18")) == 2
    await call(tool, "cancel", id="standup")
    assert await titles(tool, start="2026-03-01", end="2026-12-31") == []
    with pytest.raises(ToolFailed, match='there is no event "nobody"'):
        await call(tool, "cancel", id="nobody")
    with pytest.raises(ToolFailed, match="is no time of a series"):
        await call(tool, "cancel", id="standup#noon")


async def test_whole_days_floating_times_and_transparent_events(given_file: Callable[[str], Tool]) -> None:
    tool = given_file("""
BEGIN:VEVENT
UID:a
DTSTART;VALUE=DATE:20260310
SUMMARY:Holiday
END:VEVENT
BEGIN:VEVENT
UID:b
DTSTART:20260311T100000
DURATION:PT30M
SUMMARY:Floating
END:VEVENT
BEGIN:VEVENT
UID:c
DTSTART:20260311T110000Z
DTEND:20260311T120000Z
TRANSP:TRANSPARENT
SUMMARY:Lunch
END:VEVENT
""")
    assert await titles(tool, start="2026-03-10", end="2026-03-11") == [
        ("2026-03-10", "Holiday"),
        ("2026-03-11T10:00+01:00", "Floating"),
        ("2026-03-11T12:00+01:00", "Lunch"),
    ]
    assert await call(tool, "free", start="2026-03-10") == []
    assert len(await call(tool, "free", start="2026-03-11")) == 2


async def test_what_it_does_not_know_stays_in_the_file(given_file: Callable[[str], Tool], place: ToolPlace) -> None:
    tool = given_file(SERIES + "BEGIN:VTODO\nUID:t\nSUMMARY:todo\nX-MINE:1\nEND:VTODO\n")
    await call(tool, "add", title="new", start="2026-05-01 10:00")
    text = (place.folder / "team.ics").read_text()
    for kept in ("X-OWN:kept", "X-MINE:1", "SUMMARY:todo", "RRULE:FREQ=WEEKLY", "SUMMARY:new"):
        assert kept in text


async def test_a_change_by_another_program_is_seen(given_file: Callable[[str], Tool], place: ToolPlace) -> None:
    tool = given_file("")
    assert await call(tool, "list") == []
    other = open_at(place, "team.ics")
    await call(other, "add", title="theirs", start="tomorrow at 10:00")
    await call(tool, "add", title="ours", start="tomorrow at 11:00")
    assert [title for _, title in await titles(other)] == ["theirs", "ours"]


async def test_events_added_at_once_by_two_tools_are_all_kept(place: ToolPlace) -> None:
    tools = [open_at(place), open_at(place)]
    async with anyio.create_task_group() as group:
        for hour in range(8, 18):

            async def add(hour: int = hour) -> None:
                await call(tools[hour % 2], "add", title="x", start=f"2026-03-09 {hour:02d}:00")

            group.start_soon(add)
    assert len(await call(tools[0], "list")) == 10


async def test_a_calendar_that_stays_locked_is_told(
    tool: Tool, place: ToolPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icsfile, "_LOCK_SECONDS", 0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with icsfile._locked(place.state / "calendar.ics.lock"):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        with pytest.raises(ToolFailed, match="keeps the calendar locked"):
            await call(tool, "add", title="x", start="tomorrow at 10:00")
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "content", ["no calendar", "", "BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "BEGIN:VEVENT\nUID:x\nEND:VEVENT\n", "\0\0"]
)
async def test_a_file_that_is_no_calendar_stops_the_opening(place: ToolPlace, content: str) -> None:
    (place.folder / "bad.ics").write_text(content)
    with pytest.raises(DeployError, match=r"bad\.ics"):
        open_at(place, "bad.ics")


@pytest.mark.parametrize(
    ("rule", "said"),
    [("FREQ=SECONDLY", "repeats too often"), ("FREQ=WEEKLY;BYDAY=XX", "cannot be read|too often")],
)
async def test_a_series_that_floods_or_cannot_be_read_is_told(
    given_file: Callable[[str], Tool], monkeypatch: pytest.MonkeyPatch, rule: str, said: str
) -> None:
    monkeypatch.setattr(icsfile, "_MOST_REPEATS", 1000)
    with pytest.raises((ToolFailed, DeployError), match=said):
        await call(given_file(f"BEGIN:VEVENT\nUID:x\nDTSTART:20260301T000000Z\nRRULE:{rule}\nEND:VEVENT"), "list")


async def test_a_folder_that_is_not_there_is_told(place: ToolPlace) -> None:
    tool = open_at(place, "nowhere/team.ics")
    with pytest.raises(ToolFailed, match="cannot be written"):
        await call(tool, "add", title="x", start="tomorrow at 10:00")


@pytest.fixture
def link(place: ToolPlace) -> Path:
    path = place.folder / "link.ics"
    path.symlink_to("team.ics")
    return path


async def test_a_link_to_the_file_stays_a_link(place: ToolPlace, given_file: Callable[[str], Tool], link: Path) -> None:
    given_file("")
    await call(open_at(place, "link.ics"), "add", title="x", start="tomorrow at 10:00")
    assert [file for file in place.folder.iterdir() if file.is_symlink()] == [link]


HOSTILE = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["x\r\nEND:VEVENT", "x\\nSTATUS:CANCELLED", "a;b,c\\", "x\u2028BEGIN:VALARM", "x\x0bATTACH:y", "\x85DTSTART:1"]
)


@given(title=HOSTILE, notes=HOSTILE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
async def test_no_text_can_add_lines_to_the_file(place: ToolPlace, title: str, notes: str) -> None:
    add = function(open_at(place), "add")
    checked = check_arguments({"title": title, "notes": notes, "start": "tomorrow at 10:00"}, add.parameters)
    if checked.fault:
        return
    try:
        await add.run(checked.value, ToolContext())
    except ToolFailed:
        return
    calendar = Calendar.from_ical((place.state / "calendar.ics").read_bytes())
    assert isinstance(calendar, Calendar)
    (event,) = calendar.subcomponents
    assert set(event) <= {"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "DESCRIPTION"}
    assert event.subcomponents == []
    (place.state / "calendar.ics").unlink()


async def test_a_question_in_words_is_answered_with_what_was_understood(tool: Tool) -> None:
    for title, start in (
        ("Dentist", "2026-03-06 09:00"),
        ("Lunch with Eva", "2026-03-06 12:30"),
        ("Dinner", "2026-03-12 20:00"),
    ):
        await call(tool, "add", title=title, start=start)

    async def asked(question: str) -> tuple[str, str, list[str]]:
        found = await call(tool, "ask", question=question)
        return found["span"], found["words"], [event["title"] for event in found["events"]]

    assert await asked("what is on my calendar next week?") == ("2026-03-09 - 2026-03-15", "", ["Dinner"])
    assert await asked("any meetings with Bob tomorrow?") == ("2026-03-06", "bob", [])
    assert await asked("cancel the lunches with EVA") == ("2026-03-05 14:30 - 2027-03-05 14:30", "lunches eva", [])
    assert await asked("when is my dentist appointment?") == (
        "2026-03-05 14:30 - 2027-03-05 14:30",
        "dentist",
        ["Dentist"],
    )
    assert (await asked("what is my next appointment?"))[2] == ["Dentist"]
    assert (await asked("what are my next appointments?"))[2] == ["Dentist", "Lunch with Eva", "Dinner"]
    assert (await asked("show my calendar"))[:2] == ("2026-03-05 14:30 - 2026-03-12 14:30", "")
    with pytest.raises(ToolFailed, match="names two times") as caught:
        await asked("do I have appointments on monday or tuesday?")
    assert "next week" in caught.value.cure


async def test_free_times_are_asked_for_in_words(tool: Tool) -> None:
    await call(tool, "add", title="Dentist", start="2026-03-06 09:00", minutes=60)

    async def free(question: str) -> list[str]:
        found = await call(tool, "ask", question=question, about="free")
        return [f"{slot['start'][5:16]} {slot['end'][11:16]}" for slot in found["free"]]

    assert await free("when am I free") == ["03-05T14:30 18:00"], "what is past is not free"
    assert await free("am I free tomorrow morning?") == ["03-06T10:00 12:00"]
    assert await free("am I free tomorrow at 9:30?") == []
    assert await free("am I free tomorrow evening?") == ["03-06T18:00 00:00"]
    assert await free("do I have time for 9 hours tomorrow?") == []
    assert len(await free("am I free next week?")) == 7
    with pytest.raises(ToolFailed, match="too many to tell"):
        await free("am I free this year?")


async def test_an_event_is_booked_in_words_once(tool: Tool) -> None:
    request = "book lunch with Anna tomorrow at 12:30 for an hour"
    first = await call(tool, "book", call_id="run_1:c1", request=request)
    assert [(event["title"], event["start"], event["end"]) for event in first["events"]] == [
        ("lunch with Anna", "2026-03-06T12:30+01:00", "2026-03-06T13:30+01:00")
    ]
    assert await call(tool, "book", call_id="run_1:c1", request=request) == first
    lacking = await call(tool, "book", request="book lunch with Anna tomorrow")
    assert lacking == {"unsure": True, "missing": "time", "events": []}
    assert len(await call(tool, "list")) == 1
    with pytest.raises(ToolFailed, match="that time is taken"):
        await call(tool, "book", request="book a call tomorrow at 13:00")
