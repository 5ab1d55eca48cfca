"""Setting a key of a text: the key is there afterwards, and every other character is as before."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.manifest.edit import KeyPlace, NotEditable, set_key

ORDER = ("name", "role", "stages")
BLOCK = """\
agents:
  # in front
  - name: front   # the router
    role: router  # chooses

    # who gets what
    routes: [a, b]
  - name: a
"""


def set_here(text: str, key: str = "confidence", value: str | list[str] = "83%", name: str = "front") -> str:
    """With the key set in the map whose ``name`` this is."""
    line = next(number for number, each in enumerate(text.split("\n"), 1) if f"name: {name}" in each)
    return set_key(text, KeyPlace(line, text.split("\n")[line - 1].index("name:") + 1), key, value, ORDER)


def test_a_new_key_stands_behind_its_anchor_with_the_same_indentation() -> None:
    assert set_here(BLOCK) == BLOCK.replace("# chooses\n", "# chooses\n    confidence: 83%\n")


def test_a_key_that_is_there_keeps_its_place_and_comment() -> None:
    text = BLOCK.replace("routes:", "confidence: 0.5  # guessed\n    routes:")
    assert set_here(text) == text.replace("0.5", "83%")


def test_a_map_on_one_line_stays_on_one_line() -> None:
    text = "agents:\n  - {name: front, role: router, routes: [a]}  # all\n"
    assert set_here(text) == text.replace("router,", "router, confidence: 83%,")
    assert set_here(text, "stages", ["lexical"]) == text.replace("router,", "router, stages: [lexical],")


def test_json_stays_json_on_one_line_and_over_lines() -> None:
    """In quotes, and a new key begins a line where the others do."""
    plain = {"agents": [{"name": "front", "role": "router", "stages": ["intent"], "default": "a"}]}
    for indent, after in ((None, '"router", "confidence": "83%", '), (2, '"router",\n      "confidence": "83%",\n')):
        text = json.dumps(plain, indent=indent)
        line = next(number for number, each in enumerate(text.split("\n"), 1) if '"name"' in each)
        near = KeyPlace(line, text.split("\n")[line - 1].index('"name"') + 1)
        once = set_key(text, near, "confidence", "83%", ("name", "role"))
        assert after in once
        twice = set_key(once, near, "stages", ["rules", "lexical"], ORDER)
        again = json.loads(set_key(twice, near, "routing", {"confidence": "83%"}, ORDER))
        more = {"confidence": "83%", "stages": ["rules", "lexical"], "routing": {"confidence": "83%"}}
        assert again == {"agents": [{**plain["agents"][0], **more}]}


def test_a_list_over_lines_keeps_the_comments_of_its_items() -> None:
    text = "- name: front\n  stages:\n    - rules  # exact\n    # words\n    - lexical\n    - intent\n  default: a\n"
    changed = set_here(text, "stages", ["rules", "keyword", "intent", "lexical"])
    items = "    - rules  # exact\n    - keyword\n    - intent\n    # words\n    - lexical\n"
    assert changed == f"- name: front\n  stages:\n{items}  default: a\n"


def test_a_new_key_stands_behind_a_list_over_lines() -> None:
    text = "- name: front\n  stages:\n    - rules\n    - lexical  # words\n# end\n  default: a\n"
    assert set_here(text) == text.replace("# words\n", "# words\n  confidence: 83%\n")


def test_line_ends_stay_and_a_missing_last_one_is_written() -> None:
    assert set_here(BLOCK.replace("\n", "\r\n")) == set_here(BLOCK).replace("\n", "\r\n")
    assert set_here("- name: front\n  role: router") == "- name: front\n  role: router\n  confidence: 83%\n"


def test_a_value_from_a_variable_is_left_alone() -> None:
    with pytest.raises(NotEditable, match="variable"):
        set_here("- name: front\n  confidence: ${SURE:-80%}\n")


def test_what_runs_over_lines_is_no_place_for_one_value() -> None:
    with pytest.raises(NotEditable, match="runs over lines"):
        set_here("- name: front\n  confidence:\n    a: b\n")
    with pytest.raises(NotEditable, match="no key stands"):
        set_key("a: b\n", KeyPlace(9, 1), "confidence", "83%", ORDER)
    with pytest.raises(NotEditable, match="cannot be read"):
        set_key("a: [\n", KeyPlace(1, 1), "confidence", "83%", ORDER)


NAMES = st.lists(st.sampled_from(["rules", "keyword", "lexical", "semantic", "intent"]), min_size=1, unique=True)
COMMENTS = st.sampled_from(["", "  # why", "\n  # a line"])


@st.composite
def routers(draw: st.DrawFn) -> str:
    """A router with its stages on one line, over lines, or without any, and comments beside and between."""
    before, comment = draw(NAMES), draw(COMMENTS)
    on_lines = "".join(f"\n  - {name}{'  # n' * (name == 'rules')}" for name in before)
    stages = draw(st.sampled_from(["", f"  stages: [{', '.join(before)}]{comment}\n", f"  stages:{on_lines}\n"]))
    text = f"- name: front{comment}\n  role: router\n{stages}  default: a\n- name: b\n"
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(routers(), NAMES)
def test_what_is_set_is_read_and_nothing_else_changes(text: str, wanted: list[str]) -> None:
    changed = set_here(text, "stages", wanted)
    old, new = yaml.safe_load(text), yaml.safe_load(changed)
    old[0]["stages"] = wanted
    assert new == old
    assert changed.count("# why") == text.count("# why") and changed.count("# a line") == text.count("# a line")
    assert ("\r" in changed) is ("\r" in text) and changed.count("\n") == changed.count(
        "\r\n" if "\r" in text else "\n"
    )
