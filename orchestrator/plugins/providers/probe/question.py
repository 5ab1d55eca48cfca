"""What a probe asks. Each question is such that its answer shows whether the server did what was asked, whatever the model is
worth: the words never invite what the fields demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from orchestrator.core.message import FunctionSchema, Message
from orchestrator.ports.provider import ChatCall, Target

Name = Literal["tools", "named", "required", "none", "schema", "grammar", "logprobs", "usage"]

PLACES: Final = ("Oslo", "Rome")
WEATHER: Final = FunctionSchema(
    "weather",
    "The weather of a place.",
    {"type": "object", "properties": {"place": {"enum": list(PLACES)}}, "required": ["place"]},
)
CLOCK: Final = FunctionSchema("clock", "The time.", {"type": "object", "properties": {}})
ODD_ONE: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"animal": {"enum": ["zebra", "walrus"]}, "number": {"type": "integer", "enum": [7, 8]}},
    "required": ["animal", "number"],
    "additionalProperties": False,
}
WORDS: Final = ("zebra", "walrus")
GRAMMAR: Final = 'root ::= "zebra" | "walrus"'
GREETING: Final = "Say hello."
PATIENCE: Final = 60.0  # seconds for one answer


@dataclass(frozen=True, slots=True)
class Question:
    """One question. ``tries``: how often it is asked, with another seed, until the answer decides anything."""

    text: str
    tools: tuple[FunctionSchema, ...] = ()
    tool_choice: Any = None
    schema: Mapping[str, Any] | None = None
    top_logprobs: int = 0
    max_tokens: int = 128
    stream: bool = False
    grammar: bool = False
    tries: int = 1

    def call(self, target: Target, seed: int, more: Mapping[str, Any]) -> ChatCall:
        """The call. ``tool_choice`` goes as it is, past what a provider does about servers that do not know it."""
        extra = dict(more)
        if self.tool_choice is not None:
            extra["tool_choice"] = self.tool_choice
        return ChatCall(
            target,
            (Message("user", self.text),),
            tools=self.tools,
            schema=self.schema,
            temperature=0.0 if seed == 1 else 1.0,
            max_tokens=self.max_tokens,
            seed=seed,
            top_logprobs=self.top_logprobs,
            extra=extra,
            timeout=PATIENCE,
        )


_ASKS_FOR_TOOL: Final = "What is the weather in Oslo? Use the function weather."
_ASKS_FOR_CLOCK: Final = "What time is it? Use the function clock."

QUESTIONS: Final[Mapping[Name, Question]] = {
    "tools": Question(_ASKS_FOR_TOOL, (WEATHER,), max_tokens=256, tries=3),
    "required": Question(GREETING, (WEATHER,), "required", max_tokens=256, tries=3),
    "named": Question(
        _ASKS_FOR_CLOCK,
        (CLOCK, WEATHER),
        {"type": "function", "function": {"name": "weather"}},
        max_tokens=256,
        tries=3,
    ),
    "none": Question(_ASKS_FOR_TOOL, (WEATHER,), "none", max_tokens=64),
    "schema": Question(GREETING, schema=ODD_ONE, max_tokens=200, tries=3),
    "grammar": Question(GREETING, grammar=True, max_tokens=16),
    "logprobs": Question(GREETING, top_logprobs=2, max_tokens=4),
    "usage": Question(GREETING, max_tokens=8, stream=True),
}
