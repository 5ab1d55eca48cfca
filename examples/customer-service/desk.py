"""Call-backs of the help desk: the time is taken from the customer's words, checked against the desk's hours, and booked."""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CLOCK = re.compile(
    r"\b([01]?\d|2[0-3])[:.]([0-5]\d)\b|\b(1[0-2]|0?[1-9])\s*(am|pm)\b|\bat (1[0-2]|[1-9])\b(?!\s*[:.\d])",
    re.IGNORECASE,
)
PHONE = re.compile(r"\b(?:\+?\d[\d ()-]{5,}\d)\b")
ORDER = re.compile(r"\border\s+#?\d+\b", re.IGNORECASE)


def book_callback(text: str) -> dict[str, Any]:
    """Book a call-back at the time that the customer asks for.

    text: the customer's words, with a time and, if they gave one, a phone number.
    """
    when = _time(ORDER.sub(" ", text))
    hours = {"first": _desk()["callback_first"], "last": _desk()["callback_last"], "days": _desk()["callback_days"]}
    if when is None:
        return {"booked": False, "unsure": True, "reason": "no time", **hours}
    day = _day(text)
    outside = not hours["first"] <= when <= hours["last"]
    if outside or day.weekday() > 4:
        return {"booked": False, "unsure": False, "reason": "closed", "time": when, "day": day.isoformat(), **hours}
    phone = PHONE.search(CLOCK.sub(" ", ORDER.sub(" ", text)))
    number = _store(day, when, phone[0].strip() if phone else "", text)
    return {"booked": True, "unsure": False, "number": number, "time": when, "day": day.isoformat(), **hours}


def _time(text: str) -> str | None:
    match = CLOCK.search(text)
    if match is None:
        return None
    if match[1]:
        return f"{int(match[1]):02d}:{match[2]}"
    if match[3]:
        hour = int(match[3]) % 12 + (12 if match[4].lower() == "pm" else 0)
        return f"{hour:02d}:00"
    hour = int(match[5])
    return f"{hour + 12 if hour < 8 else hour:02d}:00"


def _day(text: str) -> dt.date:
    today = dt.datetime.now().astimezone().date()
    words = text.casefold()
    for number, name in enumerate(DAYS):
        if re.search(rf"\b{name}\b", words):
            return today + dt.timedelta(days=(number - today.weekday() - 1) % 7 + 1)
    day = today + dt.timedelta(days=1 if "tomorrow" in words else 0)
    while day.weekday() > 4:
        day += dt.timedelta(days=1)
    return day


def _store(day: dt.date, when: str, phone: str, text: str) -> str:
    folder = Path(os.environ.get("DESK_STATE", HERE / ".state"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sqlite3.connect(folder / "callbacks.sqlite") as store:
        store.execute(
            "create table if not exists callbacks (id integer primary key, day text, time text, phone text, said text)"
        )
        row = store.execute(
            "insert into callbacks (day, time, phone, said) values (?, ?, ?, ?)", (day.isoformat(), when, phone, text)
        )
        return f"{_desk()['callback_prefix']}{row.lastrowid}"


@lru_cache(maxsize=1)
def _desk() -> dict[str, str]:
    with (HERE / "data" / "desk.csv").open(newline="", encoding="utf-8") as file:
        return {row["key"]: row["value"] for row in csv.DictReader(file)}
