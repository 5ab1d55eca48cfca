"""The times that a whole sentence names, in English and Italian: "any meetings with Bob after 15:00 next week?".

What a rule understands is marked in place, so that what is left over (the names, and what was not understood) can be told
apart. A sentence that names two times, or a word of time that no rule takes, is refused: a wrong span is worse than none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

from orchestrator.plugins.tools.when import (
    COUNTS,
    MONTHS,
    TO_CLOCK,
    UNITS,
    WEEKDAYS,
    WRITTEN_DATE,
    Zone,
    any_of,
    clock_of,
    index_of,
    read_time,
    rule,
    shifted,
    which_week,
)

_FIRST_MARK: Final = 0xE000
"""Letters of private use: one for each time that was found."""
_MOST_TIMES: Final = 12
_NO_MARKS: Final = {0x2019: "'", **dict.fromkeys(range(_FIRST_MARK, _FIRST_MARK + _MOST_TIMES), " ")}
_AT_ONCE: Final = timedelta(minutes=30)
"""How long a single time of day lasts, where a span is asked for."""
_LONG: Final = timedelta(days=365)
_DAY: Final = timedelta(days=1)

Kind = Literal["days", "hours", "exact"]


@dataclass(frozen=True, slots=True)
class _Time:
    """One named time: days (the end is not of them), hours of a day, or two moments. ``None`` is an open end."""

    kind: Kind
    start: date | time | datetime | None
    end: date | time | datetime | None
    weekday: int | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a sentence names: days and hours, where it names any, and its other words in their own letters.

    ``at`` says that the hours are one time of day, which something begins at.
    """

    days: tuple[date, date] | None
    hours: tuple[time | None, time | None] | None
    moments: tuple[datetime, datetime] | None
    at: bool
    rest: str

    def span(self, now: datetime, zone: Zone) -> tuple[datetime, datetime] | None:
        """From when to when, or ``None`` where no time is named. Hours without a day are of today."""
        if self.moments is not None or (self.days is None and self.hours is None):
            return self.moments
        first, after = self.days or (now.date(), now.date() + _DAY)
        if self.hours is None:
            return _midnight(first, zone), _midnight(after, zone)
        if after - first != _DAY:
            raise ValueError("hours of more than one day; ask for one day")
        begin, until = self.hours
        start = _at(first, begin, zone) if begin else _midnight(first, zone)
        if self.at:
            return start, start + _AT_ONCE
        return start, _at(first, until, zone) if until else _midnight(after, zone)


def read_sentence(text: str, now: datetime, zone: Zone) -> Sentence:
    """Raises ``ValueError`` with what is not understood."""
    return _Reader(text, now, zone).result()


def folded(text: str) -> str:
    """Lower case without accents, letter for letter."""
    return "".join(unicodedata.normalize("NFKD", letter.casefold())[:1] or " " for letter in text)


def _at(day: date, clock: time, zone: Zone) -> datetime:
    return zone.attach(datetime.combine(day, clock))


def _midnight(day: date, zone: Zone) -> datetime:
    return _at(day, time(), zone)


class _Reader:
    def __init__(self, text: str, now: datetime, zone: Zone) -> None:
        self._own = f" {TO_CLOCK.sub(' - ', ' '.join(text.translate(_NO_MARKS).split()))} "
        self._text = folded(self._own)
        self._now = now
        self._today = now.date()
        self._zone = zone
        self._times: list[_Time] = []

    def result(self) -> Sentence:
        for pattern, make in (
            (_COUNTED, self._counted),
            (_DISTANCE, self._distance),
            (_PERIOD, self._period),
            (_DATED, self._dated),
            (_ON_WEEKDAY, self._on_weekday),
            (_MONTH, self._month),
            (_NAMED, self._named),
            (_CLOCK, self._clock),
            (_BARE_HOUR, self._clock),
            (_PART, self._part),
            (_RANGE, self._range),
            (_OPEN, self._open),
        ):
            self._mark(pattern, make)
        return self._sentence()

    def _mark(self, pattern: re.Pattern[str], make: Callable[[re.Match[str]], _Time | None]) -> None:
        begin = 0
        while (match := pattern.search(self._text, begin)) is not None:
            found = make(match)
            start, end = match.span("x") if "x" in pattern.groupindex else match.span()
            begin = end
            if found is None:
                continue
            if len(self._times) >= _MOST_TIMES:
                raise ValueError("names too many times; ask for one")
            mark = chr(_FIRST_MARK + len(self._times))
            self._times.append(found)
            self._text = f"{self._text[:start]}{mark * (end - start)}{self._text[end:]}"

    def _sentence(self) -> Sentence:
        left = dict.fromkeys(letter for letter in self._text if _FIRST_MARK <= ord(letter) < _FIRST_MARK + _MOST_TIMES)
        times = [self._times[ord(mark) - _FIRST_MARK] for mark in left]
        days, hours, exact = ([one for one in times if one.kind == kind] for kind in ("days", "hours", "exact"))
        days, hours = _day_of_week(days), _hour_of_part(hours)
        if len(days) > 1 or len(hours) > 1 or len(exact) > 1 or (exact and (days or hours)):
            raise ValueError("names two times; ask for one, or for a span like monday to friday")
        clock = hours[0] if hours else None
        return Sentence(
            (days[0].start, days[0].end) if days else None,  # type: ignore[arg-type] # days are dates
            (clock.start, clock.end) if clock else None,  # type: ignore[arg-type] # hours are times
            (exact[0].start, exact[0].end) if exact else None,  # type: ignore[arg-type] # and these are moments
            clock is not None and clock.exact,
            self._rest(),
        )

    def _rest(self) -> str:
        """The letters that no rule took, without the small words that led to a time."""
        kept = list(self._own)
        for match in _LED_TO.finditer(self._text):
            kept[match.start() : match.end()] = " " * (match.end() - match.start())
        return " ".join("".join(kept).split())

    def _counted(self, match: re.Match[str]) -> _Time:
        back = (match["way"] or "").startswith(("last", "past", "ultim", "scors"))
        other = self._away(match, -1 if back else 1)
        start, end = (other, self._now) if back else (self._now, other)
        if _unit_of(match) in ("hours", "minutes"):
            return _Time("exact", start, end)
        return _Time("days", start.date(), end.date() + _DAY)

    def _distance(self, match: re.Match[str]) -> _Time:
        moment = self._away(match, -1 if match["ago"] else 1)
        if _unit_of(match) in ("hours", "minutes"):
            return _Time("exact", moment, moment + _AT_ONCE)
        return _one(moment.date())

    def _away(self, match: re.Match[str], sign: int) -> datetime:
        count = int(match["count"]) if match["count"].isdigit() else COUNTS[match["count"]]
        if count > 1000:
            raise ValueError("names a time that is too far away")
        return shifted(self._now, {_unit_of(match): sign * count}, self._zone)

    def _period(self, match: re.Match[str]) -> _Time | None:
        unit, way = match["unit"], match["way"] or match["behind"] or ""
        steps = 2 if match["later"] else _steps(way)
        weekend = unit in ("weekend", "week-end", "fine settimana")
        if not weekend and not way and not match["later"]:
            return None
        monday = self._today - timedelta(days=self._today.weekday()) + timedelta(weeks=steps)
        if weekend:
            return _Time("days", monday + timedelta(days=5), monday + timedelta(days=7))
        if unit in ("week", "settimana"):
            return _Time("days", monday, monday + timedelta(days=7), weekday=7)
        if unit in ("month", "mese"):
            return self._months(self._today.year * 12 + self._today.month - 1 + steps, 1)
        return self._months((self._today.year + steps) * 12, 12)

    def _months(self, first: int, count: int) -> _Time:
        last = first + count
        return _Time("days", date(first // 12, first % 12 + 1, 1), date(last // 12, last % 12 + 1, 1))

    def _month(self, match: re.Match[str]) -> _Time | None:
        name, lead = match["month"], (match["lead"] or "").split()
        other_word = name == "march" or (len(name) <= 4 and name not in ("june", "july"))
        if other_word and not lead and not match["year"]:
            return None
        month = index_of(MONTHS, name)
        year = int(match["year"]) if match["year"] else self._today.year + (month + 1 < self._today.month)
        if not match["year"] and lead and lead[-1] in ("last", "past", "scorso"):
            year = self._today.year - (month + 1 >= self._today.month)
        return self._months(year * 12 + month, 1)

    def _dated(self, match: re.Match[str]) -> _Time:
        found = read_time(match["date"], self._now, self._zone)
        day = found.date() if isinstance(found, datetime) else found
        if match["weekday"] and index_of(WEEKDAYS, match["weekday"]) != day.weekday():
            raise ValueError(f'"{match[0].strip()}": {day.isoformat()} is no {match["weekday"]}')
        return _one(day)

    def _on_weekday(self, match: re.Match[str]) -> _Time:
        weekday = index_of(WEEKDAYS, match["weekday"])
        if (steps := _steps(match["way"] or match["behind"] or "")) < 0:
            return _one(self._today - timedelta(days=(self._today.weekday() - weekday - 1) % 7 + 1), weekday)
        day = self._today + timedelta(days=(weekday - self._today.weekday() - 1) % 7 + 1)
        if steps > 0 and "coming" not in match[0] and weekday > self._today.weekday():
            raise ValueError(which_week(match[0].strip(), day))  # still of this week: people mean either
        return _one(day, weekday)

    def _named(self, match: re.Match[str]) -> _Time:
        return _one(self._today + timedelta(days=_NAMED_DAYS[match["day"]]))

    def _clock(self, match: re.Match[str]) -> _Time:
        noon = match["noon"]
        if noon:
            return _Time("hours", time(0 if noon in ("midnight", "mezzanotte") else 12), None, exact=True)
        half = match["half"]
        afternoon = None if half is None else 0 if re.match(r"a|.*m(?:orning|attin)", half) else 12
        hour = int(match["h"] or match["h2"])
        if afternoon is None and match["m"] is None and hour <= 12 and _PART.search(self._text):
            return _Time("hours", time(hour), None, exact=True)  # the part of the day says which half
        try:
            clock = clock_of(hour, match["m"], afternoon)
        except LookupError as error:
            raise ValueError(f'"{match[0].strip()}" {error.args[0]}') from error
        return _Time("hours", clock, None, exact=True)

    def _part(self, match: re.Match[str]) -> _Time:
        return _Time("hours", *_PARTS[match["part"]])

    def _range(self, match: re.Match[str]) -> _Time | None:
        first, last = self._times[ord(match["a"]) - _FIRST_MARK], self._times[ord(match["b"]) - _FIRST_MARK]
        joined = match["joined"] in ("and", "e")
        if first.kind != last.kind or (joined and match["lead"] not in ("between", "tra", "fra")):
            return None
        if first.kind == "hours":
            return _ordered("hours", first.start, last.start if last.exact else last.end)
        end = last.end
        if last.weekday is not None and isinstance(end, date) and isinstance(first.start, date) and end <= first.start:
            end += timedelta(weeks=1)
        return _ordered(first.kind, first.start, end)

    def _open(self, match: re.Match[str]) -> _Time | None:
        found, word = self._times[ord(match["a"]) - _FIRST_MARK], match["word"].split()[0]
        if word in ("after", "dopo"):
            start = found.start if found.exact else found.end
            return self._until(found.kind, start, None)
        if word in _FROM:
            start = found.start
            if word == "since" and found.weekday is not None and isinstance(start, date):
                start -= timedelta(weeks=1)
            return self._until(found.kind, start, None)
        to_its_end = word in ("until", "till", "by", "entro", "fino") and not found.exact
        return self._until(found.kind, None, found.end if to_its_end else found.start)

    def _until(self, kind: Kind, start: date | time | datetime | None, end: date | time | datetime | None) -> _Time:
        if kind == "hours":
            return _Time("hours", start, end)
        if kind == "exact":
            raise ValueError("names a time that I cannot reckon from; write days or a time of day")
        begin = start if isinstance(start, date) else self._today
        until = end if isinstance(end, date) else max(begin, self._today) + _LONG
        if end is None and begin < self._today:
            until = self._today + _DAY
        return _ordered("days", begin, until)


def _ordered(kind: Kind, start: date | time | datetime | None, end: date | time | datetime | None) -> _Time:
    if start is not None and end is not None and end <= start:  # type: ignore[operator] # both are of one kind
        raise ValueError("names an end that is not after its start")
    return _Time(kind, start, end)


def _one(day: date, weekday: int | None = None) -> _Time:
    return _Time("days", day, day + _DAY, weekday)


def _day_of_week(days: list[_Time]) -> list[_Time]:
    """ "tuesday next week" is one day: a weekday of a week."""
    weeks, others = [one for one in days if one.weekday == 7], [one for one in days if one.weekday != 7]
    if len(weeks) != 1 or len(others) != 1 or others[0].weekday is None or not isinstance(weeks[0].start, date):
        return days
    return [_one(weeks[0].start + timedelta(days=others[0].weekday))]


def _hour_of_part(hours: list[_Time]) -> list[_Time]:
    """ "in the evening at 8" is one time."""
    if len(hours) != 2 or hours[0].exact == hours[1].exact:
        return hours
    clock, part = sorted(hours, key=lambda one: not one.exact)
    if not isinstance(clock.start, time):
        return hours
    later = clock.start.replace(hour=clock.start.hour % 12 + 12)
    within = [one for one in (clock.start, later) if _is_of(one, part)]
    return [_Time("hours", within[0], None, exact=True)] if within else hours


def _is_of(clock: time, part: _Time) -> bool:
    after = not isinstance(part.start, time) or clock >= part.start
    return after and (not isinstance(part.end, time) or clock < part.end)


def _unit_of(match: re.Match[str]) -> str:
    return next(unit for unit, names in UNITS.items() if match["unit"] in names)


def _steps(way: str) -> int:
    """How many weeks, months or years ahead: this, the next, the last one."""
    if way.startswith(("next", "coming", "following", "prossim")):
        return 1
    return -1 if way.startswith(("last", "past", "previous", "scors", "passat")) else 0


_NAMED_DAYS: Final = {
    "today": 0, "oggi": 0, "tomorrow": 1, "domani": 1, "day after tomorrow": 2, "dopodomani": 2,
    "yesterday": -1, "ieri": -1, "day before yesterday": -2, "l'altro ieri": -2,
}  # fmt: skip
_PARTS: Final = {
    **dict.fromkeys(("morning", "mattina", "mattino", "stamattina"), (None, time(12))),
    **dict.fromkeys(("afternoon", "pomeriggio"), (time(12), time(18))),
    **dict.fromkeys(("evening", "night", "tonight", "sera", "stasera"), (time(18), None)),
}
_FROM: Final = ("from", "since", "starting", "dal", "dalla", "dalle", "da")

_AMOUNT: Final = rf"(?P<count>\d{{1,6}}|{any_of(COUNTS)}) ?(?P<unit>{any_of(UNITS.values())})"
_BEHIND: Final = r"(?: (?P<behind>prossim[oa]|scors[oa]|passat[oa]))?"
_WAY: Final = (
    r"(?P<way>this|the current|current|next|coming|following|last|past|previous"
    r"|quest[oa]|prossim[oaie]|scors[oaie]|ultim[ie])"
)
_WEEKDAY: Final = rf"(?P<weekday>{any_of(WEEKDAYS)})"
_COUNTED: Final = rule(rf"(?:(?:within|entro)|(?:in |over |nei |nelle )?(?:the |i |le |gli )?{_WAY}) {_AMOUNT}")
_DISTANCE: Final = rule(
    rf"(?:(?:in|fra|tra) (?=(?:\d{{1,6}}|{any_of(COUNTS)}) ?[a-z])|(?=(?:\d{{1,6}}|{any_of(COUNTS)}) ?[a-z]+ (?P<ago>ago|fa)\b))"
    rf"{_AMOUNT}(?: ago| fa)?"
)
_PERIOD: Final = rule(
    rf"(?:{_WAY} )?(?P<unit>weekend|week-end|week|month|year|fine settimana|settimana|mese|anno){_BEHIND}"
    r"(?P<later> after next)?"
)
_DATED: Final = rule(
    rf"(?:{_WEEKDAY}(?:,| the| il)? )?(?P<date>\d{{4}}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}}|{WRITTEN_DATE})"
)
_ON_WEEKDAY: Final = rule(rf"(?:{_WAY} )?{_WEEKDAY}{_BEHIND}")
_MONTH: Final = rule(
    r"(?P<lead>(?:(?:in|of|for|during|this|next|last|past|a|ad|di|del|nel|mese) )*)"
    rf"(?P<month>{any_of(MONTHS)})"
    r"(?: (?:of )?(?P<year>\d{4})| scorso| prossimo)?"
)
_NAMED: Final = rule(rf"(?P<day>{any_of(_NAMED_DAYS)})")
_HALF: Final = (
    r"(?P<half>a\.?m\.?|p\.?m\.?|(?:in the |of the )(?:morning|afternoon|evening)"
    r"|(?:di|del|della) (?:mattin[ao]|pomeriggio|sera))"
)
_CLOCK: Final = rule(
    r"(?:(?P<noon>noon|midday|midnight|mezzogiorno|mezzanotte)"
    rf"|(?:(?P<h>\d{{1,2}})[:.](?P<m>\d\d)|(?P<h2>\d{{1,2}})(?= ?(?:[ap]\.?m|in the|of the|di |del)))(?: ?{_HALF})?)"
)
_BARE_HOUR: Final = rule(
    r"(?:(?:at|after|before|from|to|until|till|by|between|and|alle(?: ore)?|le|dalle|delle|ore|dopo|a|e) |(?:all'|-) ?)"
    r"(?P<x>(?P<h>\d{1,2})(?P<m>(?!))?(?P<h2>(?!))?(?P<noon>(?!))?(?P<half>(?!))?(?: o'clock)?)"
)
_PART: Final = rule(rf"(?:in the |this |at |di |del |della |nel |nella |al |quest[ao] )?(?P<part>{any_of(_PARTS)})")
_ONE: Final = r"(?P<{0}>[\ue000-\ue00b])(?P={0})*"
_SMALL: Final = r"(?:the |le |il |la |lo |di |del |della |delle |dell'|al |alle |a |on )*"
_RANGE: Final = re.compile(
    rf"(?:(?<!\w)(?P<lead>from|between|dal|dalla|dalle|tra|fra|da) )?{_SMALL}{_ONE.format('a')}"
    rf" ?(?P<joined>to|until|till|through|and|-|\u2013|al|alla|alle|a|e|fino) ?{_SMALL}{_ONE.format('b')}"
)
_OPEN: Final = re.compile(
    rf"(?<!\w)(?P<word>after|since|from|starting|dopo|dal|dalla|dalle|da|before|until|till|by|prima|entro|fino) {_SMALL}"
    + _ONE.format("a")
)
_LED_TO: Final = re.compile(
    r"(?:(?<!\w)(?:on|at|for|in|the|of|by|il|la|le|al|alle|all'|ore|a|per|di|del|della|nel|nella|during|this)[ ,]*)*"
    r"[\ue000-\ue00b]+(?:'s\b)?,?"
)
