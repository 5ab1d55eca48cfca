"""What a model wrote as arguments goes back to its server only in a form that every server reads."""

from __future__ import annotations

import json
import random

import pytest

from orchestrator.core.message import Message, ToolCall
from orchestrator.serve.steps.tools import as_sent_back
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Said, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, serving


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


class AsWritten(Script):
    """Hands over with these arguments, letter by letter."""

    def answer(self, asked: Asked, chance: random.Random) -> Said:
        return Said("", (ToolCall("1", "escalate", self.default),))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"reason": "is lost", "reason": "wants a person"}', "the model asked for a hand-over: wants a person"),
        ('{"reason": "wants\na person"}', "the model asked for a hand-over: wants\na person"),
        ('{"reason": "wants', "the model asked for a hand-over"),
    ],
)
async def test_whoever_takes_over_is_told_the_reason_that_can_be_read(arguments: str, why: str) -> None:
    """Of two the last one, as of all arguments: an answer that says one thing twice is asked for again, a hand-over is not."""
    small = agent_spec("small", tools=["shop"], escalate_to="large", escalate_when=["requested"])
    asked = Wanted(
        [small, agent_spec("large", models=["l"])],
        [FakeTool("shop", {"find": "x"})],
        bound={"m": ("m@1",), "l": ("m@2",)},
    )
    asked.models = {"m": model_spec("m"), "l": model_spec("l")}
    async with serving(asked, simulated(["m"], AsWritten(default=arguments)), simulated(["m"])) as served:
        result = await served.run("please")
    assert result.agent == "large" and f"handed over: {why}; " in result.why
