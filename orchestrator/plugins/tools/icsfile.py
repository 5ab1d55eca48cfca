"""An iCalendar file (RFC 5545): its occurrences in a span of time, and changes that are all or nothing."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.core.errors import ToolFailed
from orchestrator.plugins.tools.when import Zone
from orchestrator.ports.durable import write_durably

if TYPE_CHECKING:
    from icalendar import Calendar, Event

T = TypeVar("T")

_MOST_REPEATS: Final = 100_000
"""Occurrences that are counted through for one series: ten a day for 27 years."""
_LARGEST: Final = 20_000_000
_LOCK_SECONDS: Final = 5.0
_MEND: Final = "mend it with a calendar program, or move it away: a new one is made"
_REACH: Final = "is the disk full or read-only, and is the path of the tool in the manifest right?"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One event at one time. ``id`` names it for a cancellation: the event, or one time of a series (``uid#start``)."""

    id: str
    title: str
    start: datetime
    end: datetime
    location: str
    notes: str
    whole_day: bool
    busy: bool


class IcsFile:
    """The calendar at ``path``, which may be missing: then it is empty. Its methods block; call them in a thread."""

    def __init__(self, path: Path, zone: Zone) -> None:
        self._path = path.resolve()
        self._zone = zone
        self._cached: tuple[tuple[int, int] | None, Calendar] | None = None

    def between(self, start: datetime, end: datetime) -> list[Occurrence]:
        """What takes place in the span, in order; cancelled events do not."""
        return self.among(self._read(), start, end)

    def among(self, calendar: Calendar, start: datetime, end: datetime) -> list[Occurrence]:
        """The same for a calendar that :meth:`change` gave."""
        try:
            moved = _moved(calendar, self._zone)
            found = [
                occurrence
                for event in events_of(calendar)
                if str(event.get("STATUS", "")).upper() != "CANCELLED"
                for occurrence in _occurrences(event, self._zone, end, moved)
                if occurrence.start < end and (occurrence.end > start or occurrence.start == occurrence.end >= start)
            ]
        except (ValueError, TypeError, OverflowError) as error:  # what the libraries raise for broken properties
            raise _broken("an event of the calendar cannot be read", error) from error
        return sorted(found, key=lambda occurrence: (occurrence.start, occurrence.title))

    def change(self, work: Callable[[Calendar], T]) -> T:
        """Let ``work`` change the newest calendar, and store it; other processes wait meanwhile."""
        with _locked(self._path.with_name(self._path.name + ".lock")):
            self._cached = None
            calendar = self._read()
            self._cached = None  # it is about to differ from the file
            result = work(calendar)
            self._write(calendar.to_ical())
        return result

    def check(self) -> None:
        """Raise ``ToolFailed`` where the file cannot be read."""
        self._read()

    def _read(self) -> Calendar:
        from icalendar import Calendar

        stamp = self._stamp()
        cached = self._cached  # read once: a change in another thread empties it
        if cached is not None and cached[0] == stamp:
            return cached[1]
        try:
            calendar = _empty() if stamp is None else Calendar.from_ical(self._path.read_bytes())
        except (ValueError, OSError, KeyError, IndexError) as error:
            raise _broken(f"the calendar {self._path.name} cannot be read", error) from error
        if not isinstance(calendar, Calendar):
            raise ToolFailed(f"the calendar {self._path.name} is no iCalendar file", cure=_MEND)
        self._cached = (stamp, calendar)
        return calendar

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ToolFailed(f"the calendar {self._path.name} cannot be read: {error.strerror}", cure=_REACH) from error
        if found.st_size > _LARGEST:
            raise ToolFailed(
                f"the calendar {self._path.name} is larger than {_LARGEST // 1_000_000} MB",
                cure="take old events out of it with a calendar program",
            )
        return found.st_mtime_ns, found.st_size

    def _write(self, content: bytes) -> None:
        try:
            write_durably(self._path, content)
        except OSError as error:
            raise ToolFailed(
                f"the calendar {self._path.name} cannot be written: {error.strerror}", cure=_REACH
            ) from error


def _broken(what: str, error: Exception) -> ToolFailed:
    """Libraries tell a broken line or value as it stands in the file: it may be of any field, and no longer than a value that is
    looked for wherever it stands."""
    said = str(error)[:150]
    return ToolFailed(f"{what}: {said}", cure=_MEND, value=dict.fromkeys(("title", "location", "notes", "id"), said))


def events_of(calendar: Calendar) -> list[Event]:
    """All events, as they are written."""
    from icalendar import Event

    return [event for event in calendar.walk("VEVENT") if isinstance(event, Event)]


def uid_of(event: Event) -> str:
    """The name of an event, or of its series."""
    return str(event.get("UID", ""))


def moment_of(value: date | datetime, zone: Zone) -> datetime:
    """A day begins at midnight; a time without a zone is of the tool's."""
    return zone.attach(value if isinstance(value, datetime) else datetime.combine(value, time()))


def _occurrences(
    event: Event, zone: Zone, end: datetime, moved: frozenset[tuple[str, datetime]]
) -> Iterator[Occurrence]:
    first, last = event.start, event.end
    begin, duration = moment_of(first, zone), moment_of(last, zone) - moment_of(first, zone)
    if isinstance(first, datetime) and first.tzinfo is not None:
        begin = first  # a series keeps to the hours of its own zone
    repeats = "RECURRENCE-ID" not in event and ("RRULE" in event or "RDATE" in event)
    starts = _repeats(event, begin, end, zone) if repeats else iter([begin])
    for start in starts:
        if repeats and (uid_of(event), start.astimezone(UTC)) in moved:
            continue
        yield Occurrence(
            f"{uid_of(event)}#{start.isoformat()}" if repeats else uid_of(event),
            str(event.get("SUMMARY", "")),
            zone.attach(start),
            zone.attach(start + duration),
            str(event.get("LOCATION", "")),
            str(event.get("DESCRIPTION", "")),
            not isinstance(first, datetime),
            str(event.get("TRANSP", "OPAQUE")).upper() != "TRANSPARENT",
        )


def _repeats(event: Event, begin: datetime, end: datetime, zone: Zone) -> Iterator[datetime]:
    from dateutil.rrule import rruleset

    series = rruleset()
    series.rdate(begin)
    for rule in _listed(event.get("RRULE")):
        series.rrule(_rule(rule, begin, zone))
    for name, add in (("RDATE", series.rdate), ("EXDATE", series.exdate)):
        for days in _listed(event.get(name)):
            for day in days.dts:
                add(moment_of(day.dt, zone))
    for number, start in enumerate(series):
        if start >= end:
            return
        if number >= _MOST_REPEATS:
            raise ToolFailed(
                f'the event "{event.get("SUMMARY", "")}" repeats too often',
                cure="end its series (UNTIL or COUNT), or begin it later",
                value={"title": str(event.get("SUMMARY", ""))},
            )
        yield start


def _rule(rule: Any, begin: datetime, zone: Zone) -> Any:
    """``UNTIL`` is given apart: files write it as a day or without a zone, which the library does not take."""
    from dateutil.rrule import rrulestr

    parts = {key: values for key, values in rule.items() if key != "UNTIL"}
    made: Any = rrulestr(type(rule)(parts).to_ical().decode(), dtstart=begin)
    for until in rule.get("UNTIL", []):
        last = moment_of(until, zone)
        made = made.replace(until=last if isinstance(until, datetime) else last + timedelta(days=1, seconds=-1))
    return made


def _moved(calendar: Calendar, zone: Zone) -> frozenset[tuple[str, datetime]]:
    """The times of series that another event stands for."""
    times: list[tuple[str, Any]] = [(uid_of(event), event.get("RECURRENCE-ID")) for event in events_of(calendar)]
    return frozenset((uid, moment_of(time.dt, zone).astimezone(UTC)) for uid, time in times if time is not None)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _empty() -> Calendar:
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("PRODID", "-//orchestrator//calendar//EN")
    calendar.add("VERSION", "2.0")
    return calendar


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The lock goes with the process, so that a killed one blocks nobody."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ToolFailed(f"the calendar's folder cannot be written: {error.strerror}", cure=_REACH) from error
    try:
        deadline = clock.monotonic() + _LOCK_SECONDS
        while not _try_lock(handle):
            if clock.monotonic() > deadline:
                raise ToolFailed(
                    "another program keeps the calendar locked", cure="try again once that program is done with it"
                )
            clock.sleep(0.01)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_lock_on_windows(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _try_lock_on_windows(handle: int) -> bool:
    import msvcrt  # type: ignore[import-not-found, unused-ignore] # there only

    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore] # there only
    except OSError:
        return False
    return True
