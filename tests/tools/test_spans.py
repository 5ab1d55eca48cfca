"""The times that sentences name; the time now is Thursday, 26 November 2026, 12:00."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plugins.tools.asked import read_booking, read_question, told_span
from orchestrator.plugins.tools.spans import read_sentence
from orchestrator.plugins.tools.when import Zone

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ZONE = Zone("UTC")


def span_of(text: str) -> str:
    span = read_sentence(text, NOW, ZONE).span(NOW, ZONE)
    return "" if span is None else told_span(*span)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("my calendar", ""),
        ("may I see my calendar", ""),
        ("next week", "2026-11-30 - 2026-12-06"),
        ("this week", "2026-11-23 - 2026-11-29"),
        ("last week", "2026-11-16 - 2026-11-22"),
        ("the week after next", "2026-12-07 - 2026-12-13"),
        ("this weekend", "2026-11-28 - 2026-11-29"),
        ("next month", "2026-12-01 - 2026-12-31"),
        ("in december", "2026-12-01 - 2026-12-31"),
        ("in may", "2027-05-01 - 2027-05-31"),
        ("in dec", "2026-12-01 - 2026-12-31"),
        ("over the weekend", "2026-11-28 - 2026-11-29"),
        ("last november", "2025-11-01 - 2025-11-30"),
        ("this year", "2026-01-01 - 2026-12-31"),
        ("yesterday", "2026-11-25"),
        ("the day before yesterday", "2026-11-24"),
        ("on monday", "2026-11-30"),
        ("last tuesday", "2026-11-24"),
        ("next tuesday", "2026-12-01"),
        ("monday 18:00-19:30", "2026-11-30 18:00 - 19:30"),
        ("monday 2pm-4pm", "2026-11-30 14:00 - 16:00"),
        ("on monday, 9:00-10:00", "2026-11-30 09:00 - 10:00"),
        ("tuesday next week", "2026-12-01"),
        ("from monday to friday", "2026-11-30 - 2026-12-04"),
        ("between wednesday and monday", "2026-12-02 - 2026-12-07"),
        ("since monday", "2026-11-23 - 2026-11-26"),
        ("until friday", "2026-11-26 - 2026-11-27"),
        ("before december", "2026-11-26 - 2026-11-30"),
        ("after friday", "2026-11-28 - 2027-11-27"),
        ("in the next 3 days", "2026-11-26 - 2026-11-29"),
        ("the last two weeks", "2026-11-12 - 2026-11-26"),
        ("in 3 days", "2026-11-29"),
        ("2 days ago", "2026-11-24"),
        ("after 15:00 tomorrow", "2026-11-27 15:00 - 24:00"),
        ("before noon on friday", "2026-11-27 00:00 - 12:00"),
        ("tomorrow between 10 and 12", "2026-11-27 10:00 - 12:00"),
        ("tomorrow morning", "2026-11-27 00:00 - 12:00"),
        ("tonight", "2026-11-26 18:00 - 24:00"),
        ("tomorrow evening at 8", "2026-11-27 20:00 - 20:30"),
        ("2026-12-24 at 15:00", "2026-12-24 15:00 - 15:30"),
        ("Monday 14 December at 3pm", "2026-12-14 15:00 - 15:30"),
        ("in 2 hours", "2026-11-26 14:00 - 14:30"),
        ("la settimana prossima", "2026-11-30 - 2026-12-06"),
        ("questo weekend", "2026-11-28 - 2026-11-29"),
        ("il mese scorso", "2026-10-01 - 2026-10-31"),
        ("a dicembre", "2026-12-01 - 2026-12-31"),
        ("ieri", "2026-11-25"),
        ("lunedì scorso", "2026-11-23"),
        ("dal lunedì al venerdì", "2026-11-30 - 2026-12-04"),
        ("domani dopo le 15", "2026-11-27 15:00 - 24:00"),
        ("domani dalle 10 alle 12", "2026-11-27 10:00 - 12:00"),
        ("domani alle 3 del pomeriggio", "2026-11-27 15:00 - 15:30"),
        ("nei prossimi 3 giorni", "2026-11-26 - 2026-11-29"),
    ],
)
def test_a_sentence_names_a_span(text: str, span: str) -> None:
    assert span_of(text) == span
    assert span_of(f"what is there {text}?") == span


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("on monday or tuesday", "names two times"),
        ("tomorrow at 10 and at 12", "names two times"),
        ("Tuesday 14 December", "2026-12-14 is no tuesday"),
        ("tomorrow at 5", "5 in the morning or in the afternoon?"),
        ("on monday at 8", "8 in the morning or in the afternoon?"),
        ("next friday", '"next friday": 2026-11-27 or 2026-12-04? write the date'),
        ("at 25:00", "names an hour that does not exist"),
        ("after 15:00 next week", "hours of more than one day"),
        ("tomorrow from 12 to 10", "an end that is not after its start"),
    ],
)
def test_what_is_unclear_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        span_of(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("meetings for the rest of the month", "rest"),
        ("my last meeting", "last"),
        ("meetings on the 24th", "24th"),
        ("meetings in the first half of december", "first"),
        ("what is not on my calendar", "not"),
        ("meetings with Anna or Bob", "or"),
        ("riunioni con Anna o Bob", "o"),
        ("meetings every monday", "every"),
        ("the longest meeting tomorrow", "longest"),
        ("meetings in Q1", "q1"),
    ],
)
def test_a_question_with_a_word_that_changes_its_meaning_is_refused(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=f'holds "{word}"'):
        read_question(text, NOW, ZONE)


def test_what_is_left_of_a_question_is_looked_for_in_the_events() -> None:
    assert read_question("hi, any meetings with Bob about the roof next week?", NOW, ZONE).words == ("bob", "roof")
    assert read_question("che impegni ho con Zoè a dicembre?", NOW, ZONE).words == ("zoe",)
    assert read_question("what is on my calendar tomorrow", NOW, ZONE).words == ()


@pytest.mark.parametrize(
    ("text", "title", "span"),
    [
        (
            "Add a meeting with Bob on 2026-12-24 at 15:00 for 2 hours",
            "meeting with Bob",
            "2026-12-24 15:00 - 17:00",
        ),
        ("book a call on Monday 14 December at 3pm with Bob", "call with Bob", "2026-12-14 15:00 - 15:30"),
        ("book dinner with Eva tomorrow from 19:00 to 21:00", "dinner with Eva", "2026-11-27 19:00 - 21:00"),
        ("put the team lunch in my diary for 12 march at noon", "team lunch", "2027-03-12 12:00 - 12:30"),
        (
            "schedule a review tomorrow at 10:00 for an hour and a half, please",
            "review",
            "2026-11-27 10:00 - 11:30",
        ),
        ("fissa una riunione con Bob lunedì dalle 10 alle 12", "riunione con Bob", "2026-11-30 10:00 - 12:00"),
        ("aggiungi pranzo con Zoè domani a mezzogiorno in agenda", "pranzo con Zoè", "2026-11-27 12:00 - 12:30"),
    ],
)
def test_a_request_names_an_event(text: str, title: str, span: str) -> None:
    asked = read_booking(text, NOW, ZONE)
    assert asked.start is not None
    assert asked.end is not None
    assert (asked.title, told_span(asked.start, asked.end)) == (title, span)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("book a meeting with Anna", "day"),
        ("book a meeting next week at 10:00", "day"),
        ("book a meeting with Anna tomorrow", "time"),
        ("book a meeting with Anna tomorrow after 15:00", "time"),
        ("book tomorrow at 10:00", "title"),
    ],
)
def test_what_a_request_lacks_is_told(text: str, missing: str) -> None:
    assert read_booking(text, NOW, ZONE).missing == missing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("book a standup every monday at 10:00", "a series"),
        ("book a standup on mondays at 10:00", "a series"),
        ("book a 2 hour meeting tomorrow at 10:00", "how long it lasts"),
        ("book a call tomorrow from 10:00 to 11:00 for an hour", "both an end and how long"),
    ],
)
def test_what_cannot_be_booked_as_it_is_asked_for_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_booking(text, NOW, ZONE)


@pytest.mark.parametrize("piece", ["of the ", "at 10 ", "in ", "monday ", "a ", "12:30 ", "next ", "\ue000 ", "1 "])
def test_a_long_text_takes_no_time(piece: str) -> None:
    text = (piece * 4000)[:4000]
    began = time.process_time()
    with suppress(ValueError):
        read_question(text, NOW, ZONE)
    assert time.process_time() - began < 2


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from("next last week from to 10 12:30 monday at fra e tra le".split())).map(" ".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        asked = read_question(text, NOW, ZONE)
    except (ValueError, OverflowError):
        return
    assert asked.start < asked.end


@pytest.mark.parametrize(
    ("text", "booked"),
    [
        ("book gym on monday 18:00-19:30", "gym: 2026-11-30 18:00 - 19:30"),
        ("book gym on monday 10.30-11.45", "gym: 2026-11-30 10:30 - 11:45"),
        ("book gym on monday 2 pm - 4 pm", "gym: 2026-11-30 14:00 - 16:00"),
        ("book gym on monday at 14:00 for 1h30", "gym: 2026-11-30 14:00 - 15:30"),
        ("book gym on monday at 14:00 for 2 h 15 min", "gym: 2026-11-30 14:00 - 16:15"),
        ("book room a9 on 2026-12-09 at 14:00", "room a9: 2026-12-09 14:00 - 14:30"),
        ("book dinner tomorrow at 8pm", "dinner: 2026-11-27 20:00 - 20:30"),
        ("book a follow-up on monday at 11", "follow-up: 2026-11-30 11:00 - 11:30"),
    ],
)
def test_a_request_books_what_it_says(text: str, booked: str) -> None:
    found = read_booking(text, NOW, ZONE)
    assert found.start is not None and found.end is not None
    assert f"{found.title}: {told_span(found.start, found.end)}" == booked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("book gym on monday at 14:00 Uhr", 'holds "Uhr"'),
        ("book a9 on 2026-12-09 14:00/16:00", 'holds "14:00"'),
        ("book call on monday at 18:00 London time", 'holds "London time"'),
        ("book call on monday at 3pm EST", 'holds "EST"'),
        ("book call on monday around 10:00", 'holds "around"'),
        ("book gym on monday at 14:00 for three quarters of an hour", 'holds "quarters of an hour"'),
        ("book gym today at 08:00", "names a time that is over: 2026-11-26 08:00"),
        ("book gym on monday at 14:00 1h30", "names how long it lasts"),
        ("book dinner on monday at 8", "8 in the morning or in the afternoon?"),
    ],
)
def test_what_would_be_a_wrong_title_or_time_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        read_booking(text, NOW, ZONE)
