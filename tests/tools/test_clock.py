"""The clock tool; the time now is Thursday, 5 March 2026, 14:30 in Rome."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.clock import open_clock
from orchestrator.plugins.tools.when import Zone, read_time, shifted
from orchestrator.ports.tool import Tool, ToolPlace
from tests.tools.calling import call, outcome

pytestmark = pytest.mark.anyio

ROME = ZoneInfo("Europe/Rome")
NOW = datetime(2026, 3, 5, 14, 30, tzinfo=ROME)


@pytest.fixture
def clock(place: ToolPlace) -> Tool:
    return open_clock("clock", {"timezone": "Europe/Rome"}, place, now=NOW.timestamp)


async def test_now_is_told_in_the_time_zone(clock: Tool) -> None:
    told = await outcome(clock, "now")
    assert told.text == "Thursday 2026-03-05 14:30 CET"
    assert told.value == {
        "iso": "2026-03-05T14:30:00+01:00",
        "date": "2026-03-05",
        "time": "14:30",
        "weekday": "Thursday",
        "zone": "CET",
    }


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("tomorrow at 5pm", "2026-03-06T17:00:00+01:00"),
        ("Tomorrow, at 5:30 p.m.", "2026-03-06T17:30:00+01:00"),
        ("5 in the afternoon tomorrow", "2026-03-06T17:00:00+01:00"),
        ("12am tomorrow", "2026-03-06T00:00:00+01:00"),
        ("12pm tomorrow", "2026-03-06T12:00:00+01:00"),
        ("in 2 hours", "2026-03-05T16:30:00+01:00"),
        ("in an hour", "2026-03-05T15:30:00+01:00"),
        ("in two days at 10", "2026-03-07T10:00:00+01:00"),
        ("45 minutes ago", "2026-03-05T13:45:00+01:00"),
        ("in 3 weeks", "2026-03-26"),
        ("in a month", "2026-04-05"),
        ("today", "2026-03-05"),
        ("the day after tomorrow", "2026-03-07"),
        ("next monday at 10", "2026-03-09T10:00:00+01:00"),
        ("thursday", "2026-03-12"),
        ("on Monday at noon", "2026-03-09T12:00:00+01:00"),
        ("at 17:00", "2026-03-05T17:00:00+01:00"),
        ("at 9am", "2026-03-06T09:00:00+01:00"),
        ("tonight at 8", "2026-03-05T20:00:00+01:00"),
        ("March 5th at 9:00", "2026-03-05T09:00:00+01:00"),
        ("4 March", "2027-03-04"),
        ("25 December 2026", "2026-12-25"),
        ("1/4/2026", "2026-04-01"),
        ("domani alle 17", "2026-03-06T17:00:00+01:00"),
        ("Domani alle ore 17.30", "2026-03-06T17:30:00+01:00"),
        ("dopodomani", "2026-03-07"),
        ("fra 2 ore", "2026-03-05T16:30:00+01:00"),
        ("tra un'ora", "2026-03-05T15:30:00+01:00"),
        ("tra tre giorni", "2026-03-08"),
        ("due settimane fa", "2026-02-19"),
        ("lunedì prossimo alle 9:15", "2026-03-09T09:15:00+01:00"),
        ("lunedì a mezzogiorno", ""),
        ("lunedi mezzogiorno", "2026-03-09T12:00:00+01:00"),
        ("il 25 aprile alle 10", "2026-04-25T10:00:00+02:00"),
        ("oggi alle 6 di sera", "2026-03-05T18:00:00+01:00"),
        ("alle 9 di mattina", "2026-03-06T09:00:00+01:00"),
        ("2026-03-08", "2026-03-08"),
        ("2026-12-24 at 15:00", "2026-12-24T15:00:00+01:00"),
        ("Monday 14 December at 3pm", "2026-12-14T15:00:00+01:00"),
        ("lunedì 14 dicembre alle 15:00", "2026-12-14T15:00:00+01:00"),
        ("2026-07-01 09:00", "2026-07-01T09:00:00+02:00"),
        ("2026-07-01T09:00:00Z", "2026-07-01T11:00:00+02:00"),
    ],
)
async def test_a_text_means_a_day_or_a_time(clock: Tool, text: str, meaning: str) -> None:
    if not meaning:
        with pytest.raises(ToolFailed, match="is no time that I understand"):
            await call(clock, "parse", text=text)
        return
    assert (await call(clock, "parse", text=text))["iso"] == meaning


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at 5", "5 in the morning or in the afternoon? write 05:00 or 17:00"),
        ("tomorrow alle 3", "3 in the morning or in the afternoon? write 03:00 or 15:00"),
        ("friday at 8", "8 in the morning or in the afternoon? write 08:00 or 20:00"),
        ("next friday at 10", '"next friday at 10": 2026-03-06 or 2026-03-13? write the date'),
        ("tonight", '"tonight" lacks the hour; write it like "tomorrow at 17:00"'),
        ("at 25:00", '"at 25:00" names an hour that does not exist'),
        ("Tuesday 14 December", '"Tuesday 14 December": 2026-12-14 is no tuesday'),
        ("31 april", '"31 april" names a day that does not exist'),
        ("soon", '"soon" is no time that I understand; write it like "tomorrow at 17:00"'),
        ("tomorrow or friday", '"tomorrow or friday" is no time that I understand; write it like "tomorrow at 17:00"'),
        ("in 2 hours at 10:00", '"in 2 hours at 10:00" names two times'),
        ("in 99999 years", '"in 99999 years" is too far away'),
        ("2026-13-01", "month must be in 1..12"),
    ],
)
async def test_what_is_unclear_is_asked_and_not_guessed(clock: Tool, text: str, said: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        await call(clock, "parse", text=text)
    assert caught.value.message == said


async def test_days_follow_the_calendar_and_hours_the_clock_over_a_change_of_time(clock: Tool) -> None:
    start = "2026-03-28 12:00"
    assert (await call(clock, "add", start=start, days=1))["iso"] == "2026-03-29T12:00:00+02:00"
    assert (await call(clock, "add", start=start, hours=24))["iso"] == "2026-03-29T13:00:00+02:00"
    assert (await call(clock, "add", start="2026-01-31", months=1))["date"] == "2026-02-28"
    assert (await call(clock, "add", days=-5))["date"] == "2026-02-28"
    with pytest.raises(ToolFailed, match="too far away"):
        await call(clock, "add", years=9000)


async def test_two_times_are_told_apart(clock: Tool) -> None:
    apart = await outcome(clock, "between", start="2026-03-05 14:00", end="2026-03-07 15:30")
    assert apart.text == "2 days, 1 hours, 30 minutes"
    assert apart.value["seconds"] == 178_200
    assert (await outcome(clock, "between", start="tomorrow", end="today")).text == "-(1 days)"


async def test_the_zone_of_the_device_is_used_where_none_is_named(place: ToolPlace) -> None:
    tool = open_clock("clock", {}, place, now=NOW.timestamp)
    told = datetime.fromisoformat((await call(tool, "now"))["iso"])
    assert told == NOW
    assert told.utcoffset() == NOW.astimezone().utcoffset()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime"])
async def test_an_unknown_zone_stops_the_opening(place: ToolPlace, zone: str) -> None:
    with pytest.raises(DeployError, match="there is no time zone"):
        open_clock("clock", {"timezone": zone}, place)


@given(st.text(max_size=60) | st.from_regex(r"(in|at|fra)? ?[0-9]{0,3} ?(pm|am|hours|ore)? ?(friday|domani)?"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_time(text, NOW, Zone("Europe/Rome"))
    except (ValueError, OverflowError):
        return
    assert isinstance(found, date)


@given(st.integers(-500, 500), st.integers(-40, 40))
def test_adding_and_taking_away_days_and_hours_comes_back(days: int, hours: int) -> None:
    zone = Zone("UTC")
    there = shifted(NOW.astimezone(ZoneInfo("UTC")), {"days": days, "hours": hours}, zone)
    assert shifted(there, {"days": -days, "hours": -hours}, zone) == NOW
