"""Placeholders: what is found, what is not, and that everything comes back."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.field_values import CannotRedact
from orchestrator.core.pattern import compile_safely
from orchestrator.core.personal import Finder, Pseudonyms, finder_of
from orchestrator.core.placeholders import may_begin
from tests.core.yardstick import seconds_of

FOUND = {
    "email": [
        "anna.rossi@example.org",
        "a+b@x.co.uk",
        "JOE_1@host-2.example",
        "root@localhost",
        "anna\uff20example\uff0eorg",  # of full width
        "an\uff0ena\uff0bb\uff20x\uff0dy.org",
        "joe\ufe6bx.org",
    ],
    "phone": [
        "+39 347 123 4567",
        "0039 06 12345678",
        "(06) 1234-5678",
        "+1 (415) 555-0132",
        "347 1234567",
        "3471234567",
        "06/1234567",
        "020 7946 0958",
    ],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009"],
    "iban": ["IT60 X054 2811 1010 0000 0123 456", "DE89370400440532013000", "gb82 west 1234 5698 7654 32"],
}
NOT_FOUND = [
    "on 2026-12-07 at 12:30, or 07/12/2026",
    "order 1234567, 1299.90 euro",
    "version 1.2.3, port 8080",
    "from 9 to 18, in 2 days",
    "10.0.0.12",
    "at @anna",
    "T-1001 and EL-5140",
]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in FOUND.items() for value in values])
def test_each_kind_is_found_wherever_it_stands(kind: str, value: str) -> None:
    """Alone, in a sentence, after a word and a colon, in brackets, in JSON."""
    for around in ("{}", "please use {}, thanks", "tel:{} now", "<{}>", '{{"a": "{}"}}', "2026-12-07 {}"):
        text = around.format(value)
        hidden = Pseudonyms(Finder()).hide(text)
        assert hidden == around.format(f"[{kind.upper()}_1]"), text


@pytest.mark.parametrize("text", NOT_FOUND)
def test_times_prices_and_numbers_of_things_stay(text: str) -> None:
    assert Pseudonyms(Finder()).hide(text) == text


def test_numbers_before_and_behind_hide_nothing() -> None:
    """A number may begin at any group of digits, also where telephones are not looked for."""
    names = Pseudonyms(Finder(kinds=("card", "iban")))
    assert names.hide("12 4111 1111 1111 1111 99") == "12 [CARD_1] 99"
    assert names.hide("ab12 IT60X0542811101000000123456 und ab34") == "ab12 [IBAN_1] und ab34"
    assert names.hide("IT60 GB82 WEST 1234 5698 7654 32 7") == "IT60 [IBAN_2] 7"
    every = Pseudonyms(Finder())
    long = "12 34 56 78 90 12 34 56 78 347 123 4567"
    assert every.hide(f"call {long} now") == "call [PHONE_1] now"


@pytest.mark.parametrize(
    "piece",
    [
        "1 ",
        "a@",
        "a.",
        "IT60",
        "ab12 ",
        "+ ( ",
        "[",
        "1",
        "1-",
        "11 ",
        "patient: ",
        'patient: "',
        "patient:      ",
        "patient: (",
        "patient: a,",
        "patient: a\n",
        "patient:\n",
        "patient:\n  ",
        "patient: 'a' ",
        "patient: “a” x ",
        "patient: “",
        "patient: ”a”x",
        "patient: [“a”] ",
        '{"patient": {',
        "<patient>",
        "<patient/>",
        "patient: |\n ",
        "\\",
        "4111;",
        "[4111]",
        "1</1>",
        "4111<td>",
        "IT60|X054|",
        "+39|",
        "41 6e ",
        "QW5u/",
        "annaRossi",
        "a.Rossi",
        "4 1 ",
        "4 11-",
        "4\n",
        "4,1,",
        "41111.",
        "4.11111 ",
        "%40",
        "a%2540",
        "&#64;",
        "&nbsp;1",
        "\\n1",
        '"a',
        '\\"a',
        "a'",
        "@a",
        "a@a。",
        "a@[1",
    ],
)
def test_no_text_keeps_it_busy(piece: str) -> None:
    """Four times as long takes about four times as long, not sixteen times; at most some microseconds a character."""
    finder = Finder(fields=("patient",))
    took = []
    for size in (20_000, 80_000):
        text = (piece * size)[:size]
        names = Pseudonyms(finder)
        names.learn({"patient": ["Anna Rossi", "a.b.c.d.e", "Rossi"]})
        took.append(seconds_of(partial(_hidden_or_refused, names, text)))
    assert took[1] < 10 * max(took[0], 0.01), took


def _hidden_or_refused(names: Pseudonyms, text: str) -> None:
    with suppress(CannotRedact):  # a value that never ends
        names.hide(text)


def test_one_value_has_one_placeholder_and_two_have_two() -> None:
    names = Pseudonyms(Finder())
    assert names.hide("a@x.org, b@x.org, a@x.org") == "[EMAIL_1], [EMAIL_2], [EMAIL_1]"
    assert names.hide("again b@x.org") == "again [EMAIL_2]"
    assert names.counts == {"email": 2}


def test_a_placeholder_that_somebody_wrote_is_not_taken_for_ours() -> None:
    """It would be read as another value."""
    names = Pseudonyms(Finder())
    assert names.hide("is [EMAIL_1] a@x.org?") == "is [EMAIL_1] [EMAIL_2]?"
    assert names.restore("[EMAIL_1] and [EMAIL_2]") == "[EMAIL_1] and a@x.org"


def test_escapes_of_json_hide_nothing() -> None:
    names = Pseudonyms(Finder(fields=("patient",)))
    assert names.hide_json('{"m": "a\\u0040x.org", "n": 3471234567}') == '{"m": "[EMAIL_1]", "n": "[PHONE_1]"}'
    assert names.hide('cut off {"m": "b\\u0040x.org') == 'cut off {"m": "[EMAIL_2]'
    assert (
        names.hide_json('{"Patient": {"name": "Mario"}, "patient": 5}')
        == '{"Patient": {"[PATIENT_1]": "[PATIENT_2]"}, "patient": "[PATIENT_3]"}'
    )


def test_values_come_back_into_json_as_json_holds_them() -> None:
    names = Pseudonyms(Finder(fields=("patient",)))
    hidden = names.hide_json(json.dumps({"patient": 'Mario "R" \\ Rossi\n'}))
    assert json.loads(names.restore(hidden, in_json=True)) == {"patient": 'Mario "R" \\ Rossi\n'}


def test_a_refusal_says_the_kind_and_never_the_value() -> None:
    finder = Finder(
        fields=("patient",), patterns=(("case", compile_safely(r"CASE-\d+")),), refuse=frozenset({"case", "patient"})
    )
    for text in ("see CASE-12345678", "patient: Rossi"):
        with pytest.raises(CannotRedact) as refused:
            Pseudonyms(finder).hide(text)
        assert (
            "must not leave" in str(refused.value)
            and "1234" not in str(refused.value)
            and "Rossi" not in str(refused.value)
        )
    with pytest.raises(CannotRedact):
        Pseudonyms(finder).hide_json('{"patient": "Rossi"}')


def test_a_pattern_is_looked_for_in_the_whole_of_a_long_text() -> None:
    """Also where it looks at so few characters at once that the text is read in windows."""
    pattern = compile_safely(r"[a-z]+ [a-z]+ CASE-\d+")
    assert pattern.longest < 5_000
    text = f"{'word ' * 3_000}his file CASE-77, {'word ' * 3_000}her file CASE-78"
    hidden = Pseudonyms(Finder(patterns=(("case", pattern),))).hide(text)
    assert "CASE-77" not in hidden and "CASE-78" not in hidden


@pytest.mark.parametrize("before", [*range(24), 1_500])
def test_a_match_is_seen_to_its_end_wherever_a_window_of_a_long_text_ends(before: int) -> None:
    """Also where what the window shows of it would be a match by itself."""
    pattern = compile_safely("name: .+;", whole=True)
    text = f"{' ' * (pattern.longest - before)}name: anna; {'x' * max(0, before - 20)}rossi;\n{' word' * 1_000}"
    assert pattern.longest < 5_000 < len(text)
    hidden = Pseudonyms(Finder(patterns=(("name", pattern),))).hide(text)
    assert hidden.split() == ["[NAME_1]", *["word"] * 1_000]


def test_what_the_manifest_says_is_what_is_looked_for() -> None:
    assert finder_of({"cloud": False}) is None
    finder = finder_of({"kinds": ["email"], "patterns": {"case": r"CASE-\d+"}})
    assert finder is not None
    assert Pseudonyms(finder).hide("a@x.org 3471234567 CASE-1") == "[EMAIL_1] 3471234567 [CASE_1]"


@pytest.mark.parametrize(
    ("pattern", "text", "hidden"),
    [
        (r"CASE-\d{4,8}", "CASE-12345678.", "[CASE_1]."),
        (r"CASE-\d{4,8}", "CASE-123456789", "[CASE_1]9"),
        (r"MRN \d+", "MRN 198877 of today", "[CASE_1] of today"),
        (r"ref(?:-[a-z]+)?", "ref-anna", "[CASE_1]"),
        (r"room [a-z]*", "room anna, " + "word " * 1_000 + "room rossi", "[CASE_1], " + "word " * 1_000 + "[CASE_2]"),
    ],
)
def test_all_that_a_pattern_finds_is_hidden_up_to_its_end(pattern: str, text: str, hidden: str) -> None:
    """Its end is what says who it is."""
    finder = finder_of({"kinds": [], "patterns": {"case": pattern}})
    assert finder is not None
    assert Pseudonyms(finder).hide(text) == hidden


_PIECES = st.sampled_from(
    [*(value for values in FOUND.values() for value in values), *NOT_FOUND, "[EMAIL_1]", "[", "]", "\n", "è", '"']
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=12)), max_size=12).map(" ".join))
def test_everything_comes_back(text: str) -> None:
    """What is hidden and restored is what it was, and to hide it twice changes nothing."""
    names = Pseudonyms(Finder())
    hidden = names.hide(text)
    assert names.restore(hidden) == text
    assert names.hide(text) == hidden


_PARTS = st.lists(
    st.sampled_from(["[EMAIL_1]", "[email_1]", "\\[EMAIL\\_1\\]", "[", "]", "\\", "_", "1", "E", "x", " ", "EMAIL_1"]),
    max_size=6,
).map("".join)


@given(st.one_of(_PARTS, st.text(alphabet="[]AEMIL_12 x", max_size=30)), st.integers(0, 60))
def test_a_piece_is_cut_before_what_may_become_a_placeholder(text: str, at: int) -> None:
    """Restored piece by piece it reads as restored at once."""
    names = Pseudonyms(Finder())
    names.hide("a@x.org")
    first, second = text[:at], text[at:]
    cut = may_begin(first)
    pieces = names.restore(first[:cut]) + names.restore(first[cut:] + second, after=first[:cut])
    assert pieces == names.restore(text)


@pytest.mark.parametrize(
    ("answer", "restored", "left"),
    [
        ("[email_1], [Email_1]", "a@x.org, a@x.org", []),
        (r"\[EMAIL\_1\], \[EMAIL\_1] and [EMAIL\_1]", "a@x.org, a@x.org and a@x.org", []),
        (r"C:\[EMAIL_1]", r"C:\a@x.org", []),
        ("row[email_1], f()[email_1] and row[EMAIL_1]", "row[email_1], f()[email_1] and rowa@x.org", ["[EMAIL_1]"]),
        (r"**EMAIL_1**, email\_1", r"**EMAIL_1**, email\_1", ["[EMAIL_1]"]),
        ("[EMAIL_2], EMAIL_12, MY_EMAIL_1, email 1", "[EMAIL_2], EMAIL_12, MY_EMAIL_1, email 1", []),
    ],
)
def test_a_placeholder_in_other_letters_comes_back_where_it_is_surely_meant(
    answer: str, restored: str, left: list[str]
) -> None:
    """Else it is told."""
    names = Pseudonyms(Finder())
    names.hide("a@x.org")
    assert (names.restore(answer), list(names.left)) == (restored, left)


def test_escapes_of_markdown_in_json_are_escaped_once_more() -> None:
    names = Pseudonyms(Finder())
    names.hide("a@x.org")
    assert json.loads(names.restore(json.dumps({"to": r"\[EMAIL\_1\]"}), in_json=True)) == {"to": "a@x.org"}


@pytest.mark.parametrize("typed", ["[email_1]", r"\[EMAIL\_1\]", "[Email_1]"])
def test_what_somebody_typed_in_other_letters_comes_back_as_typed(typed: str) -> None:
    """Before and behind the value that would have that placeholder."""
    for text in (f"{typed} and a@x.org", f"a@x.org and {typed}"):
        names = Pseudonyms(Finder())
        hidden = names.hide(text)
        assert "a@x.org" not in hidden and names.restore(hidden) == text


def test_a_value_of_a_field_has_one_placeholder_however_it_is_written() -> None:
    """In the answer it is spelled as where its field was named."""
    names = Pseudonyms(Finder(fields=("patient",)))
    names.learn({"patient": "Bob  Rossi (jr)"})
    assert names.hide("BOB ROSSI (JR) and bob\nrossi (jr), patient: Bob Rossi") == (
        "[PATIENT_1] and [PATIENT_1], patient: [PATIENT_2]"
    )
    assert names.restore("[PATIENT_1]") == "Bob  Rossi (jr)"


@pytest.mark.parametrize("value", ["Bob [CANBR]", "(Anna) Rossi", "«Canella» (II)", "Rossi, Eva.", "*Star*Ltd*"])
def test_no_bracket_of_a_value_is_left_behind(value: str) -> None:
    names = Pseudonyms(Finder(fields=("patient",)))
    names.learn([{"patient": value}])
    assert (
        names.hide(f"it is {value}, and {value} again\n{value}")
        == "it is [PATIENT_1], and [PATIENT_1] again\n[PATIENT_1]"
    )


def test_a_short_value_with_a_capital_letter_is_hidden_as_it_is_written() -> None:
    """One without ("no", "41") stands in most texts by accident, and so does one of two letters ("No")."""
    names = Pseudonyms(Finder(fields=("f",)))
    names.learn([{"f": each} for each in ("Anna", "B12", "no", "No", 41, "open", True)])
    assert names.hide("Anna, B12. No, there is no open room 41, anna: true") == (
        "[F_1], [F_2]. No, there is no open room 41, anna: true"
    )
    assert names.hide("Annabel, B123, xAnna") == "Annabel, B123, xAnna"


def test_a_short_name_has_one_placeholder_as_a_title_and_in_capitals() -> None:
    names = Pseudonyms(Finder(fields=("f",)))
    names.learn([{"f": "Bob"}, {"f": "EVA"}])
    assert names.hide("BOB and Bob and bob, Eva or EVA") == "[F_1] and [F_1] and bob, [F_2] or [F_2]"
    assert names.restore("[F_1] [F_2]") == "Bob EVA"


ROWS = "id | f | g\n1 | no | 41\n2 | yes | 7"
MARKS = tuple((ROWS.index(value), ROWS.index(value) + len(value), "f") for value in ("no", "41", "yes", "7"))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"it said {ROWS}.", "it said id | f | g\n1 | [F_1] | [F_2]\n2 | [F_3] | [F_4]."),
        ("a row: 2 |  yes  | 7", "a row: 2 |  [F_1]  | [F_2]"),
        ("cut: 1 | no | 4", "cut: 1 | [F_1] | 4"),
        ("cut: no | 41", "cut: [F_1] | [F_2]"),
        ("there is no 41 and yes, 7 or no", "there is no 41 and yes, 7 or no"),
        ("21 | no | 411", "21 | no | 411"),
    ],
)
def test_a_short_value_is_hidden_where_a_text_repeats_what_stood_around_it(text: str, hidden: str) -> None:
    names = Pseudonyms(Finder(fields=("f",)))
    names.learn_marked(ROWS, MARKS)
    assert names.hide(text) == hidden


def test_in_a_sentence_of_a_tool_both_neighbours_tell_a_short_value() -> None:
    """Else the next word alone would hide it in most texts."""
    text = "there is no dog"
    names = Pseudonyms(Finder(fields=("f",)))
    names.learn_marked(text, ((9, 11, "f"),))
    assert names.hide("there is no cat; so there is no dog.") == "there is no cat; so there is [F_1] dog."


def test_what_was_hidden_goes_on_in_the_same_words() -> None:
    """In another process: the same values, the same placeholders, none given twice, none that somebody typed."""
    finder = Finder(fields=("patient",))
    first = Pseudonyms(finder)
    first.learn({"patient": "Mario Rossi"})
    first.learn_marked(ROWS, MARKS)
    told = f"mail a@x.org or b@x.org, [PATIENT_1] is typed, MARIO ROSSI; {ROWS}"
    hidden = first.hide(told)
    kept = json.loads(json.dumps(first.as_json()))
    second = Pseudonyms(finder)
    second.goes_on(kept)
    assert second.hide("b@x.org of Mario Rossi: 2 | yes") == "[EMAIL_2] of [PATIENT_2]: 2 | [F_3]"
    assert second.hide("patient: Eva") == "patient: [PATIENT_3]"
    assert second.restore(hidden) == told.replace("MARIO ROSSI", "Mario Rossi")
    assert (second.counts, second.as_json()["taken"]) == ({**first.counts, "patient": 2}, ["[PATIENT_1]"])
    Pseudonyms(finder).goes_on({})  # of an older version
