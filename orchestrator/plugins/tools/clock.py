"""The clock: what time it is, what time a text means, how far two times are apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfoNotFoundError

from orchestrator.core.errors import DeployError, ToolFailed
from orchestrator.plugins.tools.opened import LINE, OpenedTool, arguments_schema, checked_options, described
from orchestrator.plugins.tools.when import Zone, read_time, shifted
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace

OPTIONS: Final[Mapping[str, Any]] = {"timezone": {"type": "string", "minLength": 1}}

HOW_TO_WRITE: Final = 'write it like "tomorrow at 17:00", "in 2 hours", "2026-03-05 14:00" or "venerdì alle 9:30"'

_MOMENT: Final = described(LINE, 'a time such as "2026-03-05 14:00" or "tomorrow at 17:00"')
_AMOUNT: Final = {"type": "integer", "minimum": -100_000, "maximum": 100_000}
_UNITS: Final = ("years", "months", "weeks", "days", "hours", "minutes")


def open_clock(
    name: str, options: Mapping[str, Any], _place: ToolPlace, now: Callable[[], float] = time.time
) -> OpenedTool:
    """Open the clock. Raises ``DeployError`` for an unknown time zone."""
    read = checked_options(name, options, OPTIONS)
    clock = _Clock(open_zone(name, read.get("timezone")), now)
    amounts = dict.fromkeys(_UNITS, _AMOUNT)
    return OpenedTool(
        (
            _function(f"{name}.now", "The time and day now.", arguments_schema({}), clock.now),
            _function(
                f"{name}.parse",
                "What day or time a text means, in English or Italian.",
                arguments_schema({"text": _MOMENT}),
                clock.parse,
            ),
            _function(
                f"{name}.add",
                "A time plus (or minus) an amount; from now where start is not given.",
                arguments_schema({"start": _MOMENT, **amounts}, optional=("start", *_UNITS)),
                clock.add,
            ),
            _function(
                f"{name}.between",
                "How far apart two times are.",
                arguments_schema({"start": _MOMENT, "end": _MOMENT}),
                clock.between,
            ),
        )
    )


def open_zone(tool: str, name: str | None) -> Zone:
    """A time zone by name; raises ``DeployError``."""
    try:
        return Zone(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise DeployError(
            f'the tool {tool}: there is no time zone "{name}"',
            cure="write it like Europe/Rome; where the system has no time zones: pip install tzdata",
        ) from error


def time_of(text: str, now: datetime, zone: Zone) -> datetime | date:
    """What ``text`` means; raises ``ToolFailed`` with what to write instead."""
    try:
        return read_time(text, now, zone)
    except (ValueError, OverflowError) as error:
        raise ToolFailed(str(error), cure=HOW_TO_WRITE) from error


def _function(
    name: str,
    description: str,
    schema: Mapping[str, Any],
    answer: Callable[[Mapping[str, Any]], tuple[dict[str, Any], str]],
) -> ToolFunction:
    async def run(arguments: Mapping[str, Any], _context: ToolContext) -> ToolOutcome:
        return ToolOutcome(*answer(arguments))

    return ToolFunction(name, description, schema, "read", run, idempotent=True)


class _Clock:
    """The functions: each gives a value and its text."""

    def __init__(self, zone: Zone, now: Callable[[], float]) -> None:
        self._zone = zone
        self._now = now

    def now(self, _arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        return _told(self._zone.at(self._now()))

    def parse(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        return _told(self._time(arguments["text"]))

    def add(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        start = self._moment(arguments["start"]) if "start" in arguments else self._zone.at(self._now())
        try:
            return _told(shifted(start, {unit: arguments.get(unit, 0) for unit in _UNITS}, self._zone))
        except (ValueError, OverflowError) as error:
            raise ToolFailed("that time is too far away", cure="give a smaller amount; years are 1 to 9999") from error

    def between(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        seconds = (self._moment(arguments["end"]) - self._moment(arguments["start"])).total_seconds()
        minutes = round(abs(seconds) / 60)
        parts = {"days": minutes // 1440, "hours": minutes // 60 % 24, "minutes": minutes % 60}
        words = ", ".join(f"{count} {unit}" for unit, count in parts.items() if count) or "0 minutes"
        return {**parts, "seconds": seconds}, f"-({words})" if seconds < 0 else words

    def _time(self, text: str) -> datetime | date:
        return time_of(text, self._zone.at(self._now()), self._zone)

    def _moment(self, text: str) -> datetime:
        """A day without a time of day begins at midnight."""
        found = self._time(text)
        return found if isinstance(found, datetime) else self._zone.attach(datetime(found.year, found.month, found.day))  # noqa: DTZ001 - attach() gives it its zone


def _told(found: datetime | date) -> tuple[dict[str, Any], str]:
    weekday = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[found.weekday()]
    value: dict[str, Any] = {"date": found.strftime("%Y-%m-%d"), "weekday": weekday}
    if not isinstance(found, datetime):
        return {**value, "iso": value["date"], "time": None, "zone": None}, f"{weekday} {value['date']}"
    value |= {
        "iso": found.isoformat(timespec="seconds"),
        "time": found.strftime("%H:%M"),
        "zone": found.tzname(),
    }
    return value, f"{weekday} {value['date']} {value['time']} {value['zone']}"
