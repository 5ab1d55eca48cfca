"""A value that a run knows is hidden also where it is a part of another word, or written in hex or base64."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.known_values import KnownValues
from orchestrator.core.personal import Finder, Pseudonyms

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
