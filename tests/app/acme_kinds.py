"""What another package may offer: a tool, a strategy and a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.core.errors import DeployError
from orchestrator.core.message import Message, Usage
from orchestrator.core.request import Decision
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace


class Weather:
    """A ``Tool`` with one function."""

    def __init__(self, name: str, city: str) -> None:
        self.functions = (ToolFunction(f"{name}.now", "The weather.", {"type": "object"}, "read", self._now),)
        self._city = city

    async def _now(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return ToolOutcome(f"sunny in {self._city}")

    async def aclose(self) -> None:
        """It holds nothing."""


def open_weather(name: str, options: Mapping[str, Any], place: ToolPlace) -> Weather:
    """``city`` is needed."""
    if set(options) != {"city"}:
        raise DeployError(f"{name} needs a city, and nothing else", cure="write plugin_options: {city: …}")
    return Weather(name, options["city"])


class Last:
    """A ``Strategy`` that sends everything to the last route."""

    def __init__(self, candidates: tuple[Candidate, ...]) -> None:
        self._last = candidates[-1].name

    async def decide(self, question: RouteQuestion) -> Decision:
        """Always the same."""
        return Decision("last", self._last, confidence=1.0, why="it is the last")


def fit_last(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Last:
    """Nothing to learn."""
    return Last(candidates)


class Acme:
    """A ``Provider`` that knows every address and answers every call alike."""

    kind = "acme"

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """Always its own."""
        return Identity("acme", url, api_base=url)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """One."""
        return (ServedModel("m", kind="chat"),)

    async def chat(self, call: ChatCall) -> ChatReply:
        """The same answer to all."""
        return ChatReply(
            Message("assistant", f"acme at {call.target.api_base} has {call.target.model}"), "stop", Usage()
        )

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """In one piece."""
        reply = await self.chat(call)
        yield Delta(reply.message.content)
        yield Delta(reply=reply)

    async def aclose(self) -> None:
        """It holds nothing."""
