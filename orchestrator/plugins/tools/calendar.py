"""The calendar: what takes place, when there is room, new events and cancelled ones, in one iCalendar file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.asked import Question, holds, read_booking, read_question, told_span
from orchestrator.plugins.tools.clock import HOW_TO_WRITE, open_zone, time_of
from orchestrator.plugins.tools.hours import CLOSES, OPENS, day_of, open_days, opening
from orchestrator.plugins.tools.icsfile import IcsFile, Occurrence, events_of, moment_of, uid_of
from orchestrator.plugins.tools.opened import (
    LINE,
    TEXT,
    OpenedTool,
    arguments_schema,
    checked_options,
    described,
    other_call,
)
from orchestrator.plugins.tools.sqlite import as_table
from orchestrator.plugins.tools.when import Zone
from orchestrator.plugins.tools.workers import Workers
from orchestrator.ports.tool import RunFunction, ToolContext, ToolFunction, ToolOutcome, ToolPlace

if TYPE_CHECKING:
    from icalendar import Calendar, Event

OPTIONS: Final[Mapping[str, Any]] = {
    "path": {"type": "string", "minLength": 1},
    "timezone": {"type": "string", "minLength": 1},
}

_LONGEST_SPAN: Final = timedelta(days=366)
_LONGEST_FREE: Final = timedelta(days=31)
HOW_TO_ASK: Final = (
    'ask like "what is on my calendar next week", "am I free on friday" or "book lunch tomorrow at 12:30"'
)
_WHEN: Final = described(LINE, 'such as "2026-03-05 14:00" or "tomorrow at 17:00"')
_WORDS: Final = described({"type": "string", "minLength": 1, "maxLength": 4000}, "the asker's own words")
_MINUTES: Final = {"type": "integer", "minimum": 1, "maximum": 10_080}
_SPAN: Final = {"start": _WHEN, "end": _WHEN}

Answer = Callable[[Mapping[str, Any], ToolContext], ToolOutcome]


def open_calendar(
    name: str, options: Mapping[str, Any], place: ToolPlace, now: Callable[[], float] = time.time
) -> OpenedTool:
    """Open the calendar; without a ``path`` it is ``calendar.ics`` in the tool's folder. Raises ``DeployError``."""
    read = checked_options(name, options, OPTIONS)
    zone = open_zone(name, read.get("timezone"))
    file = IcsFile(place.folder / read["path"] if "path" in read else place.state / "calendar.ics", zone)
    try:
        file.check()
    except ToolFailed as error:
        raise DeployError(f"the tool {name}: {error.message}", cure="mend its path, or the file") from error
    return OpenedTool(_functions(name, _Dates(file, zone, now)))


def _functions(name: str, dates: _Dates) -> tuple[ToolFunction, ...]:
    workers = Workers(name)
    event = {
        "title": described(LINE, "what it is"),
        "start": _WHEN,
        "end": _WHEN,
        "minutes": described(_MINUTES, "how long, where no end is given; 30 where not said"),
        "location": LINE,
        "notes": TEXT,
        "overlap": described({"type": "boolean"}, "true to add it although the time is taken"),
    }
    return (
        _reads(
            f"{name}.list",
            "The events in a span of time; the next 7 days where none is given.",
            arguments_schema(_SPAN, optional=("start", "end")),
            _threaded(dates.list, workers),
        ),
        _reads(
            f"{name}.find",
            "Events whose title, place or notes hold all the words of a text; in the next year where no span is given.",
            arguments_schema({"text": LINE, **_SPAN}, optional=("start", "end")),
            _threaded(dates.find, workers),
        ),
        _reads(
            f"{name}.free",
            f"Free times of at least some minutes, on a day ({OPENS}:00 to {CLOSES}:00) or in a span.",
            arguments_schema({**_SPAN, "minutes": _MINUTES}, optional=("end", "minutes")),
            _threaded(dates.free, workers),
        ),
        *_in_words(name, dates, workers),
        ToolFunction(
            f"{name}.add",
            "Add an event; refused where the time is taken.",
            arguments_schema(event, optional=("end", "minutes", "location", "notes", "overlap")),
            "write",
            _threaded(dates.add, workers),
            idempotent=True,
        ),
        ToolFunction(
            f"{name}.cancel",
            "Cancel an event, by the id that the other functions show.",
            arguments_schema({"id": LINE}),
            "write",
            _threaded(dates.cancel, workers),
            idempotent=True,
        ),
    )


def _in_words(name: str, dates: _Dates, workers: Workers) -> tuple[ToolFunction, ...]:
    return (
        _reads(
            f"{name}.ask",
            "A question in the asker's own words: the events that it means, or the free times.",
            arguments_schema(
                {"question": _WORDS, "about": {"type": "string", "enum": ["events", "free"]}}, optional=("about",)
            ),
            _threaded(dates.ask, workers),
        ),
        ToolFunction(
            f"{name}.book",
            "Add the event that a request in words asks for, such as: book lunch with Anna tomorrow at 12:30 for an hour.",
            arguments_schema({"request": _WORDS}),
            "write",
            _threaded(dates.book, workers),
            idempotent=True,
        ),
    )


def _reads(name: str, description: str, schema: Mapping[str, Any], run: RunFunction) -> ToolFunction:
    return ToolFunction(name, description, schema, "read", run, idempotent=True)


def _threaded(answer: Answer, workers: Workers) -> RunFunction:
    """In a thread. A change that is cancelled ends whole, unseen; a repeat of it adds nothing."""

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return await workers.run(lambda: answer(arguments, context))

    return run


class _Dates:
    """The functions."""

    def __init__(self, file: IcsFile, zone: Zone, now: Callable[[], float]) -> None:
        self._file = file
        self._zone = zone
        self._now = now

    def list(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        return _listed(self._file.between(*self._span(arguments, timedelta(days=7))))

    def find(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        words = arguments["text"].casefold().split()
        found = self._file.between(*self._span(arguments, _LONGEST_SPAN))
        texts = [f"{event.title}\n{event.location}\n{event.notes}".casefold() for event in found]
        return _listed([event for event, text in zip(found, texts, strict=True) if all(word in text for word in words)])

    def free(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        start, end = self._open_hours(arguments)
        least = timedelta(minutes=arguments.get("minutes", 30))
        gaps = [gap for gap in _gaps(self._file.between(start, end), start, end) if gap[1] - gap[0] >= least]
        rows = [{"start": _shown(begin), "end": _shown(until)} for begin, until in gaps]
        return ToolOutcome(rows, "\n".join(_line_of(*gap) for gap in gaps) or "no free time")

    def ask(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        """Gives the span and the words that it understood, so that an answer can say what it is the answer to."""
        now = self._zone.at(self._now())
        with _understood(arguments["question"]):
            asked = read_question(arguments["question"], now, self._zone)
        if arguments.get("about") == "free":
            return self._free_times(asked, now)
        found = [
            event
            for event in self._file.between(asked.start, asked.end)
            if holds(asked.words, f"{event.title}\n{event.location}\n{event.notes}")
        ]
        listed = _listed(found[:1] if asked.single else found)
        told = {"span": told_span(asked.start, asked.end), "words": " ".join(asked.words)}
        return ToolOutcome({**told, "events": listed.value}, f"{told['span']} {told['words']}\n{listed.text}")

    def _free_times(self, asked: Question, now: datetime) -> ToolOutcome:
        """In the hours that are named, else in the open hours of each day; what is past is not free."""
        first, after = (asked.start, asked.end) if asked.named else day_of(now)
        if after - first > _LONGEST_FREE:
            raise ToolFailed(
                f"free times of more than {_LONGEST_FREE.days} days are too many to tell", cure="ask for a shorter span"
            )
        spans = [(opening(first, after), after)] if asked.hours else open_days(first, after, self._zone)
        least = timedelta(minutes=asked.minutes or 30)
        rows = [
            {"start": _shown(begin), "end": _shown(until)}
            for start, end in spans
            if end > max(start, now)
            for begin, until in _gaps(self._file.between(max(start, now), end), max(start, now), end)
            if until - begin >= least
        ]
        span = told_span(first, after)
        return ToolOutcome({"span": span, "free": rows}, f"{span}\n{as_table(rows) if rows else 'no free time'}")

    def book(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Gives a true ``unsure`` and what is ``missing`` where the request lacks something; then nothing is added."""
        with _understood(arguments["request"]):
            asked = read_booking(arguments["request"], self._zone.at(self._now()), self._zone)
        if asked.start is None or asked.end is None:
            lacks = {"unsure": True, "missing": asked.missing, "events": []}
            return ToolOutcome(lacks, f"nothing added: the request lacks the {asked.missing}")
        event = {"title": asked.title[:200], "start": asked.start.isoformat(), "end": asked.end.isoformat()}
        added = self.add(event, context)
        return ToolOutcome({"unsure": False, "missing": "", "events": added.value}, added.text)

    def add(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        start, end = self._duration(arguments)
        uid = f"{hashlib.sha256((context.call_id or os.urandom(16).hex()).encode()).hexdigest()[:24]}@orchestrator"

        def work(calendar: Calendar) -> None:
            wanted = self._event(uid, start, end, arguments)
            known = next((event for event in events_of(calendar) if uid_of(event) == uid), None)
            if known is not None:
                if _said(known) != _said(wanted):
                    raise other_call(f"the event {uid}")
                return
            taken = [event for event in self._file.among(calendar, start, end) if event.busy]
            if taken and not arguments.get("overlap", False):
                raise ToolFailed(
                    f"that time is taken: {_line(taken[0])}",
                    cure="name another time; the free times of the day can be asked for",
                    value=_listed(taken[:1]).value,
                )
            calendar.add_component(wanted)

        self._file.change(work)
        return _listed([event for event in self._file.between(start, end) if event.id == uid])

    def cancel(self, arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        uid, _, start = arguments["id"].strip().partition("#")

        def work(calendar: Calendar) -> str:
            same = [event for event in events_of(calendar) if uid_of(event) == uid]
            same.sort(key=lambda event: "RECURRENCE-ID" in event)  # the series itself first
            if not same:
                raise ToolFailed(
                    f'there is no event "{uid}"; the id stands in the list of events',
                    cure="list the events, and give the id that stands there",
                )
            if start:
                same[0].add("EXDATE", self._series_time(start))
            else:
                for event in same:
                    event.pop("STATUS", None)
                    event.add("STATUS", "CANCELLED")
            return str(same[0].get("SUMMARY", ""))

        title = self._file.change(work)
        return ToolOutcome({"id": arguments["id"], "title": title, "cancelled": True}, f"cancelled: {title}")

    def _event(self, uid: str, start: datetime, end: datetime, arguments: Mapping[str, Any]) -> Event:
        from icalendar import Event

        event = Event()
        event.add("UID", uid)
        event.add("DTSTAMP", datetime.fromtimestamp(int(self._now()), UTC))
        # In UTC: read alike by every program, without a table of the zone's rules in the file.
        event.add("DTSTART", start.astimezone(UTC))
        event.add("DTEND", end.astimezone(UTC))
        for name, key in (("SUMMARY", "title"), ("LOCATION", "location"), ("DESCRIPTION", "notes")):
            if arguments.get(key):
                event.add(name, arguments[key])
        return event

    def _series_time(self, text: str) -> datetime:
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError as error:
            raise ToolFailed(
                f'"{text}" is no time of a series', cure="give the id as the list of events shows it: EVENT#START"
            ) from error

    def _span(self, arguments: Mapping[str, Any], usual: timedelta) -> tuple[datetime, datetime]:
        start = self._moment(arguments["start"]) if "start" in arguments else self._zone.at(self._now())
        end = self._end(arguments["end"]) if "end" in arguments else start + usual
        return self._ordered(start, end)

    def _open_hours(self, arguments: Mapping[str, Any]) -> tuple[datetime, datetime]:
        day = time_of(arguments["start"], self._zone.at(self._now()), self._zone)
        start = moment_of(day, self._zone)
        if not isinstance(day, datetime) and "end" not in arguments:
            return start.replace(hour=OPENS), start.replace(hour=CLOSES)
        end = self._end(arguments["end"]) if "end" in arguments else start.replace(hour=CLOSES, minute=0)
        return self._ordered(start, end)

    def _duration(self, arguments: Mapping[str, Any]) -> tuple[datetime, datetime]:
        found = time_of(arguments["start"], self._zone.at(self._now()), self._zone)
        if not isinstance(found, datetime):
            raise ToolFailed(
                f'"{arguments["start"]}" has no time of day; write it like "tomorrow at 17:00"', cure=HOW_TO_WRITE
            )
        if "end" in arguments:
            return self._ordered(found, self._moment(arguments["end"]))
        return found, found + timedelta(minutes=arguments.get("minutes", 30))

    def _ordered(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        if end <= start:
            raise ToolFailed(
                f"the end {_shown(end)} is not after the start {_shown(start)}",
                cure="give an end after the start, or minutes in place of an end",
            )
        if end - start > _LONGEST_SPAN:
            raise ToolFailed("that span is longer than a year", cure="ask for a shorter span")
        return start, end

    def _moment(self, text: str) -> datetime:
        return moment_of(time_of(text, self._zone.at(self._now()), self._zone), self._zone)

    def _end(self, text: str) -> datetime:
        """A day as an end is meant with that day."""
        found = time_of(text, self._zone.at(self._now()), self._zone)
        return moment_of(found if isinstance(found, datetime) else found + timedelta(days=1), self._zone)


def _said(event: Event) -> tuple[Any, ...]:
    """What and when."""
    texts = (str(event.get(name, "")) for name in ("SUMMARY", "LOCATION", "DESCRIPTION"))
    return (event.decoded("DTSTART", None), event.decoded("DTEND", None), *texts)


@contextmanager
def _understood(text: str) -> Iterator[None]:
    """What a reader refuses, as the tool says it."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise ToolFailed(f'"{text[:200]}" {error}', cure=HOW_TO_ASK) from error


def _gaps(events: Sequence[Occurrence], start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    gaps, free_from = [], start
    for event in events:
        if not event.busy:
            continue
        if event.start > free_from:
            gaps.append((free_from, event.start))
        free_from = max(free_from, event.end)
    return [*gaps, (free_from, end)] if free_from < end else gaps


def _listed(events: Sequence[Occurrence]) -> ToolOutcome:
    rows = [
        {
            "id": event.id,
            "title": event.title,
            "start": event.start.strftime("%Y-%m-%d") if event.whole_day else _shown(event.start),
            "end": event.end.strftime("%Y-%m-%d") if event.whole_day else _shown(event.end),
            "location": event.location,
            "notes": event.notes,
        }
        for event in events
    ]
    return ToolOutcome(rows, "\n".join(_line(event) for event in events) or "no events")


def _line(event: Occurrence) -> str:
    when = f"{event.start:%Y-%m-%d}" if event.whole_day else _line_of(event.start, event.end)
    place = f" ({event.location})" if event.location else ""
    return f"{when} {event.title}{place} [id {event.id}]"


def _line_of(start: datetime, end: datetime) -> str:
    same_day = start.date() == end.date()
    return f"{start:%Y-%m-%d %H:%M} - {end:%H:%M}" if same_day else f"{start:%Y-%m-%d %H:%M} - {end:%Y-%m-%d %H:%M}"


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
