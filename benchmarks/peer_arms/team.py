"""The agents of both arms of the Agent Framework."""

from __future__ import annotations

from typing import Literal

from agent_framework import Agent, Message
from agent_framework.openai import OpenAIChatCompletionClient
from arm import AGENTS, HISTORIES, QUESTION, ROUTER, instructions
from pydantic import create_model

Route = create_model("route", agent=(Literal[AGENTS], ...))
HISTORY = {size: [Message(each["role"], [each["content"]]) for each in turns] for size, turns in HISTORIES.items()}


def asked(size: int) -> list[Message]:
    """The conversation and the request."""
    return [*HISTORY[size], Message("user", [QUESTION])]


def make_team(url: str) -> tuple[Agent, dict[str, Agent]]:
    """A router that answers with a :data:`Route`, and its specialists, on one client."""
    client = OpenAIChatCompletionClient("canned", api_key="none", base_url=url)
    front = Agent(
        client, ROUTER, name="front", default_options={"response_format": Route, "temperature": 0, "max_tokens": 64}
    )
    options = {"temperature": 0, "max_tokens": 160}
    return front, {name: Agent(client, instructions(name), name=name, default_options=options) for name in AGENTS}
