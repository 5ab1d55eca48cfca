"""Times as people write them, in English and Italian: "tomorrow at 5pm", "fra 2 ore", "venerdì prossimo alle 17:30".

Nothing is guessed: a text of which one word is left over, and an hour that may be of the morning or the afternoon, are
refused with a question.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAYS: Final = {
    "today": 0, "oggi": 0, "tonight": 0, "stasera": 0, "tomorrow": 1, "domani": 1,
    "day after tomorrow": 2, "dopodomani": 2, "yesterday": -1, "ieri": -1,
}  # fmt: skip
WEEKDAYS: Final = (
    ("monday", "mon", "lunedi"), ("tuesday", "tue", "martedi"), ("wednesday", "wed", "mercoledi"),
    ("thursday", "thu", "giovedi"), ("friday", "fri", "venerdi"), ("saturday", "sat", "sabato"),
    ("sunday", "sun", "domenica"),
)  # fmt: skip
MONTHS: Final = (
    ("january", "jan", "gennaio"), ("february", "feb", "febbraio"), ("march", "mar", "marzo"),
    ("april", "apr", "aprile"), ("may", "maggio"), ("june", "jun", "giugno"), ("july", "jul", "luglio"),
    ("august", "aug", "agosto"), ("september", "sep", "sept", "settembre"), ("october", "oct", "ottobre"),
    ("november", "nov", "novembre"), ("december", "dec", "dicembre"),
)  # fmt: skip
UNITS: Final = {
    "minutes": ("minute", "minutes", "min", "mins", "minuto", "minuti"),
    "hours": ("hour", "hours", "ora", "ore"),
    "days": ("day", "days", "giorno", "giorni"),
    "weeks": ("week", "weeks", "settimana", "settimane"),
    "months": ("month", "months", "mese", "mesi"),
    "years": ("year", "years", "anno", "anni"),
}
COUNTS: Final = {
    "a": 1, "an": 1, "un": 1, "uno": 1, "una": 1, "un'": 1, "one": 1, "two": 2, "due": 2, "three": 3, "tre": 3,
    "four": 4, "quattro": 4, "five": 5, "cinque": 5, "six": 6, "sei": 6, "ten": 10, "dieci": 10,
}  # fmt: skip
_FILLING: Final = frozenset({
    "at", "on", "the", "of", "this", "next", "for", "il", "la", "le", "lo", "al", "alle", "ore", "per", "di",
    "questo", "questa", "prossimo", "prossima",
})  # fmt: skip
_MORNING: Final = ("am", "a.m.", "in the morning", "di mattina", "del mattino", "della mattina")
_AFTERNOON: Final = (
    "pm", "p.m.", "in the afternoon", "in the evening", "di pomeriggio", "del pomeriggio", "di sera", "della sera",
)  # fmt: skip


class Zone:
    """A time zone by its name, or the device's own (``None``)."""

    def __init__(self, name: str | None = None) -> None:
        self._zone = ZoneInfo(name) if name else _device_zone()

    def at(self, seconds: float) -> datetime:
        """The moment ``seconds`` after 1970 began."""
        return datetime.fromtimestamp(seconds, self._zone).astimezone(self._zone)

    def attach(self, moment: datetime) -> datetime:
        """A moment in this zone; one without a zone is of this zone."""
        if moment.tzinfo is None and self._zone is not None:
            return moment.replace(tzinfo=self._zone)
        return moment.astimezone(self._zone)


def _device_zone() -> ZoneInfo | None:
    """The device's zone by name, which knows summer time; ``None`` where only its offset of the day can be told."""
    name = os.environ.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")[2]
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def shifted(moment: datetime, amounts: dict[str, int], zone: Zone) -> datetime:
    """``moment`` plus years, months, weeks, days (of the calendar) and hours, minutes (of the clock)."""
    months = moment.month - 1 + amounts.get("months", 0) + 12 * amounts.get("years", 0)
    year, month = moment.year + months // 12, months % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    local = moment.replace(year=year, month=month, day=min(moment.day, last), tzinfo=None)
    local += timedelta(days=amounts.get("days", 0), weeks=amounts.get("weeks", 0))
    elapsed = timedelta(hours=amounts.get("hours", 0), minutes=amounts.get("minutes", 0))
    return zone.attach(zone.attach(local).astimezone(ZoneInfo("UTC")) + elapsed)


def read_time(text: str, now: datetime, zone: Zone) -> datetime | date:
    """The moment or, where no time of day is named, the day. Raises ``ValueError`` with what to write."""
    reading = _Reading(text, now, zone)
    return reading.result()


class _Reading:
    """One text; each rule takes its words out, and what is left over at the end was not understood."""

    def __init__(self, text: str, now: datetime, zone: Zone) -> None:
        self._text = text
        self._rest = f" {_plain(text)} "
        self._now = now
        self._zone = zone

    def result(self) -> datetime | date:
        iso = self._iso()
        if iso is not None:
            return iso
        moment = self._distance()
        day = self._day() if moment is None else None
        clock = self._clock()
        left = [word for word in self._rest.replace(",", " ").split() if word not in _FILLING]
        if left or (moment is None and day is None and clock is None):
            raise ValueError(f'"{self._text}" is no time that I understand; write it like "tomorrow at 17:00"')
        return self._joined(moment, day, clock)

    def _joined(self, moment: datetime | date | None, day: date | None, clock: time | None) -> datetime | date:
        if moment is not None and clock is None:
            return moment
        if isinstance(moment, datetime):
            raise ValueError(f'"{self._text}" names two times')
        day = day or moment
        if clock is None and day is not None:
            return day
        found = self._zone.attach(datetime.combine(day or self._now.date(), clock or time()))
        if day is None and found <= self._now:
            return shifted(found, {"days": 1}, self._zone)
        return found

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.search(self._rest)
        if match is not None:
            self._rest = f"{self._rest[: match.start()]} {self._rest[match.end() :]}"
        return match

    def _iso(self) -> datetime | date | None:
        compact = self._text.strip()
        if not _ISO.match(compact):
            return None
        if len(compact) == len("2026-03-05"):
            return date.fromisoformat(compact)
        return self._zone.attach(datetime.fromisoformat(compact))

    def _distance(self) -> datetime | date | None:
        match = self._take(_IN) or self._take(_AGO)
        if match is None:
            return None
        unit = next(unit for unit, names in UNITS.items() if match["unit"] in names)
        count = int(match["count"]) if match["count"].isdigit() else COUNTS[match["count"]]
        if count > 10_000:
            raise ValueError(f'"{self._text}" is too far away')
        sign = -1 if match.re is _AGO else 1
        moment = shifted(self._now, {unit: sign * count}, self._zone)
        return moment if unit in ("minutes", "hours") else moment.date()

    def _day(self) -> date | None:
        today = self._now.date()
        if match := self._take(_NAMED_DAY):
            if match[1] in ("tonight", "stasera"):
                self._rest += " in the evening "
            return today + timedelta(days=_DAYS[match[1]])
        weekday = self._take(_WEEKDAY)
        day = self._dated()
        if weekday is None:
            return day
        number = index_of(WEEKDAYS, weekday[1])
        if day is not None and day.weekday() != number:
            raise ValueError(f'"{self._text}": {day.isoformat()} is no {weekday[1]}')
        coming = today + timedelta(days=(number - today.weekday() - 1) % 7 + 1)
        if day is None and number > today.weekday() and _NEXT.search(self._text):
            raise ValueError(which_week(self._text, coming))
        return day or coming

    def _dated(self) -> date | None:
        if match := self._take(_ISO_DAY):
            return self._date(int(match[1]), int(match[2]), int(match[3]))
        if match := self._take(_NUMERIC_DATE):
            return self._date(int(match[3]), int(match[2]), int(match[1]))
        if match := self._take(_WRITTEN_DATE):
            day, month = int(match[1] or match[4]), index_of(MONTHS, match[2] or match[3]) + 1
            return self._date(int(match[5]) if match[5] else self._year_of(month, day), month, day)
        return None

    def _year_of(self, month: int, day: int) -> int:
        """A date without a year is the next one."""
        today = self._now.date()
        return today.year + ((month, day) < (today.month, today.day))

    def _date(self, year: int, month: int, day: int) -> date:
        try:
            return date(year, month, day)
        except ValueError as error:
            raise ValueError(f'"{self._text}" names a day that does not exist') from error

    def _clock(self) -> time | None:
        if match := self._take(_NOON):
            return time(0 if match[1] in ("midnight", "mezzanotte") else 12)
        half = self._half()
        match = self._take(_CLOCK) if half is None else self._take(_HOUR)
        if match is None:
            if half is not None:
                raise ValueError(f'"{self._text}" lacks the hour; write it like "tomorrow at 17:00"')
            return None
        written = [group for group in match.groups() if group]
        minute = written[1] if len(written) > 1 else None
        try:
            return clock_of(int(written[0]), minute, half)
        except LookupError as error:
            raise ValueError(f'"{self._text}" names an hour that does not exist') from error

    def _half(self) -> int | None:
        if self._take(_AM):
            return 0
        return 12 if self._take(_PM) else None


def clock_of(hour: int, minute: str | None, half: int | None) -> time:
    """A time of day; ``half`` is 0 for the morning, 12 for the afternoon. Raises ``LookupError`` where there is none such,
    and ``ValueError`` with a question where it may be of either half."""
    if hour > 23 or int(minute or 0) > 59 or (half == 0 and hour > 12):
        raise LookupError("names an hour that does not exist")
    if half is None and minute is None and 1 <= hour <= 9:
        raise ValueError(f"{hour} in the morning or in the afternoon? write {hour:02d}:00 or {hour + 12}:00")
    return time(hour if half is None or hour > 12 else hour % 12 + half, int(minute or 0))


def _plain(text: str) -> str:
    """Lower case, no accents, single blanks."""
    folded = unicodedata.normalize("NFKD", text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return " ".join("".join(letter for letter in folded if not unicodedata.combining(letter)).split())


def index_of(names: tuple[tuple[str, ...], ...], name: str) -> int:
    return next(index for index, same in enumerate(names) if name in same)


def any_of(words: Iterable[str | tuple[str, ...]]) -> str:
    flat = [word for group in words for word in ((group,) if isinstance(group, str) else group)]
    return "|".join(re.escape(word) for word in sorted(flat, key=len, reverse=True))


def rule(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.:/-]){pattern}(?![\w:/]|\.\d)", re.ASCII)


def which_week(text: str, day: date) -> str:
    """The question where the next weekday is still of this week: people mean either by it."""
    return f'"{text}": {day.isoformat()} or {(day + timedelta(days=7)).isoformat()}? write the date'


_NEXT: Final = re.compile(r"\b(?:next|prossim[oa])\b")
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:|$)", re.ASCII)
_AMOUNT: Final = rf"(?P<count>\d{{1,6}}|{any_of(COUNTS)}) ?(?P<unit>{any_of(UNITS.values())})"
_IN: Final = rule(rf"(?:in|within|fra|tra) {_AMOUNT}")
_AGO: Final = rule(rf"{_AMOUNT} (?:ago|fa)")
_NAMED_DAY: Final = rule(rf"({any_of(_DAYS)})")
_WEEKDAY: Final = rule(rf"({any_of(WEEKDAYS)})")
_NUMERIC_DATE: Final = rule(r"(\d{1,2})[./](\d{1,2})[./](\d{4})")
WRITTEN_DATE: Final = (
    rf"(?:(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?({any_of(MONTHS)})|({any_of(MONTHS)}) (\d{{1,2}})(?:st|nd|rd|th)?)"
    r"(?:,? (\d{4}))?"
)
_WRITTEN_DATE: Final = rule(WRITTEN_DATE)
_ISO_DAY: Final = rule(r"(\d{4})-(\d{2})-(\d{2})")
_NOON: Final = rule(r"(noon|midday|midnight|mezzogiorno|mezzanotte)")
_AM: Final = re.compile(rf"(?<=[\d ])(?:{any_of(_MORNING)})(?=[ ,])", re.ASCII)
_PM: Final = re.compile(rf"(?<=[\d ])(?:{any_of(_AFTERNOON)})(?=[ ,])", re.ASCII)
_HOUR: Final = rule(r"(\d{1,2})(?:[:.](\d{2}))?")
_CLOCK: Final = rule(r"(?:(?:at|alle|all'|ore) ?(?:ore )?(\d{1,2})(?:[:.](\d{2}))?|(\d{1,2})[:.](\d{2}))")
TO_CLOCK: Final = re.compile(
    r"(?<=\d[:.]\d\d)-(?=\d{1,2}[:.]\d\d(?![\d.]))|(?<=[ap]m)-(?=\d{1,2}(?::\d\d)? ?[ap]m)"
    r"|(?:(?<= \d)|(?<= \d\d))-(?=\d{1,2} ?[ap]m)",
    re.IGNORECASE,
)
"""The hyphen between two times of day, which stand apart then: other hyphens join words, or are of a date."""
