"""Calls that a model wrote into its text are read in the forms of common chat templates, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.written_call import written_calls

OFFERED = ("weather", "clock")
ONE = '{"name": "weather", "arguments": {"place": "Oslo"}}'
OTHER = '{"name": "clock", "arguments": {}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{ONE}</tool_call>",
        f"Let me look.\n<tool_call>\n{ONE}\n</tool_call>",
        f"<tool_call>\n{ONE}",
        f"[TOOL_CALLS][{ONE}]",
        f"<|python_tag|>{ONE}",
        f"functools[{ONE}]",
        ONE,
        f"[{ONE}]",
        f"```json\n{ONE}\n```",
        f"```\n{ONE}\n```",
        '{"name": "weather", "parameters": {"place": "Oslo"}}',
        '{"type": "function", "function": {"name": "weather", "arguments": {"place": "Oslo"}}}',
        '{"name": "weather", "arguments": "{\\"place\\": \\"Oslo\\"}"}',
    ],
)
def test_common_forms_are_read(text: str) -> None:
    """Each is the same call."""
    (call,) = written_calls(text, OFFERED)
    assert (call.name, json.loads(call.arguments)) == ("weather", {"place": "Oslo"})


def test_several_calls_come_in_their_order_with_ids_of_their_own() -> None:
    """In several tags or in one array."""
    for text in (f"<tool_call>{ONE}</tool_call><tool_call>{OTHER}</tool_call>", f"[{ONE}, {OTHER}]"):
        calls = written_calls(text, OFFERED)
        assert [call.name for call in calls] == ["weather", "clock"]
        assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is sunny in Oslo.",
        f"Use it like this: {ONE}",
        '{"name": "rm", "arguments": {}}',
        f'<tool_call>{ONE}</tool_call><tool_call>{{"name": "rm", "arguments": {{}}}}</tool_call>',
        "<tool_call>{broken</tool_call>",
        '{"name": "weather"}',
        '{"name": "weather", "arguments": 3}',
        '{"name": 3, "arguments": {}}',
        '{"temperature": 3}',
        "[1, 2]",
        "[" * 5000,
    ],
)
def test_anything_else_is_an_answer(text: str) -> None:
    """Also a call of something that was not offered, and an example within prose: nothing is carried out by guess."""
    assert written_calls(text, OFFERED) == ()


@given(st.text(), st.sampled_from(["", "<tool_call>", "[TOOL_CALLS]", "```json\n"]))
def test_no_text_breaks_the_reader(text: str, mark: str) -> None:
    """Whatever a model writes."""
    for call in written_calls(mark + text, OFFERED):
        assert call.name in OFFERED
