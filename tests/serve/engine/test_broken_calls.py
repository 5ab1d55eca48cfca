"""What a model wrote as arguments goes back to its server only in a form that every server reads."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.message import Message, ToolCall
from orchestrator.serve.steps.tools import as_sent_back


def sent_back(*arguments: str) -> list[str]:
    calls = tuple(ToolCall(str(number), "find", text) for number, text in enumerate(arguments))
    return [call.arguments for call in as_sent_back(Message("assistant", "", calls)).tool_calls]


@pytest.mark.parametrize("broken", ['{"kind": "ord', "{", "[1]", '"x"', "", '{"n": NaN}', "[" * 100_000])
def test_broken_arguments_go_back_as_an_empty_object(broken: str) -> None:
    """A real llama-server answers 500 to a conversation with such arguments in it, each time."""
    assert sent_back(broken) == ["{}"]


def test_arguments_with_raw_line_ends_are_written_again() -> None:
    """We read them, a strict reader does not."""
    assert [json.loads(text) for text in sent_back('{"note": "one\ntwo"}')] == [{"note": "one\ntwo"}]


def test_good_arguments_go_back_letter_by_letter() -> None:
    """So that the server's cache of the prompt still holds; the message is the very same."""
    wish = Message("assistant", "", (ToolCall("1", "find", '{ "sku" : "A1" }'),))
    assert as_sent_back(wish) is wish
