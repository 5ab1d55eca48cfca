"""The JSON body of a chat call, put together from parts that are encoded once: messages keep their own JSON, tools and
schemas are remembered. A history of 400 messages costs a join, not an encoding. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from orchestrator.core.message import FunctionSchema
from orchestrator.ports.provider import ChatCall

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_WORDS: Final = frozenset(("", "auto", "none", "required"))
_REMEMBERED: Final = 256
_LONG: Final = 4096
"""Bytes of a prompt from which on its server is asked to tell how far it has read: what is shorter is read soon."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a make of server departs from the OpenAI protocol.

    ``tool_choice``: ``full`` (a function may be named), ``words`` (only auto, none and required; a named function is
    the only one offered, and required), ``offer`` (the field has no effect: what must not be called is not offered).
    ``schema``: ``wrapped`` as OpenAI has it, or ``both`` (wrapper and bare schema in one object). ``grammar``: the field
    that takes one. ``progress``: whether it tells in a stream how far it has read the prompt, where it is asked to.
    """

    tool_choice: Literal["full", "words", "offer"] = "full"
    schema: Literal["wrapped", "both"] = "wrapped"
    grammar: Literal["grammar", "structured_outputs", "lark_grammar"] = "grammar"
    progress: bool = False


def grammar_fields(dialect: Dialect, rules: str) -> dict[str, Any]:
    """The fields of a call that must be answered by a grammar (GBNF; rules without quantifiers are Lark's too)."""
    if dialect.grammar == "structured_outputs":
        return {"structured_outputs": {"grammar": rules}}
    if dialect.grammar == "lark_grammar":
        rules = rules.replace("root ::=", "start:")
        return {"response_format": {"type": "lark_grammar", "lark_grammar": rules}}
    return {"grammar": rules}


class _Remembered:
    """Encoded forms by the identity of what was encoded. The original is kept too, so an identity is never reused."""

    def __init__(self) -> None:
        self._forms: dict[tuple[int, str], tuple[object, bytes]] = {}

    def form_of(self, value: Any, purpose: str, plain: Any) -> bytes:
        """The JSON of ``plain()``, made once for each ``value`` and purpose."""
        known = self._forms.get((id(value), purpose))
        if known is not None:
            return known[1]
        if len(self._forms) >= _REMEMBERED:
            self._forms.pop(next(iter(self._forms)))
        form = _ENCODER.encode(plain()).encode()
        self._forms[id(value), purpose] = (value, form)
        return form


class BodyMaker:
    """Encodes calls in one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._remembered = _Remembered()

    def chat(self, call: ChatCall, stream: bool) -> bytes:
        """The body of ``POST chat/completions``. Raises ``ValueError`` for a value that JSON cannot hold."""
        parts = [
            b'{"model":',
            _ENCODER.encode(call.target.model).encode(),
            b',"messages":[',
            b",".join([message.encoded() for message in call.messages]),
            b"]",
        ]
        if call.tools:
            self._add_tools(parts, call)
        if call.schema is not None:
            parts += (b',"response_format":', self._response_format(call.schema, call.schema_name))
        fields = _plain_fields(call, stream)
        if stream and self._dialect.progress and sum(map(len, parts)) >= _LONG:
            fields.setdefault("return_progress", True)
        parts += (b",", _ENCODER.encode(fields).encode()[1:]) if fields else (b"}",)
        return b"".join(parts)

    def _add_tools(self, parts: list[bytes], call: ChatCall) -> None:
        offered, choice = _offered(call.tools, call.tool_choice, self._dialect)
        if not offered:
            return
        source = call.tools if len(offered) == len(call.tools) else offered[0]
        parts += (b',"tools":', self._remembered.form_of(source, "tools", lambda: [tool.as_json() for tool in offered]))
        if choice:
            parts += (b',"tool_choice":', _ENCODER.encode(choice).encode())

    def _response_format(self, schema: Mapping[str, Any], name: str) -> bytes:
        return self._remembered.form_of(schema, f"schema {name}", lambda: self._schema_form(schema, name))

    def _schema_form(self, schema: Mapping[str, Any], name: str) -> dict[str, Any]:
        wrapper = {"name": name, "strict": True, "schema": dict(schema)}
        if self._dialect.schema == "both":
            wrapper = {**schema, **wrapper}
        return {"type": "json_schema", "json_schema": wrapper}


def _offered(
    tools: Sequence[FunctionSchema], choice: str, dialect: Dialect
) -> tuple[Sequence[FunctionSchema], str | dict[str, Any]]:
    """Which tools are sent, and the ``tool_choice`` beside them (empty: none is sent)."""
    named = [tool for tool in tools if tool.name == choice] if choice not in _WORDS else []
    if dialect.tool_choice == "full":
        return tools, {"type": "function", "function": {"name": choice}} if choice not in _WORDS else choice
    if choice not in _WORDS:
        return named, "required" if dialect.tool_choice == "words" else ""
    if dialect.tool_choice == "offer":
        return () if choice == "none" else tools, ""
    return tools, choice


def _plain_fields(call: ChatCall, stream: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if stream:
        fields["stream"] = True
        fields["stream_options"] = {"include_usage": True}
    if call.temperature is not None:
        fields["temperature"] = call.temperature
    if call.max_tokens is not None:
        fields["max_tokens"] = call.max_tokens
    if call.seed is not None:
        fields["seed"] = call.seed
    if call.stop:
        fields["stop"] = list(call.stop)
    if call.top_logprobs:
        fields["logprobs"] = True
        fields["top_logprobs"] = call.top_logprobs
    fields.update(call.extra)
    return fields
