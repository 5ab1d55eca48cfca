"""YAML 1.2 by its core schema, with the place of every key and value."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.diagnostic import Place
from orchestrator.manifest.faults import Refused
from orchestrator.manifest.marks import Marks
from orchestrator.manifest.parse import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("~", None),
        ("", None),
        ("null", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("NaN", "NaN"),
        ("-", "-"),
        ("8GB", "8GB"),
        ("'true'", "true"),
        ('"12"', "12"),
        ("!x", "refused"),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(text: str, value: Any) -> None:
    """Norway stays Norway, times stay texts, quoted values stay texts."""
    if value == "refused":
        with pytest.raises(Refused):
            parse("a.yaml", f"k: {text}\n")
        return
    found = parse("a.yaml", f"k: {text}\n" if text != "-" else "k: '-'\n").tree["k"]
    assert (found, type(found)) == (value, type(value))


def test_every_key_and_value_has_its_place() -> None:
    """Lines and columns count from one; a part that spans lines is shown at its key."""
    marks = Marks(parse("a.yaml", "one:\n  - name: x\n    list: [7, 'eight']\ntwo: {three: 3}\n").mark)
    assert marks.value(("one", 0, "name")) == Place("a.yaml", 2, 11, 1)
    assert marks.key(("one", 0, "name")) == Place("a.yaml", 2, 5, 4)
    assert marks.value(("one", 0, "list", 1)) == Place("a.yaml", 3, 15, 7)
    assert marks.value(("two", "three")) == Place("a.yaml", 4, 14, 1)
    assert marks.value(("two",)) == Place("a.yaml", 4, 1, 3)
    assert marks.value(("two", "nothing", "here")) == Place("a.yaml", 4, 1, 3)
    assert marks.holds(("one", 0)) and not marks.holds(("one", 1))


def test_other_line_breaks_and_wide_letters_keep_places_right() -> None:
    """CRLF and letters beyond the basic plane count as one."""
    marks = Marks(parse("a.yaml", "a: 😀\r\n日本: [è, x]\r\n").mark)
    assert marks.value(("日本", 1)) == Place("a.yaml", 2, 9, 1)


def test_extension_keys_are_taken_out_where_keys_are_not_free() -> None:
    """``x-…`` below ``labels`` is a label; elsewhere it is gone, with everything below it."""
    text = "x-note: {a: '${NOT_SET}'}\nlabels: {x-team: blue}\nagents: [{x-y: 1, name: a}]\noutput_schema: {x-z: {x-w: 1}}\n"
    parsed = parse("a.yaml", text)
    assert parsed.tree == {
        "labels": {"x-team": "blue"},
        "agents": [{"name": "a"}],
        "output_schema": {"x-z": {"x-w": 1}},
    }
    assert parsed.dollars == []


def test_of_two_equal_keys_the_first_is_kept_and_the_second_told() -> None:
    """The rest of the file is still read."""
    parsed = parse("a.yaml", "a: 1\nb: 2\na: {c: 3}\nd: 4\n")
    assert parsed.tree == {"a": 1, "b": 2, "d": 4}
    assert [(one.code, one.place) for one in parsed.diagnostics] == [("ORC114", Place("a.yaml", 3, 1, 1))]


def test_numbers_as_keys_are_words() -> None:
    """A label may be called 7."""
    assert parse("a.yaml", "labels: {7: a, true: b}\n").tree == {"labels": {"7": "a", "true": "b"}}


def test_twenty_levels_are_fine_and_one_more_is_not() -> None:
    """The limit is exact."""
    parse("a.yaml", "k: " + "[" * 19 + "]" * 19)
    with pytest.raises(Refused):
        parse("a.yaml", "k: " + "[" * 20 + "]" * 20)
