"""A chat request as a simulated model sees it, whichever way it came in. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.ports.provider import ChatCall


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. ``messages`` and ``tools`` are in the OpenAI shape; ``body`` is the whole of it; ``key`` is its header
    ``Idempotency-Key``."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = ""
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    stream: bool = False
    with_usage: bool = False
    top_logprobs: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def last(self) -> Mapping[str, Any]:
        """The last message."""
        return self.messages[-1] if self.messages else {}

    @property
    def text(self) -> str:
        """The text of the last message of a user."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return _text(message)
        return ""

    @property
    def tool_result(self) -> str | None:
        """What a tool gave, where the conversation waits for the answer to it."""
        return _text(self.last) if self.last.get("role") == "tool" else None

    @property
    def prompt_characters(self) -> int:
        """The size of all messages."""
        return sum(len(_text(message)) for message in self.messages)

    @property
    def grammar(self) -> str:
        """The grammar that the answer must be of, wherever a make's field for it is; empty where there is none."""
        format_, outputs = self.body.get("response_format"), self.body.get("structured_outputs")
        places = (self.body, outputs, format_)
        names = ("grammar", "grammar", "lark_grammar")
        found = (place.get(name) for place, name in zip(places, names, strict=True) if isinstance(place, Mapping))
        return next((rules for rules in found if isinstance(rules, str)), "")

    def function_names(self) -> list[str]:
        """The functions that are offered."""
        return [str(tool["function"]["name"]) for tool in self.tools]

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Asked:
        """From a parsed HTTP body. Raises ``KeyError`` or ``TypeError`` where it is not of the protocol's shape."""
        return cls(
            model=str(body["model"]),
            messages=list(body["messages"]),
            tools=list(body.get("tools") or ()),
            tool_choice=_choice(body.get("tool_choice")),
            schema=_schema(body.get("response_format")),
            max_tokens=body.get("max_tokens") or body.get("max_completion_tokens"),
            stream=bool(body.get("stream")),
            with_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            top_logprobs=int(body.get("top_logprobs") or (1 if body.get("logprobs") else 0)),
            seed=body.get("seed"),
            stop=_stops(body.get("stop")),
            body=body,
        )

    @classmethod
    def from_call(cls, call: ChatCall, stream: bool) -> Asked:
        """From a call that never became HTTP."""
        messages = [message.as_json() for message in call.messages]
        tools = [tool.as_json() for tool in call.tools]
        body: dict[str, Any] = {"model": call.target.model, "messages": messages, **call.extra}
        if tools:
            body["tools"] = tools
        if call.temperature is not None:
            body["temperature"] = call.temperature
        return cls(
            model=call.target.model,
            messages=messages,
            tools=tools,
            tool_choice=call.tool_choice,
            schema=call.schema,
            max_tokens=call.max_tokens,
            stream=stream,
            with_usage=True,
            top_logprobs=call.top_logprobs,
            seed=call.seed,
            stop=call.stop,
            body=body,
            key=call.key,
        )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _choice(told: Any) -> str:
    if isinstance(told, Mapping):
        return str(told["function"]["name"])
    return str(told or "")


def _schema(told: Any) -> Mapping[str, Any] | None:
    if not isinstance(told, Mapping) or told.get("type") not in ("json_schema", "json_object"):
        return None
    wrapper = told.get("json_schema") or {}
    found = wrapper.get("schema") or told.get("schema") or {"type": "object"}
    return dict(found)


def _stops(told: Any) -> tuple[str, ...]:
    return (told,) if isinstance(told, str) else tuple(told or ())
