"""Chat messages and tool calls. Each message keeps its JSON form, so that a long history is encoded once, not per call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from orchestrator.core.marks import Mark, marks_from
from orchestrator.core.record import record
from orchestrator.core.surrogates import utf8

Role = Literal["system", "user", "assistant", "tool"]
_as_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@record
class ToolCall:
    """A model's wish to call a function. ``arguments`` is JSON text as the model wrote it, not yet checked."""

    id: str
    name: str
    arguments: str


@record
class Message:
    """One turn of a conversation. ``marks`` tell where values of named fields stand in what a tool gave, or in a turn of a session
    that such a value was repeated in; servers get none."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    marks: tuple[Mark, ...] = ()
    _encoded: list[bytes] = field(default_factory=list, repr=False, compare=False)

    def encoded(self) -> bytes:
        """The OpenAI-shaped JSON object as UTF-8, made on first use and kept."""
        if not self._encoded:
            self._encoded.append(utf8(_as_json(self.as_json())))
        return self._encoded[0]

    def as_json(self) -> dict[str, Any]:
        """The OpenAI chat-completions shape."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            out["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        if self.tool_call_id:
            out["tool_call_id"] = self.tool_call_id
        return out

    def as_kept(self) -> dict[str, Any]:
        """For what is kept, and for another node: with its marks."""
        return {**self.as_json(), "marks": [list(each) for each in self.marks]} if self.marks else self.as_json()

    @classmethod
    def from_kept(cls, value: Mapping[str, Any]) -> Message:
        """What ``as_kept`` gave. Raises ``ValueError`` where it is none."""
        plain = cls.from_json(value)
        marks = marks_from(value.get("marks", ()), plain.content)
        return replace(plain, marks=marks, _encoded=[]) if marks else plain

    @classmethod
    def from_json(cls, value: object) -> Message:
        """From the OpenAI shape; raises ``ValueError`` that says what of it is not of that shape. Whether its role and its
        content are what they may be is looked at where a request is checked."""
        if not isinstance(value, Mapping) or "role" not in value:
            raise ValueError("is no object with a role and a content")
        content, calls = value.get("content"), value.get("tool_calls") or ()
        if not isinstance(calls, (list, tuple)):
            raise ValueError("has tool_calls that are no list")
        answers = value.get("tool_call_id") or ""
        if not isinstance(answers, str):
            raise ValueError("has a tool_call_id that is no text")
        return cls(value["role"], "" if content is None else content, tuple(map(_call, calls)), answers)


def _call(value: object) -> ToolCall:
    function = value.get("function") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(function, Mapping):
        raise ValueError("has a tool call without a function")
    number, name, arguments = value.get("id"), function.get("name"), function.get("arguments")
    if not (isinstance(number, str) and isinstance(name, str) and isinstance(arguments, str)):
        raise ValueError("has a tool call whose id, name and arguments are not all texts")
    return ToolCall(number, name, arguments)


KEEP_TURNS: Final = 400
"""Messages of a session that are kept, in memory and where a store says no other number."""


def forgotten(roles: Sequence[str], most: int) -> int:
    """How many of a session's messages, the oldest first, are forgotten: so many that at most ``most`` stay and the first of
    them is a user's, because an answer or a tool's result without its question misleads a model. None where no user's would
    be left."""
    first = max(0, len(roles) - most)
    return next((at for at in range(first, len(roles)) if roles[at] == "user"), 0) if first else 0


def newest(messages: tuple[Message, ...], most: int) -> tuple[Message, ...]:
    """What is left of a session's messages."""
    return messages if len(messages) <= most else messages[forgotten([each.role for each in messages], most) :]


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """A function as a model sees it: name (``[a-zA-Z0-9_-]{1,64}``), description, and a JSON Schema of its parameters."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The OpenAI ``tools`` entry."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)},
        }


@record
class Usage:
    """Tokens and calls spent; adds up with ``+``. ``estimated`` where a server told no counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.model_calls + other.model_calls,
            self.tool_calls + other.tool_calls,
            self.estimated or other.estimated,
        )

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens
