"""Call-backs of the help desk: every word of the request is read, the time is checked against the desk's hours, and booked."""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
import sqlite3
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.core.asking import what_is_asked
from orchestrator.plugins.tools.when import Zone, read_time

HERE = Path(__file__).parent
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NO_DATE = r"(?!\d{4}[ -]\d{1,2}[ -]\d|\d{1,2}[ -]\d{1,2}[ -]\d{2,4}\b|20\d{6}\b)"
PHONE = re.compile(rf",?\s*\b(?:on|my (?:phone )?number is)\s+({NO_DATE}\+?\d[\d ()-]{{5,}}\d)(?![\d:])", re.IGNORECASE)
ASKS = re.compile(
    r"(?:(?:(?:can|could|would|will) (?:somebody|someone|anybody|anyone) (?:please )?)?(?:call|phone|ring) me(?: back)?"
    r"|give me a (?:call|ring)(?: back)?"
    r"|(?:book|request|schedule|arrange|make|set up)(?: me)? (?:an? |the )?(?:appointment for a )?(?:call[- ]?back|call)"
    r"|(?:i want|i need|i would like|i'd like) a (?:call[- ]?back|call))\b",
    re.IGNORECASE,
)
"""How a request for a call begins, as the manifest's rule has it."""
ORDER = re.compile(r"\babout (?:my |the )?order\s+#?\d+\b", re.IGNORECASE)


def book_callback(text: str) -> dict[str, Any]:
    """Book a call-back at the time that the customer asks for; nothing is booked where a word of it is not understood.

    text: the customer's words, with a time and, if they gave one, a phone number.
    """
    hours = {"first": _desk()["callback_first"], "last": _desk()["callback_last"], "days": _desk()["callback_days"]}
    asked = what_is_asked(text.rstrip(" ?!."))
    phone = PHONE.search(asked)
    said = ORDER.sub(" ", PHONE.sub(" ", ASKS.sub("", asked, count=1))).strip(" ,.?!")
    moment, reason = _moment(said)
    if moment is None:
        return {"booked": False, "unsure": True, "reason": reason, **hours}
    when, day = f"{moment:%H:%M}", moment.date()
    found = {"time": when, "day": day.isoformat(), "weekday": DAYS[day.weekday()], **hours}
    if not hours["first"] <= when <= hours["last"] or day.weekday() > 4:
        return {"booked": False, "unsure": True, "reason": "closed", **found}
    number = _store(day, when, phone[1].strip() if phone else "", text)
    return {"booked": True, "unsure": False, "number": number, **found}


def _moment(said: str) -> tuple[dt.datetime | None, str]:
    """When that is, else why it is none. A time of day alone is that of the next working day that has it to come."""
    if not said:
        return None, "no time"
    zone = Zone()
    now = _now(zone)
    try:
        found = read_time(said, now, zone)
        if not isinstance(found, dt.datetime):
            return None, "past" if found < now.date() else "no time"
        if re.fullmatch(r"(?:at )?[\d:.]+ ?(?:[ap]\.?m\.?)?", said, re.IGNORECASE):
            while found.weekday() > 4:
                found += dt.timedelta(days=1)
    except (ValueError, OverflowError):
        return None, "not understood"
    return (found, "") if found > now else (None, "past")


def _now(zone: Zone) -> dt.datetime:
    """Of the clock, but for the evaluation, whose labels hold for one day."""
    if told := os.environ.get("DESK_NOW"):
        return zone.at(dt.datetime.fromisoformat(told).timestamp())
    return zone.at(time.time())


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
