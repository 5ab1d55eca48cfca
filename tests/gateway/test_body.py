"""What a body may hold: every fault is 400 with the field's name, and what the caller wrote is asked for as it stands."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.gateway.conftest import OpenDoor
from tests.serve.engine.parts import Wanted, agent_spec

pytestmark = pytest.mark.anyio
AGENT = Wanted([agent_spec("a")])
HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def turns(*before: Any) -> list[Any]:
    """A history, and then the user."""
    return [*before, *HELLO]


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"model": ""}, "model", "model must be the name of a deployment"),
        ({"model": "shop/"}, "model", "model must be the name of a deployment, not 'shop/'"),
        ({"model": "/a"}, "model", "model must be the name of a deployment, not '/a'"),
        ({"model": 7}, "model", "model must be the name of a deployment, not 7"),
        ({"model": "shop/" + "a" * 201}, "model", "model is too long: 201 characters; at most 200"),
        ({"messages": []}, "messages", "messages must be a list that is not empty"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages", r"messages\[0\] has no known role"),
        ({"messages": [{"role": [], "content": "x"}]}, "messages", r"messages\[0\] has no known role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "the last message must be the user's"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "no text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}, "messages", "no text"),
        ({"messages": turns({"role": "user", "content": 7})}, "messages", r"messages\[0\] holds something that is no"),
        (
            {"messages": turns({"role": "tool", "content": "x"})},
            "messages",
            r"messages\[0\] has the role 'tool' and answers no call; give its tool_call_id",
        ),
        (
            {"messages": turns({"role": "tool", "content": "x", "tool_call_id": 7})},
            "messages",
            r"messages\[0\] has a tool_call_id that is no text",
        ),
        ({"messages": turns({"role": "assistant", "tool_calls": 7})}, "messages", "has tool_calls that are no list"),
        ({"messages": turns({"role": "assistant", "tool_calls": ["f"]})}, "messages", "a tool call without a function"),
        ({"messages": turns({"role": "assistant", "tool_calls": [{**CALL, "id": 7}]})}, "messages", "not all texts"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "'tools' cannot be used here"),
        ({"tools": {"type": "text"}}, "tools", "'tools' cannot be used here"),
        ({"response_format": {"type": "json_object"}}, "response_format", "give the agent an output_schema"),
        ({"n": 2}, "n", "'n' must be 1"),
        ({"n": True}, "n", "'n' must be 1"),
        ({"n": "1"}, "n", "'n' must be 1"),
        ({"logprobs": True}, "logprobs", "'logprobs' cannot be used here"),
        ({"temperature": "hot"}, "temperature", "the option temperature cannot be 'hot'; it is a number from 0 to 2"),
        ({"temperature": 3}, "temperature", "the option temperature cannot be 3; it is a number from 0 to 2"),
        ({"max_tokens": 0}, "max_tokens", "the option max_tokens cannot be 0; it is a whole number of at least 1"),
        ({"max_tokens": True}, "max_tokens", "the option max_tokens cannot be True; it is a whole number"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens", "the option max_completion_tokens cannot be 1.5"),
        (
            {"max_tokens": 5, "max_completion_tokens": 6},
            "max_completion_tokens",
            "max_tokens and max_completion_tokens differ; give one of them",
        ),
        ({"stop": [1]}, "stop", r"the option stop cannot be \[1\]; it is a text or a list of texts"),
        ({"timeout": "soon"}, "timeout", "timeout: 'soon' is no duration; write it like 30s"),
        ({"timeout": [1]}, "timeout", r"timeout: \[1\] is no duration; write it like 30s"),
        ({"timeout": 0}, "timeout", "timeout is seconds, more than 0, not 0"),
        ({"timeout": "0s"}, "timeout", "timeout is seconds, more than 0, not 0"),
        ({"session": 7}, "session", "session is no text: 7"),
        ({"session": "s" * 201}, "session", "session is too long: 201 characters; at most 200 characters"),
        ({"session": "a", "metadata": {"session": "b"}}, "session", "session and metadata.session differ"),
        ({"user": 7}, "user", "user is no text: 7"),
        ({"priority": "system"}, "priority", "priority cannot be 'system'; it is one of: interactive, default, bulk, "),
        ({"priority": ["low"]}, "priority", r"priority cannot be \['low'\]; it is one of: "),
        ({"complexity": "hard"}, "complexity", "complexity cannot be 'hard'; it is one of: simple, "),
        ({"data_class": "secret"}, "data_class", "data_class cannot be 'secret'; it is one of: public, internal, "),
        ({"metadata": {"data_class": "restrictd"}}, "data_class", 'did you mean "restricted"'),
        ({"metadata": [1]}, "metadata", r"metadata is no object: \[1\]"),
        ({"escalate": "yes"}, "escalate", "escalate is yes or no, not 'yes'; give true or false"),
        ({"stream": "yes"}, "stream", "stream is yes or no, not 'yes'"),
        ({"stream_options": "yes"}, "stream_options", "stream_options is no object: 'yes'"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "is yes or no, not 1"),
    ],
)
async def test_a_request_that_is_not_right_is_400_and_names_the_field(
    open_door: OpenDoor, fields: dict[str, Any], param: str, told: str
) -> None:
    """As the caller calls it, in the words and as ``param``; nothing reaches a model."""
    async with open_door(AGENT) as door:
        with pytest.raises(openai.BadRequestError, match=told) as raised:
            await door.client.chat.completions.create(model="shop", messages=HELLO, extra_body=fields)
        assert raised.value.param == param and raised.value.code in ("invalid_value", "unsupported_parameter")
        assert not door.server.records


async def test_what_is_said_twice_alike_is_said(open_door: OpenDoor) -> None:
    """Clients that send an old and a new name of one field go on."""
    async with open_door(AGENT) as door:
        body = {"session": "s", "metadata": {"session": "s"}, "max_tokens": 1, "max_completion_tokens": 1, "n": 1}
        await door.client.chat.completions.create(model="shop", messages=HELLO, extra_body=body)
        assert door.server.records[0].asked.max_tokens == 1
