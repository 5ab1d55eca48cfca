"""What is read of a text beside the manifest's own reader: the same of the same text, wherever a user writes YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from orchestrator.app.routing.cases import read_cases
from orchestrator.manifest.edit import KeyPlace, set_key
from orchestrator.manifest.parse import parse
from orchestrator.manifest.yaml_reader import DEEPEST, load
from orchestrator.testing.script import read_script

TEXTS = (
    "a: [When do you open?, Are you open on Sunday?]",
    "a: {text: Are you open today?, agent: hours}",
    "a: [no, yes, on, 12:30, 012, 0x1f, 1_000, 2026-11-26, ~, true, 1e3, .5]",
    "a: 'é ✓ 😀'\nb: |\n  two\n  lines\n",
    "a: {b: [c, {d: e?}]}\r\nf: >-\r\n  g\r\n  h\r\n",
    '{"a": "\\u00e9", "b": [1, null, {"c": false}]}',
)


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_text_means_the_same_as_in_a_manifest(text: str) -> None:
    assert load(text) == parse("a.yaml", text).tree


def test_a_manifest_with_questions_in_brackets_can_be_edited() -> None:
    """As README.md and docs/routing.md write them; the places are right behind characters of several bytes, too."""
    text = "- {name: front, role: router}\n- name: hours\n  # ✓ é 😀\n  examples: [When do you open?, Are you open on Sunday?]\n"
    assert set_key(text, KeyPlace(1, 4), "confidence", "93%", ("role",)) == text.replace(
        "role: router", "role: router, confidence: 93%"
    )
    changed = set_key(text, KeyPlace(2, 3), "stages", ["lexical"], ("examples",))
    assert changed == text + "  stages: [lexical]\n"


def test_cases_are_read_so_too(tmp_path: Path) -> None:
    cases = tmp_path / "c.yaml"
    cases.write_text(
        "- {text: Are you open today?, agent: hours}\n- {text: no, agent: desk}\n- {text: 12:30, agent: ~}\n"
    )
    assert [(case.text, case.wanted) for case in read_cases(str(cases))] == [
        ("Are you open today?", ("hours",)),
        ("no", ("desk",)),
        ("12:30", ()),
    ]


def test_a_script_with_questions_in_brackets_is_read(tmp_path: Path) -> None:
    script = tmp_path / "s.yaml"
    script.write_text("rules: [{match: open?, say: 9 to 5}]\nsequence: [Which one?, That one?]\n")
    assert read_script(script).sequence == ("Which one?", "That one?")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, f"more than {DEEPEST} maps and lists"),
        ("a: " + "9" * 30, "digits"),
        ("a: [b", "did not find expected ',' or ']'"),
    ],
    ids=["deep", "number", "open"],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        load(text)
    assert told in str(caught.value.problem) and caught.value.problem_mark is not None
