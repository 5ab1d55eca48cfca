"""The examples write only what is asked for: a negation, a question, a report and a time that is not understood write nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

import orchestrator
from orchestrator.app.api import Opened

ROOT = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.anyio

NO_CALL = [
    "call me back next month at 10:00",
    "call me back yesterday at 15:00",
    "call me back today at 00:00",
    "call me back on 2026-13-40 at 10:00",
    "call me back on 2020-01-02 at 10:00",
    "call me back on 2999-02-30 at 15:00",
    "call me back every Monday at 10:00",
    "call me tomorrow at 10:00 or at 15:00",
    "call me tomorrow at 10:00, no, rather not",
    "call me back at 3",
    "call me back on Monday",
    "Don't call me back tomorrow at 15:00",
    "cancel my callback tomorrow at 15:00",
    "Nobody called me back yesterday at 10:00",
    "You called me back at 15:00, thanks",
    "did you call me back today at 14:00?",
    "why did you call me at 15:00?",
    "I do not need a call back at 15:00",
]
NOTHING = [
    "Nothing is broken, thanks",
    "My order 48201 is not damaged",
    "Please don't open a ticket, just tell me your warranty",
    "you are missing the point",
    "I am not furious",
    "I do not want a human",
    "The kettle was broken but it is fixed now",
    "Is my mirror damaged?",
    "My mirror isn't damaged",
    "What happens if the kettle is broken?",
    "I don't need a person",
    "Is there a legal warranty?",
    "did you open a ticket for my broken kettle?",
]


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    monkeypatch.setenv("DESK_STATE", str(tmp_path / "calls"))
    async with _open("customer-service", "help-desk.yaml", tmp_path) as deployment:
        yield deployment


def _open(name: str, manifest: str, place: Path) -> AbstractAsyncContextManager[Opened]:
    folder = place / name
    shutil.copytree(ROOT / name, folder, ignore=shutil.ignore_patterns(".state", "__pycache__"))
    environment = {**os.environ, "ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_HOME": str(place)}
    return orchestrator.open(folder / manifest, environment=environment, state=place / "state")


def _calls(place: Path) -> list[tuple[str, str, str]]:
    file = place / "calls" / "callbacks.sqlite"
    if not file.exists():
        return []
    with sqlite3.connect(file) as store:
        return store.execute("select day, time, phone from callbacks").fetchall()


async def test_no_call_is_booked_that_is_not_asked_for_or_not_understood(desk: Opened, tmp_path: Path) -> None:
    for text in NO_CALL:
        result = await desk.run(text)
        assert result.status == "unsure", (text, result.text)
        assert result.served_by != "person", (text, result.text)
        assert "is booked" not in result.text, (text, result.text)
        assert _calls(tmp_path) == [], text


async def test_a_call_is_booked_for_the_day_that_is_said(desk: Opened, tmp_path: Path) -> None:
    now = datetime.now().astimezone()
    later = now.date() + timedelta(days=14)
    while later.weekday() > 4:
        later += timedelta(days=1)
    for text in (
        f"call me back on {later:%d} {_month(later)} {later.year} at 15:00",
        f"Could somebody call me on {later.isoformat()} at 3pm, please?",
        f"I would like a call back on {later.isoformat()} at 15:00 about order 48205, my number is 555 0177",
    ):
        result = await desk.run(text)
        assert later.isoformat() in result.text, (text, result.text)
    assert _calls(tmp_path) == [
        (later.isoformat(), "15:00", ""),
        (later.isoformat(), "15:00", ""),
        (later.isoformat(), "15:00", "555 0177"),
    ]
    await desk.run("call me back at 10:00")
    day, clock, _ = _calls(tmp_path)[-1]
    booked = datetime.fromisoformat(f"{day}T{clock}").astimezone()
    assert booked > now, "an hour that is past today is that of the next working day"
    assert booked.weekday() < 5


def _month(day: date) -> str:
    names = "January February March April May June July August September October November December"
    return names.split()[day.month - 1]


async def test_what_no_ticket_is_asked_for_opens_none(desk: Opened) -> None:
    for text in NOTHING:
        result = await desk.run(text)
        assert result.served_by != "person", (text, result.text)
        assert "T-1" not in result.text, (text, result.text)
    result = await desk.run("The kettle from order 48201 arrived broken")
    assert "ticket T-1001 for this" in result.text, "the first that was opened"


async def test_no_quote_is_made_that_is_not_wanted(tmp_path: Path) -> None:
    async with _open("retail-kiosk", "kiosk.yaml", tmp_path) as kiosk:
        for text in (
            "I don't want a quote for 20 bags of cement",
            "Please do not make a quote for 20 bags of cement",
            "did you make a quote for 20 bags of cement?",
        ):
            result = await kiosk.run(text)
            assert result.status == "unsure", (text, result.text)
            assert "Q-" not in result.text, (text, result.text)
        assert "Q-" in (await kiosk.run("Quote for 20 bags of cement")).text
