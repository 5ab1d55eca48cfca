"""A value that a run knows is hidden also where it is a part of another word, or written in hex or base64."""

from __future__ import annotations

import base64
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.known_values import KnownValues
from orchestrator.core.personal import Finder, Pseudonyms
from orchestrator.core.touched_values import TouchedValues

NAME = b"Anna Rossi"
WHOLE = b"the patient Anna Rossi is here"


def names() -> Pseudonyms:
    known = Pseudonyms(Finder(fields=("patient", "code")))
    known.learn({"patient": ["Anna Rossi", "Kate O'Brien", "Verde", "Lia", "Bo"], "code": ["CAN12345", "2026-11-27"]})
    return known


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("by AnnaRossi", "by [PATIENT_1]"),
        ("annarossi", "[PATIENT_1]"),
        ("ANNAROSSI1980", "[PATIENT_1]1980"),
        ("user_annarossi77", "user_[PATIENT_1]77"),
        ("anna_rossi.pdf", "[PATIENT_1].pdf"),
        ("Anna-Rossi or 7anna.rossi80", "[PATIENT_1] or 7[PATIENT_2]80"),
        ("Anna%20Rossi", "[PATIENT_1]"),
        ("Anna&nbsp;Rossi", "[PATIENT_1]"),
        ("Rossi Anna", "[PATIENT_1]"),
        ("RossiAnna", "[PATIENT_1]"),
        ("KateOBrien", "[PATIENT_1]"),
        ("verde2 and PatientVerde", "[PATIENT_1]2 and Patient[PATIENT_1]"),
        ("liaverde", "[PATIENT_1]"),
        ("xcan12345y", "x[CODE_1]y"),
        ("20261127", "[CODE_1]"),
        (NAME.hex(), "[PATIENT_1]"),
        (f"0x{NAME.hex().upper()}!", "0x[PATIENT_1]!"),
        (f"at {WHOLE.hex(' ')}.", "at [PATIENT_1]."),
        (f"at {WHOLE.hex(':')}.", "at [PATIENT_1]."),
        (b"annarossi".hex(), "[PATIENT_1]"),
        ("Anna Rossi".encode("utf-16-le").hex(), "[PATIENT_1]"),
        (base64.b64encode(NAME).decode(), "[PATIENT_1]=="),
        (f"data/{base64.b64encode(WHOLE).decode()}", "[PATIENT_1]"),
        (base64.urlsafe_b64encode(b"\xff" + WHOLE)[2:].decode(), "[PATIENT_1]=="),
    ],
)
def test_it_is_hidden(text: str, seen: str) -> None:
    known = names()
    assert known.hide(text) == seen
    assert known.restore(known.hide(text)).casefold() == text.casefold()


@pytest.mark.parametrize(
    "text",
    [
        "overdetermined, Verdetermine, bolivia, familiar",
        "Annalise Rossini and Annas",
        "deadbeefcafe and 0123456789abcdef",
        "aGVsbG8gd29ybGQsIGhvdyBhcmUgeW91",
        "CONSTANT_NAME in some/Path/To",
        "2026 was 1127 days",
    ],
)
def test_other_words_stay(text: str) -> None:
    """A short value stands within others by accident."""
    assert names().hide(text) == text


@given(
    st.lists(st.text(string.ascii_letters, min_size=4, max_size=9), min_size=2, max_size=3),
    st.sampled_from(["", "_", ".", " - ", "%20", "/"]),
    st.sampled_from([str, str.lower, str.upper]),
    st.text("0123456789 ;,!", max_size=4),
)
def test_no_way_to_glue_it_lets_it_out(words: list[str], between: str, case: type[str], around: str) -> None:
    known = KnownValues()
    known.learn(" ".join(words), "patient")
    text = f"{around}{case(between.join(words))}{around}"
    begin = len(around)
    covered = {at for first, last, _ in known.found(text) for at in range(first, last)}
    assert covered >= set(range(begin, len(text) - len(around)))


def tigli() -> Pseudonyms:
    known = Pseudonyms(Finder(fields=("patient", "born", "kind")))
    known.learn({"patient": ["zorro di tigli", "Annabella Rossini", "Bo Ti", "Verde"], "born": "1980-03-12"})
    return known


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("zorro di tiglix", "[PATIENT_1]x"),
        ("xzorro di tigli", "x[PATIENT_1]"),
        ("xZorro_di_Tiglix", "x[PATIENT_1]x"),
        ("zorro di tiglizorro di tigli", "[PATIENT_1][PATIENT_1]"),
        ("zorro di tigli" * 5, "[PATIENT_1]" * 5),
        ("annabella rossinix", "[PATIENT_1]x"),
        ("xrossini, annabellax", "x[PATIENT_1]x"),
        ("verdeverdeverde", "[PATIENT_1]"),
        ("on 1980-03-12T00:00:00", "on [BORN_1]T00:00:00"),
        ("bo tix, xbo ti and robo tizio", "bo tix, xbo ti and robo tizio"),  # four letters
        ("zorro di tigl and orro di tigli", "zorro di tigl and orro di tigli"),
    ],
)
def test_letters_may_touch_a_value_of_several_words(text: str, seen: str) -> None:
    known = tigli()
    assert known.hide(text) == seen
    if "verde" not in text:
        assert known.restore(known.hide(text)).casefold() == text.casefold()


def test_many_values_and_a_long_text_take_no_more_than_their_sum() -> None:
    """Counted in looks at a pattern, not in seconds."""
    known = TouchedValues()
    for number in range(2_000):
        known.learn([f"name{number}", "di", "tigli"], [" ", " "], "patient")
    words = [f"xname{number} di tiglix" for number in range(2_000)]
    assert len(list(known.found(" and ".join(words)))) == 2_000
    assert max(len(ends) for ends in known._seen.values()) == 1


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize(
    "value",
    [
        "Annabella\nvia dei tigli 7, quartiere rosso",
        "zorro il lungo\tvia dei tigli",
        "zorro il lungo\r\nvia dei tigli",
        'zorro \u00e8 lungo\fvia\bdei "tigli" a/b \\ c',
        "via dei \U00020bb7 tigli 7",
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_value_is_found_as_json_escapes_it(value: str, times: int, ascii_only: bool) -> None:
    known = Pseudonyms(Finder(fields=("patient",)))
    known.learn({"patient": value})
    written = value
    for _ in range(times):
        written = json.dumps(written, ensure_ascii=ascii_only)[1:-1]
    assert known.hide(f'it said "{written}".') == 'it said "[PATIENT_1]".'
    assert known.restore('it said "[PATIENT_1]".') == f'it said "{written}".'


def test_a_value_that_was_learned_escaped_is_found_as_it_is() -> None:
    known = Pseudonyms(Finder(fields=("patient",)))
    known.learn({"patient": "zorro il lungo\\nvia dei tigli"})
    assert known.hide("for zorro il lungo\nvia dei tigli!") == "for [PATIENT_1]!"


@pytest.mark.parametrize("escape", ["\\n", "\\r\\n", "\\t", "\\\\n", "\\u000a", '\\"', "\\/"])
def test_a_short_name_is_found_behind_an_escape(escape: str) -> None:
    known = Pseudonyms(Finder(fields=("patient",)))
    known.learn({"patient": "B12"})
    assert known.hide(f"for{escape}B12") == f"for{escape}[PATIENT_1]"
