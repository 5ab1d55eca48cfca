"""The body of a call is what the server's dialect wants."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from orchestrator.core.message import FunctionSchema, Message, ToolCall
from orchestrator.plugins.providers.addresses import MAKES
from orchestrator.plugins.providers.body import BodyMaker, Dialect
from orchestrator.ports.provider import ChatCall, Target

TARGET = Target("x", "http://127.0.0.1/v1", 'my "model"')
HI = (Message("user", "hi"),)
WEATHER = FunctionSchema("weather", "The weather", {"type": "object", "properties": {"place": {"type": "string"}}})
CLOCK = FunctionSchema("clock", "The time", {"type": "object", "properties": {}})
DIALECT = {make.kind: make.dialect for make in MAKES}


def body(dialect: Dialect, stream: bool = False, **fields: Any) -> Any:
    fields.setdefault("messages", HI)
    return json.loads(BodyMaker(dialect).chat(ChatCall(TARGET, **fields), stream))


def offered(sent: Any) -> list[str]:
    return [tool["function"]["name"] for tool in sent.get("tools", ())]


def test_a_bare_call_sends_nothing_that_was_not_asked_for() -> None:
    """No null, no default: only the model and the messages."""
    assert body(Dialect()) == {"model": 'my "model"', "messages": [{"role": "user", "content": "hi"}]}


def test_every_field_has_its_place() -> None:
    """Numbers, stops, log-probabilities and the extra fields of a call are all in the body."""
    sent = body(
        Dialect(),
        stream=True,
        temperature=0.0,
        max_tokens=5,
        seed=1,
        top_logprobs=2,
        stop=("END",),
        extra={"cache_prompt": True, "seed": 9},
    )
    del sent["model"], sent["messages"]
    assert sent == {
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "max_tokens": 5,
        "seed": 9,
        "logprobs": True,
        "top_logprobs": 2,
        "stop": ["END"],
        "cache_prompt": True,
    }


@pytest.mark.parametrize(
    ("kind", "stream", "size", "asked"),
    [
        ("llama-cpp", True, 5000, True),
        ("llama-cpp", True, 50, None),
        ("llama-cpp", False, 5000, None),
        ("vllm", True, 5000, None),
    ],
)
def test_who_tells_how_far_a_long_prompt_is_read_is_asked_to(
    kind: str, stream: bool, size: int, asked: bool | None
) -> None:
    """Only llama.cpp knows the field, and only a stream can tell."""
    sent = body(DIALECT[kind], stream, messages=(Message("user", "x" * size),))
    assert sent.get("return_progress") is asked


def test_a_conversation_with_calls_is_sent_as_it_was() -> None:
    """Calls and their results keep their ids."""
    call = ToolCall("call_1", "weather", '{"place":"Oslo"}')
    turns = (*HI, Message("assistant", "", (call,)), Message("tool", "rain", tool_call_id="call_1"))
    sent = body(Dialect(), messages=turns)["messages"]
    assert [Message.from_json(turn) for turn in sent] == list(turns)


@pytest.mark.parametrize(
    ("kind", "choice", "tools", "sent_choice"),
    [
        ("vllm", "", ["clock", "weather"], None),
        ("vllm", "auto", ["clock", "weather"], "auto"),
        ("vllm", "required", ["clock", "weather"], "required"),
        ("vllm", "weather", ["clock", "weather"], {"type": "function", "function": {"name": "weather"}}),
        ("llama-cpp", "weather", ["weather"], "required"),
        ("llama-cpp", "none", ["clock", "weather"], "none"),
        ("lm-studio", "weather", ["weather"], "required"),
        ("ollama", "", ["clock", "weather"], None),
        ("ollama", "required", ["clock", "weather"], None),
        ("ollama", "weather", ["weather"], None),
        ("ollama", "none", [], None),
    ],
)
def test_tool_choice_is_said_so_that_the_server_hears_it(
    kind: str, choice: str, tools: list[str], sent_choice: Any
) -> None:
    """Where a server ignores tool_choice, what must not be called is not offered; an absent choice is never null."""
    sent = body(DIALECT[kind], tools=(CLOCK, WEATHER), tool_choice=choice)
    assert offered(sent) == tools
    assert sent.get("tool_choice") == sent_choice
    assert None not in sent.values()


def test_a_schema_is_wrapped() -> None:
    """A schema goes in OpenAI's wrapper."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    sent = body(DIALECT["llama-cpp"], schema=schema, schema_name="route")["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "route", "strict": True, "schema": schema}}


def test_foundry_gets_the_schema_wrapped_and_bare() -> None:
    """Foundry Local takes the whole object for the schema, so it is both at once."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    sent = body(DIALECT["foundry-local"], schema=schema)["response_format"]["json_schema"]
    assert sent["schema"] == schema
    assert {name: sent[name] for name in schema} == schema


def test_tools_and_schemas_are_remembered_but_never_mixed_up() -> None:
    """Two schemas and two sets of tools through one maker each come out as themselves, also after many others."""
    maker = BodyMaker(Dialect())
    for number in range(1000):
        schema = {"const": number}
        tool = FunctionSchema(f"tool_{number}", "", {"type": "object", "properties": {}})
        sent = json.loads(maker.chat(ChatCall(TARGET, HI, tools=(tool,), schema=schema), stream=False))
        assert sent["response_format"]["json_schema"]["schema"] == schema
        assert offered(sent) == [f"tool_{number}"]


def test_a_number_that_json_cannot_hold_is_refused() -> None:
    """Infinity is no JSON, and is not sent."""
    with pytest.raises(ValueError, match="JSON"):
        body(Dialect(), temperature=float("inf"))


def test_a_long_history_costs_a_join() -> None:
    """The second call with 400 messages of history takes well below 0.5 ms of CPU."""
    history = tuple(Message("user" if turn % 2 else "assistant", "some words of it " * 12) for turn in range(400))
    maker, call = BodyMaker(Dialect()), ChatCall(TARGET, history, temperature=0.0, max_tokens=64)
    maker.chat(call, stream=False)
    costs = []
    for _ in range(20):
        before = time.process_time()
        maker.chat(call, stream=False)
        costs.append(time.process_time() - before)
    assert min(costs) < 0.0005
