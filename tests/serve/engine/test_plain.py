"""What a tool or a model gives is made plain and whole where it comes in, so that nothing fails over it later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.message import Message, ToolCall
from orchestrator.core.schema_check import check_arguments
from orchestrator.gateway.lines import line
from orchestrator.ports.tool import ToolOutcome
from orchestrator.serve.session import Sessions
from orchestrator.serve.steps.plain import DEEPEST, plain_outcome, read_model_json
from orchestrator.serve.steps.tools import as_sent_back
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.fakes import MemorySessions
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, rule, serving

SAYS = rule("There is {{ result }}.", call="files.names")


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.anyio
async def test_a_tool_that_gives_half_a_character_gives_the_rest() -> None:
    """A name of a file that is no UTF-8 is answered with U+FFFD for what cannot be said, in a session and out of it."""
    kept = MemorySessions()
    wanted = Wanted([agent_spec("a", tools=["files"], reflex=[SAYS])], [FakeTool("files", {"names": "caf\udce9.txt"})])
    async with serving(wanted, sessions=Sessions(kept)) as served:
        for session in ("", "s1"):
            result = await served.run("list", session=session)
            assert (result.text, result.value) == ("There is caf\ufffd.txt.", "caf\ufffd.txt")
    assert json.loads(kept.turns["shop", "s1"][1].encoded())["content"] == "There is caf\ufffd.txt."


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({(1, 2): 3}, "keys must be str, int, float, bool or None, not tuple"),
        (deep(3000), ""),
        (deep(DEEPEST + 1), "it is nested more than 100 levels deep"),
    ],
    ids=["keys", "deeper than Python", "deep"],
)
async def test_a_tool_that_gives_no_json_value_has_failed(value: Any, fault: str) -> None:
    """The run ends with the fault of the tool, by its name; nothing that cannot be written comes further."""
    wanted = Wanted([agent_spec("a", tools=["files"], reflex=[SAYS])], [FakeTool("files", {"names": value})])
    async with serving(wanted) as served:
        result = await served.run("list")
    assert result.error is not None
    assert result.error["kind"] == "ToolFailed"
    assert result.error["message"].startswith("files.names gave something that is no JSON value: ")
    assert fault in result.error["message"]


def test_a_value_that_is_plain_already_is_handed_on_as_it_is() -> None:
    """What is no plain value becomes its text; all else stays the same object."""
    value = {"a": [1, "é", None, True], "deep": deep(DEEPEST - 1)}
    assert plain_outcome("f", ToolOutcome(value)).value is value
    assert plain_outcome("f", ToolOutcome([1j, "\ud83d\ude00"], "\ud83d")) == ToolOutcome(["1j", "😀"], "\ufffd")


@pytest.mark.anyio
async def test_half_a_character_in_a_models_call_reaches_the_tool_and_the_server_mended() -> None:
    """An escape for half a character in the arguments is none of the tool's worry, nor of the server that gets it again."""
    tool = FakeTool("files", {"find": "found"})
    script = Script((Rule(calls=(("files_find", {"name": "caf\ud83d"}),), say="done"),))
    async with serving(Wanted([agent_spec("a", tools=["files"])], [tool]), simulated(["m"], script=script)) as served:
        result = await served.run("find it")
    assert result.text == "done"
    assert tool.calls[0][1] == {"name": "caf\ufffd"}
    sent_back = as_sent_back(Message("assistant", "", (ToolCall("c", "f", '{"a": "\\ud83d"}'),)))
    assert json.loads(sent_back.tool_calls[0].arguments) == {"a": "\ufffd"}


@pytest.mark.parametrize("text", ["[" * 150 + "]" * 150, "[" * 100_000, '{"a":' * 101 + "1" + "}" * 101])
def test_json_of_a_model_that_is_too_deep_is_no_answer(text: str) -> None:
    """Said as any other fault of its JSON; a hundred levels are read."""
    with pytest.raises(ValueError, match="it is nested more than 100 levels deep"):
        read_model_json(text)
    assert read_model_json("[" * 100 + "]" * 100)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400 + ".5", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_cannot_write_is_no_json(number: str) -> None:
    """It would be read as infinite, and written as a word that other readers refuse."""
    with pytest.raises(ValueError, match=r"is too large a number|is no JSON"):
        read_model_json(f'{{"price": [{number}]}}')
    listed = {"type": "object", "properties": {"prices": {"type": "array"}, "n": {"type": "number"}}}
    assert check_arguments({"prices": f"[{number}]"}, listed).fault
    assert not check_arguments({"prices": "[1.5]", "n": 10**400}, listed).fault


@pytest.mark.anyio
async def test_what_a_plug_in_of_another_package_says_can_be_written() -> None:
    """A provider or a strategy that lets half a character through spoils its own text, and no listener or store."""
    wanted = Wanted([agent_spec("a")])
    async with serving(wanted, simulated(["m"], script=Script(default="half \ud83d"))) as served:
        result = await served.run("hi")
    assert json.loads(line(result.as_json()))["text"] == "half \ufffd"
