"""A provider that does what a test tells it, call by call, on the clock of the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from orchestrator.core.errors import ModelError
from orchestrator.core.message import Message, Usage
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Identity, Secret, ServedModel, Sign, Target, Zone


@dataclass(frozen=True)
class Say:
    """Answer ``text`` after ``after`` seconds; streamed in characters, ``gap`` seconds apart; ``then`` breaks it off.
    ``signs`` of life come before the text, each after 30 s more."""

    text: str = "yes"
    after: float = 0.0
    gap: float = 0.0
    then: Exception | None = None
    hang: bool = False
    signs: tuple[Sign, ...] = ()


@dataclass
class ScriptedProvider:
    """Plays one step a call, and the last one for ever; notes what it is asked, and what becomes of it."""

    script: Sequence[Say | Exception] = (Say(),)
    kind: str = "scripted"
    calls: list[ChatCall] = field(default_factory=list)
    began_at: list[float] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    answers_probes: bool = True
    probes: int = 0

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:
        self.probes += 1
        await anyio.lowlevel.checkpoint()
        return Identity(self.kind, url) if self.answers_probes else None

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        return ()

    async def chat(self, call: ChatCall) -> ChatReply:
        reply: ChatReply | None = None
        async for delta in self.stream(call):
            reply = delta.reply
        assert reply is not None
        return reply

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        step = self.script[min(len(self.calls), len(self.script) - 1)]
        self.calls.append(call)
        self.began_at.append(anyio.current_time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        outcome = "cancelled"
        try:
            if isinstance(step, Exception):
                await anyio.lowlevel.checkpoint()
                raise _fresh(step)
            await anyio.sleep(step.after)
            for sign in step.signs:
                await anyio.sleep(30.0)
                yield Delta(sign=sign)
            for character in step.text:
                yield Delta(character)
                await anyio.sleep(step.gap)
            if step.hang:
                await anyio.sleep_forever()
            if step.then is not None:
                raise _fresh(step.then)
            yield Delta("", ChatReply(Message("assistant", step.text), "stop", Usage(1, len(step.text), 1)))
            outcome = "finished"
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self.in_flight -= 1
            self.outcomes.append(outcome)

    async def aclose(self) -> None:
        """Nothing is open."""


def _fresh(error: Exception) -> Exception:
    """A script may play one fault many times; each is an exception of its own."""
    if isinstance(error, ModelError):
        return type(error)(error.message, retry_after=error.retry_after, status=error.status)
    return error


def endpoint(name: str, provider: ScriptedProvider, slots: int = 1, zone: Zone = "node") -> EndpointSpec:
    """An endpoint that this provider answers for."""
    return EndpointSpec(name, Target("scripted", f"http://{name}/v1", "m", zone=zone), provider, slots)
