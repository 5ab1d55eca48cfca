"""The hours of a day in which free time is looked for, where only days are given."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import time as clock_time
from typing import Final

from orchestrator.plugins.tools.when import Zone

OPENS: Final = 9
CLOSES: Final = 18


def day_of(now: datetime) -> tuple[datetime, datetime]:
    """The day of a moment, from midnight to midnight."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=1)


def opening(first: datetime, after: datetime) -> datetime:
    """A morning begins at the opening hour, and not at midnight."""
    opens = first.replace(hour=OPENS)
    return opens if first.hour == 0 and opens < after else first


def open_days(first: datetime, after: datetime, zone: Zone) -> list[tuple[datetime, datetime]]:
    """The opening hours of each day from ``first`` on and before ``after``."""
    days = [first.date() + timedelta(days=number) for number in range((after.date() - first.date()).days)]
    return [
        (
            zone.attach(datetime.combine(day, clock_time(OPENS))),
            zone.attach(datetime.combine(day, clock_time(CLOSES))),
        )
        for day in days
    ]
