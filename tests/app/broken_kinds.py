"""Kinds of a package that does everything wrong, each in its own way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from orchestrator.core.request import Decision
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.plugins.providers.makes import generic
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome, ToolPlace
from tests.app.acme_kinds import Acme


class NoLicence(Acme):
    """It does not even start."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")


class Exits(Acme):
    """It ends the program that asks it."""

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """Never."""
        sys.exit("no licence")


class Raises(Acme):
    """It knows nobody and says so badly, and it does not close."""

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """Never."""
        raise KeyError("version")

    async def aclose(self) -> None:
        """Never."""
        raise OSError("it is stuck")


class Odd(Acme):
    """It gives what is no identity."""

    async def identify(self, url: str, api_key: Secret | None = None) -> Any:
        """A text."""
        return "acme"


class Misplaced(Acme):
    """It gives an address that is none."""

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        """With a port that cannot be."""
        return Identity("acme", "http://127.0.0.1:99999", api_base=url)


class Unlisted(Acme):
    """It cannot tell its models."""

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """Never."""
        raise ExceptionGroup("all failed", [ZeroDivisionError("no models")])


class Negative(Acme):
    """It gives a model that cannot be."""

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """With fewer than no slots."""
        return (ServedModel("m", kind="chat", slots=-1),)


class Mute(Acme):
    """It is there, and fails in every call."""

    async def chat(self, call: ChatCall) -> ChatReply:
        """Never."""
        raise AttributeError("choices")

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """One piece."""
        yield Delta("well, ")
        raise AttributeError("choices")


class Disguised(CompatibleProvider):
    """It is built on ours, and still says that it is ours."""

    def __init__(self) -> None:
        super().__init__(generic.MAKE)


class Embeds(Acme):
    """It makes embeddings too, or says that it does."""

    pull_goes_on = True

    async def embed(self, target: Any, texts: tuple[str, ...], timeout: float) -> Any:
        """Never."""
        raise KeyError(texts[0])

    async def load(self, target: Any, options: Any, timeout: float) -> Any:
        """What it was asked."""
        return options

    async def unload(self, target: Any, timeout: float) -> None:
        """Nothing is to be done."""

    async def count(self) -> AsyncIterator[int]:
        """Up to one."""
        yield 1
        raise KeyError("two")


class Tool:
    """A tool of the functions that it is given."""

    def __init__(self, *functions: Any) -> None:
        self.functions = functions

    async def aclose(self) -> None:
        """Never."""
        raise OSError("it is stuck")


async def _raises(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    raise TimeoutError("the sensor did not answer")


async def _cancels(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    raise asyncio.CancelledError("by itself")


async def _interrupts(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    raise KeyboardInterrupt


async def _text(arguments: Mapping[str, Any], context: ToolContext) -> Any:
    return "sunny"


def open_broken(name: str, options: Mapping[str, Any], place: ToolPlace) -> Tool:
    """With the fault of this name."""
    kind = options.get("fault", "")
    if kind == "open":
        raise KeyError("city")
    if kind == "function":
        return Tool("now")
    called = "now" if kind == "name" else f"{name}.now"
    effect: Any = "reads" if kind == "effect" else "read"
    run = {"text": _text, "cancels": _cancels, "interrupts": _interrupts}.get(kind, _raises)
    return Tool(ToolFunction(called, "Looks.", {"type": "object"}, effect, run))


class Strategy:
    """One that decides wrongly."""

    def __init__(self, decision: Any) -> None:
        self._decision = decision

    async def decide(self, question: Any) -> Any:
        """As told; a fault is raised."""
        if isinstance(self._decision, BaseException):
            raise self._decision
        return self._decision


def fit_raising(candidates: Any, options: Any) -> Strategy:
    """It fails when it decides."""
    return Strategy(ZeroDivisionError("no words"))


def fit_astray(candidates: Any, options: Any) -> Strategy:
    """It sends everything where this router has no route."""
    return Strategy(Decision("astray", "vault", confidence=1.0))


def fit_text(candidates: Any, options: Any) -> Strategy:
    """It gives a name, and no decision."""
    return Strategy("talk")


class Instant:
    """One that fails at once."""

    def decide_now(self, question: Any) -> Decision:
        """Never."""
        raise ZeroDivisionError("no words")


def fit_instant(candidates: Any, options: Any) -> Instant:
    """It fails when it decides."""
    return Instant()


def fit_unable(candidates: Any, options: Any) -> Strategy:
    """It cannot learn."""
    raise IndexError("no candidates")
