"""Requests to a calendar in the asker's own words: which events a question means, and what is to be booked.

Every word counts. A word of time that no rule takes, a negation and a choice are refused; the others are looked for in the
events, and told, so that an answer says what it is the answer to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.core.asking import what_is_asked
from orchestrator.plugins.tools.functionwords import FUNCTION_WORDS
from orchestrator.plugins.tools.spans import Sentence, folded, read_sentence
from orchestrator.plugins.tools.when import COUNTS, MONTHS, UNITS, WEEKDAYS, Zone, any_of

_USUAL: Final = timedelta(days=7)
_FAR: Final = timedelta(days=365)
_LETTERS: Final = re.compile(r"[^\W_]+")
# fmt: off
_OF_CALENDARS: Final = frozenset({
    "calendar", "agenda", "diary", "schedule", "appointment", "appointments", "meeting", "meetings", "event", "events",
    "show", "list", "read", "see", "give", "look", "check", "find", "search", "cancel", "delete", "remove", "off",
    "free", "available", "availability", "busy", "time", "slot", "slots", "still", "up", "out", "go", "going", "happening",
    "planned", "scheduled", "booked", "coming", "upcoming", "got", "has", "had", "say", "know", "let", "like", "get",
    "anything", "something", "everything", "all", "whole", "else", "other", "others", "am", "s", "m", "re", "ve", "t", "d",
    "over", "by", "also",
    "then", "next", "would", "into", "so", "today", "now", "us", "open", "due", "start", "starts", "take", "takes",
    "place",
    "calendario", "appuntamento", "appuntamenti", "riunione", "riunioni", "impegno", "impegni", "evento", "eventi",
    "mostra", "mostrami", "elenca", "dimmi", "fammi", "avevo", "avevamo", "quante", "quanti", "disdici",
    "vedere", "cerca", "trova", "cancella", "elimina", "annulla",
    "libero", "libera", "liberi", "tempo", "disponibilita", "orari", "programma", "previsto", "fissato", "miei",
    "mia", "mio", "mie", "abbiamo", "hai", "tutti", "tutte", "gli", "qualche", "qualcosa", "c", "l", "un", "dell", "nell",
    "prossimo", "prossima", "prossimi", "prossime", "sul", "nel", "in", "a", "ad", "ci", "quand", "cos", "per", "ha", "i",
    "del",
})
_OF_TIME: Final = frozenset({
    "rest", "end", "beginning", "half", "middle", "mid", "early", "late", "later", "earlier", "soon", "recent", "recently",
    "fortnight",
    "quarter", "last", "past", "old", "older", "previous", "previously", "first", "second", "third", "fourth", "earliest", "latest",
    "final",
    "ago", "until", "till", "since", "before", "after", "between", "during", "every", "each", "daily", "weekly", "monthly",
    "night",
    "nights", "mornings", "afternoons", "evenings", "weekends", "weekdays", "weekday", "workday", "workdays", "clock",
    "ever", "never",
    "resto", "fine", "inizio", "meta", "prima", "dopo", "ogni", "scorso", "scorsa", "scorsi", "scorse", "ultimo", "ultima",
    "ultimi", "ultime", "passato", "passata", "presto", "tardi", "notte", "weekend", "quindicina", "trimestre",
    *(name for names in (*WEEKDAYS, *MONTHS) for name in names if len(name) > 4 and name != "march"),
    *(f"{name}s" for names in WEEKDAYS for name in names if name.endswith("day")),
    *(name for names in UNITS.values() for name in names),
    *(name for name in COUNTS if len(name) > 2 and name not in ("una", "uno")),
})
_TURNED: Final = frozenset({
    "or", "not", "except", "without", "but", "don", "doesn", "isn", "aren", "no", "nobody", "oppure", "senza", "tranne",
    "eccetto",
    "sorted", "longest", "shortest", "longer", "shorter", "empty", "full", "busiest", "busier", "important",
    "non", "either", "neither", "excluding", "besides",
})
_FAR_WORDS: Final = frozenset({
    "next", "upcoming", "when", "all", "find", "search", "tutti", "tutte", "prossimo", "prossima", "prossimi", "prossime",
    "quando", "cerca", "trova",
})
# fmt: on
_TWO_THINGS: Final = re.compile(
    r"\b(?:tickets?|appointments?|meetings?|events?|calendar|e-?mails?|mails?) (?:and|e) (?:my |the )?"
    r"(?:tickets?|e-?mails?|mails?|outbox|appointments|calendar)\b"
)
_QUARTER: Final = re.compile("q[1-4]")
_SINGLE: Final = re.compile(r"\bnext (?!\w+s\b)\w|\bprossim[oa]\b")
_REPEATS: Final = re.compile(
    r"\b(?:every|each|daily|weekly|monthly|yearly|ogni|settimanale|mensile)\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun|week)days\b"
)
_HOURS_AND_MINUTES: Final = re.compile(
    r"(?<!\w)(?:for|lasting|per|della durata di) (?P<hours>\d{1,2}) ?h(?:ours?|rs?)? ?(?:and )?"
    r"(?P<minutes>[0-5]\d)(?: ?m(?:in(?:ute)?s?)?)?(?!\w)"
)
_DURATION: Final = re.compile(
    rf"(?<!\w)(?:(?:for|lasting|per|della durata di) )(?P<count>\d{{1,4}}|{any_of(COUNTS)}) ?"
    r"(?P<unit>hours?|hrs?|h|minutes?|mins?|ore|ora|minut[oi])"
    r"(?P<half> and a half| e mezz[ao])?(?!\w)|(?P<half_hour>(?:for |per )(?:half an hour|mezz'ora))(?!\w)"
)
_LENGTH: Final = re.compile(
    r"\b(?:\d+|two|half) ?-?(?:hours?|hrs?|h|minutes?|mins?|ore|minuti)\b|\b\d+h\d+|\bhalf an hour\b"
)
_UNSURE_TIME: Final = re.compile(
    r"\b(?:utc|gmt|ce?st|es?t|edt|pst|pdt|bst)\b(?:[+-]\d+)?|\b\w+ time$|\b(?:not|around|circa|approximately|verso)$"
    r"|\b(?:quarters?|thirds?) of an hour\b",
    re.IGNORECASE,
)
"""What says of a time that it is another one than it seems."""
_CLOCK_LEFT: Final = re.compile(
    r"(?<![\d:])\d{1,2}:\d\d(?![\d:])|(?<!\w)\d{1,2} ?[ap]\.?m\b|(?<!\w)uhr(?!\w)", re.IGNORECASE
)
"""A time of day in what would be the title: it says something that nobody here has understood."""
_VERB: Final = re.compile(
    r"\s*(?:book|schedule|add|plan|put|create|set up|arrange|fissa(?:mi)?|prenota(?:mi)?|aggiungi|segna(?:mi)?|metti|crea)\b"
    r"(?: me\b)?(?: (?:an?|the|my|our|new|un|una|uno|il|la|lo)\b| (?:un|l)')*",
    re.IGNORECASE,
)
_WHERE_IT_GOES: Final = re.compile(
    r"(?<!\w)(?:(?:to|in|into|on) (?:my |the |our )?(?:calendar|agenda|diary|schedule)"
    r"|(?:in|nell'|sul|nel) ?(?:agenda|calendario))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Question:
    """The events from ``start`` to ``end`` that hold all of ``words``; only the first where ``single``.

    ``named`` and ``hours`` say whether the asker named a time, and a time of day. ``minutes``: how long, where said.
    """

    start: datetime
    end: datetime
    words: tuple[str, ...]
    named: bool
    hours: bool
    single: bool
    minutes: int | None


@dataclass(frozen=True, slots=True)
class Booking:
    """An event to add; ``missing`` says what the request lacks, one of "title", "day" and "time"."""

    title: str = ""
    start: datetime | None = None
    end: datetime | None = None
    missing: str = ""


def read_question(text: str, now: datetime, zone: Zone) -> Question:
    """Raises ``ValueError`` with what is not understood, as a sentence that goes on "… holds …"."""
    text = what_is_asked(text)
    rest, minutes = _duration(text)
    sentence = read_sentence(rest, now, zone)
    said, left = words_of(text), words_of(sentence.rest)
    refuse(left, text)
    words = tuple(word for word in left if word not in FUNCTION_WORDS and word not in _OF_CALENDARS)
    span = sentence.span(now, zone)
    far = bool(words) or not _FAR_WORDS.isdisjoint(said)
    start, end = span or (now, now + (_FAR if far else _USUAL))
    single = span is None and not words and _SINGLE.search(folded(text)) is not None
    hours = sentence.hours is not None or sentence.moments is not None
    return Question(start, end, words, span is not None, hours, single, minutes)


def words_of(text: str) -> list[str]:
    """Its words, in lower case and without accents."""
    return _LETTERS.findall(folded(text))


def refuse(left: list[str], text: str) -> None:
    """Raises ``ValueError`` for the first word that changes what is meant in a way that nobody here understands."""
    for word in left:
        if word in _TURNED or (word == "o" and re.search(r"\w o \w", text)):
            raise ValueError(f'holds "{word}", which I cannot answer by rule; ask for one thing at a time')
        if word in _OF_TIME or word[0].isdigit() or _QUARTER.fullmatch(word):
            raise ValueError(f'holds "{word}", which I do not understand there')
    if _TWO_THINGS.search(folded(text)):
        raise ValueError("asks for two things; ask for one at a time")


def holds(words: tuple[str, ...], text: str) -> bool:
    """Whether a text holds all the words, in the singular or the plural."""
    own = {_singular(word) for word in words_of(text)}
    return all(_singular(word) in own for word in words)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def read_booking(text: str, now: datetime, zone: Zone) -> Booking:
    """Raises ``ValueError`` with what is not understood."""
    asked = what_is_asked(text)
    if _REPEATS.search(folded(asked)):
        raise ValueError("asks for a series; I can add one event at a time")
    rest, minutes = _duration(_VERB.sub("", asked, count=1))
    sentence = read_sentence(rest, now, zone)
    title = " ".join(_WHERE_IT_GOES.sub(" ", sentence.rest).split()).strip(' ,.:;!?-"\u201c\u201d')
    if _LENGTH.search(folded(title)):
        raise ValueError('names how long it lasts; write it like "for 2 hours"')
    if clock := _CLOCK_LEFT.search(title):
        raise ValueError(f'holds "{clock[0]}", which I do not understand there; write it like "14:00 to 16:00"')
    if unsure := _UNSURE_TIME.search(title):
        raise ValueError(f'holds "{unsure[0]}", which I do not understand there; give day and time of this device')
    begins = _begin(sentence, now, zone)
    if isinstance(begins, str):
        return Booking(missing=begins)
    if begins[0] < now:
        raise ValueError(f"names a time that is over: {begins[0]:%Y-%m-%d %H:%M}")
    if not title:
        return Booking(missing="title")
    start, end = begins
    if end is not None and minutes is not None:
        raise ValueError("names both an end and how long it lasts; write one")
    return Booking(title, start, end or start + timedelta(minutes=minutes or 30))


def _begin(sentence: Sentence, now: datetime, zone: Zone) -> tuple[datetime, datetime | None] | str:
    if sentence.moments is not None:
        return sentence.moments[0], None
    if sentence.days is None or sentence.days[1] - sentence.days[0] != timedelta(days=1):
        return "day"
    hours, span = sentence.hours, sentence.span(now, zone)
    if hours is None or span is None or hours[0] is None or (hours[1] is None and not sentence.at):
        return "time"
    return span[0], None if sentence.at else span[1]


def _duration(text: str) -> tuple[str, int | None]:
    """The text without its "for 2 hours", and that in minutes."""
    if both := _HOURS_AND_MINUTES.search(folded(text)):
        return f"{text[: both.start()]} {text[both.end() :]}", int(both["hours"]) * 60 + int(both["minutes"])
    match = _DURATION.search(folded(text))
    if match is None:
        return text, None
    rest = f"{text[: match.start()]} {text[match.end() :]}"
    if match["half_hour"]:
        return rest, 30
    count = int(match["count"]) if match["count"].isdigit() else COUNTS[match["count"]]
    unit = 1 if match["unit"].startswith("m") else 60
    minutes = count * unit + (unit // 2 if match["half"] else 0)
    if not 1 <= minutes <= 10_080:
        raise ValueError("names a duration that is no minute to a week long")
    return rest, minutes


def told_span(start: datetime, end: datetime) -> str:
    """As a reader of any language understands it: ``2026-11-30 - 2026-12-06``, ``2026-11-27 15:00 - 18:00``."""
    if (start.hour, start.minute, end.hour, end.minute) == (0, 0, 0, 0):
        last = end - timedelta(days=1)
        return f"{start:%Y-%m-%d}" if last.date() <= start.date() else f"{start:%Y-%m-%d} - {last:%Y-%m-%d}"
    if (end - timedelta(minutes=1)).date() == start.date():
        return f"{start:%Y-%m-%d %H:%M} - {'24:00' if end.date() != start.date() else format(end, '%H:%M')}"
    return f"{start:%Y-%m-%d %H:%M} - {end:%Y-%m-%d %H:%M}"
