"""The value of a named field is found however it is written, and where its end cannot be told, nothing is sent."""

# ruff: noqa: RUF001 - the signs that look like others are what is tested
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.field_values import CannotRedact, values_of
from orchestrator.core.personal import Finder, Pseudonyms

BOB = "Bob CANARY"


def hidden(text: str) -> str:
    """As it is sent, by the way that a message goes."""
    names = Pseudonyms(Finder(kinds=(), fields=("patient",)))
    sent = names.hide_json(text) if text.lstrip()[:1] in ("{", "[") else names.hide(text)
    assert names.restore(sent) == text or json.loads(text)
    return sent


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"patient": {"name": "CANARY", "age": 4}}', '{"patient": {"[PATIENT_1]": "[PATIENT_2]", "[PATIENT_3]": "[PATIENT_4]"}}'),
        ('{"patient": [{"a": ["CANARY"]}, true, null]}', '{"patient": [{"[PATIENT_1]": ["[PATIENT_2]"]}, "[PATIENT_3]", null]}'),
        ('see {"patient": {"name": "Bob } CANARY"}, "n": 1}', 'see {"patient": [PATIENT_1], "n": 1}'),
        ('see {"patient": ["Bob", {"x": "CANARY"}], "n": 1}', 'see {"patient": [PATIENT_1], "n": 1}'),
        ("see {'patient': {'name': \"O'Bob CANARY\"}, 'n': 1}", "see {'patient': [PATIENT_1], 'n': 1}"),
        (r'{\"patient\": \"Bob \\\"CANARY\\\"\", \"n\": 1}', r'{\"patient\": \"[PATIENT_1]\", \"n\": 1}'),
        (r'{\\\"patient\\\": {\\\"a\\\": \\\"Bob } CANARY\\\"}, \\\"n\\\": 1}', r'{\\\"patient\\\": [PATIENT_1], \\\"n\\\": 1}'),
        ('{"m": "{\\"patient\\": {\\"name\\": \\"Bob CANARY\\"}}"}', '{"m": "{\\"patient\\": [PATIENT_1]}"}'),
        ("it: <patient>Bob CANARY</patient>!", "it: <patient>[PATIENT_1]</patient>!"),
        ("<Patient id='CANARY'><n>Bob</n></Patient>.", "<Patient[PATIENT_1]>[PATIENT_2]</Patient>."),
        ('<x:patient note="a>b CANARY"/> and', "<x:patient[PATIENT_1]/> and"),
        ("<patient><patient>Bob</patient>CANARY</patient>", "<patient>[PATIENT_1]</patient>"),
        ("&lt;patient&gt;Bob CANARY&lt;/patient&gt;", "&lt;patient&gt;[PATIENT_1]&lt;/patient&gt;"),
        ("- patient: |\n    Bob\n\n    CANARY\n  other: x", "- patient: [PATIENT_1]\n  other: x"),
        ("patient: >-  # folded\n  Bob\n  CANARY\nother: x", "patient: [PATIENT_1]\nother: x"),
        ("patient:\n  name: Bob\n  more:\n    - CANARY\nother: x", "patient:\n  [PATIENT_1]\nother: x"),
        ("patient:\n- Bob\n- CANARY\nother: x", "patient:\n[PATIENT_1]\nother: x"),
        ("a:\n  patient: Bob\n    CANARY\n  other: x", "a:\n  patient: [PATIENT_1]\n  other: x"),
        ("patient:\n  \"Bob\": CANARY\nother: x", "patient:\n  [PATIENT_1]\nother: x"),
        ("patient:\r\n  Bob\r\n  CANARY\r\nother: x", "patient:\r\n  [PATIENT_1]\r\nother: x"),
        ("patient:\nBob CANARY\nother: x", "patient:\n[PATIENT_1]\nother: x"),
        ("patient:                Bob CANARY, 4", "patient:                [PATIENT_1], 4"),
        ("patient: O'Neil \"Bob\" CANARY\nmore", "patient: [PATIENT_1]\nmore"),
        ("**Patient**: Bob CANARY", "**Patient**: [PATIENT_1]"),
        ("['patient' => ['name' => 'Bob CANARY']]", "['patient' => [PATIENT_1]]"),
        ("('patient', patient=('Bob', 'CANARY'))", "('patient', patient=[PATIENT_1])"),
        ("patient: (Bob CANARY, you know", "patient: [PATIENT_1], you know"),
        ('{"note": "patient: Bob CANARY", "n": 1', '{"note": "patient: [PATIENT_1]", "n": 1'),
        ("patient: #4711 CANARY", "patient: [PATIENT_1]"),
        ("patient: 'it''s CANARY', 4", "patient: '[PATIENT_1]', 4"),
        ('patient = """Bob\nCANARY""" # so', 'patient = "[PATIENT_1]" # so'),
        ("patient\uff1a Bob CANARY", "patient\uff1a [PATIENT_1]"),
    ],
)  # fmt: skip
def test_the_value_is_hidden_and_nothing_beside_it(text: str, sent: str) -> None:
    assert hidden(text) == sent


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("“patient”: “Bob, CANARY”", "“patient”: “[PATIENT_1]”"),
        ("so {“patient”: “Bob, CANARY”, “age”: 3}", "so {“patient”: “[PATIENT_1]”, “age”: 3}"),
        ("patient: “Bob, O’CANARY” is ill", "patient: “[PATIENT_1]” is ill"),
        ("„patient“: „Bob “x”, CANARY“.", "„patient“: „[PATIENT_1]“."),
        ("”patient”: ”Bob, CANARY”", "”patient”: ”[PATIENT_1]”"),
        ("« patient » : « Bob, CANARY »", "« patient » : «[PATIENT_1]»"),
        ("‘patient’: ‘O’Neil, CANARY’, x", "‘patient’: ‘[PATIENT_1]’, x"),
        ("「patient」：「Bob, CANARY」", "「patient」：「[PATIENT_1]」"),
        ("patient: 「山田, CANARY」さん", "patient: 「[PATIENT_1]」さん"),
        ("＂patient＂: ＂Bob, CANARY＂", "＂patient＂: ＂[PATIENT_1]＂"),
        ("`patient`: `Bob, CANARY`, `age`: `3`", "`patient`: `[PATIENT_1]`, `age`: `3`"),
        ("patient: ''Bob, CANARY'' and", "patient: ''[PATIENT_1]'' and"),
        ('patient:\u00a0"Bob, CANARY"', 'patient:\u00a0"[PATIENT_1]"'),
        ("so {“patient”: {“name”: “Bob}, CANARY”}, “n”: 1}", "so {“patient”: [PATIENT_1], “n”: 1}"),
        ('so {"patient": {"name": "the “x} CANARY"}, "n": 1}', 'so {"patient": [PATIENT_1], "n": 1}'),
        ("patient:\n  “Bob,\n  CANARY”\nother: x", "patient:\n  [PATIENT_1]\nother: x"),
        ("patient: ‘Bob’ and ‘Eve’", "patient: ‘[PATIENT_1]’ and ‘Eve’"),
        ("patient: “”, ``, x", "patient: “”, ``, x"),
        ("patient: ””, x", "patient: ””, x"),
    ],
)  # fmt: skip
def test_quotes_that_json_does_not_know_hide_nothing_from_us(text: str, sent: str) -> None:
    """A keyboard or a word processor writes them of itself, of a text that was JSON."""
    assert hidden(text) == sent


@pytest.mark.parametrize(
    "text",
    [
        'see {"patient": {"name": "Bob CANARY"',
        "“patient”: “Bob CANARY",
        "patient: „Bob „x“ CANARY",
        'cut off {"patient": "Bob CANARY',
        "patient: 'Bob CANARY",
        "it: <patient>Bob CANARY",
        "Bob CANARY</patient>",
        "<patient name='Bob CANARY",
        "patient: |\nBob CANARY",
        r"{\"patient\": {\"name\": \"Bob CANARY\"",
    ],
)
def test_where_its_end_cannot_be_told_nothing_is_sent(text: str) -> None:
    """And the reason does not quote it."""
    with pytest.raises(CannotRedact, match=r"^how far the value of the field patient goes cannot be told$"):
        hidden(text)


@pytest.mark.parametrize(
    "text", ["the patient said so", "patient:", "patient: , x", '{"patient": "", "n": 1} x', "impatient: yes"]
)
def test_where_nothing_is_said_of_it_nothing_is_hidden(text: str) -> None:
    assert hidden(text) == text


def test_a_field_that_is_refused_is_refused_in_every_form() -> None:
    names = Pseudonyms(Finder(kinds=(), fields=("patient",), refuse=frozenset({"patient"})))
    for text in ('{"patient": {"name": "Bob"}}', '{"patient": false}', '{"a": {"patient": ["Bob"]}}'):
        with pytest.raises(CannotRedact, match="must not leave"):
            names.hide_json(text)
    with pytest.raises(CannotRedact, match="must not leave"):
        names.hide("<patient>Bob</patient>")
    assert names.hide_json('{"patient": {}}') == '{"patient": {}}'


def test_letters_of_the_name_may_be_escaped() -> None:
    text = r'see {"paci\u00ebnt": "Bob CANARY"}'
    assert [text[start:end] for start, end in values_of("paciënt", text)] == [BOB]


_plain = st.none() | st.booleans() | st.integers() | st.text("ab CANRY\"'{}[]<>:,\\\n|-é", max_size=12)
_keys = st.text('ab"{:', max_size=3)
_values = st.recursive(_plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3))


@given(_values, st.integers(0, 3), st.sampled_from(["", "so: ", "- "]), st.sampled_from([None, 2]))
def test_of_json_at_any_depth_nothing_of_the_value_is_sent(
    value: object, depth: int, before: str, indent: int | None
) -> None:
    """However often it was written into a text of JSON, and with whatever before it."""
    marked = {"other": 1, "patient": {"CANARY": value, "last": [value, BOB]}, "end": 2}
    text = json.dumps(marked, indent=indent)
    for _ in range(depth):
        text = json.dumps(text)
    sent = hidden(before + text)
    assert "CANARY" not in sent and "other" in sent and "end" in sent
