"""The simulated endpoint in process: a ``Provider`` on virtual time (anyio; under trio's ``MockClock`` no time passes)."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import anyio.lowlevel

from orchestrator.core.errors import CutOff, ModelError, ServerBusy, ServerFailed, Stalled
from orchestrator.core.finish import finish_of
from orchestrator.core.message import Message, Usage
from orchestrator.ports.provider import (
    Capability,
    ChatCall,
    ChatReply,
    Delta,
    Identity,
    Secret,
    ServedModel,
    Support,
    Target,
    TokenProbability,
)
from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import SimulatedEndpoint, Turn
from orchestrator.testing.fault import FAULTS

URL: Final = "http://simulated.invalid"
"""The address of an endpoint that lives in this process; no name ends in ``.invalid`` (RFC 2606)."""
_CAPABILITIES: Final = {
    **dict.fromkeys(Capability, Support.YES),
    **dict.fromkeys((Capability.LOAD, Capability.PULL, Capability.REMOVE, Capability.TOOL_TEXT), Support.NO),
}


class SimulatedProvider:
    """Answers from endpoints that live in this process, each at its URL."""

    def __init__(self, *endpoints: SimulatedEndpoint, kind: str = "simulated", url: str = URL) -> None:
        """One endpoint answers at ``url``; several at ``url``, ``url/2``, ``url/3``…"""
        self._kind = kind
        places = [url if number == 1 else f"{url}/{number}" for number in range(1, len(endpoints) + 1)]
        self.endpoints = dict(zip(places, endpoints, strict=True))
        self._turns: dict[int, anyio.Event] = {}
        self._tickets = 0

    @property
    def kind(self) -> str:
        """Its name in the table of providers."""
        return self._kind

    def target(self, model: str = "", url: str = URL) -> Target:
        """A target at one of its endpoints; its first model where none is named."""
        return Target(self._kind, url, model or self.endpoints[url].models[0])

    async def identify(self, url: str, api_key: Secret | None = None) -> Identity | None:  # noqa: ARG002 - the port's shape
        """Its own endpoints only."""
        await anyio.lowlevel.checkpoint()
        if url not in self.endpoints:
            return None
        return Identity(self._kind, url, "simulated", url, _CAPABILITIES)

    async def models(self, identity: Identity, api_key: Secret | None = None) -> tuple[ServedModel, ...]:
        """What the endpoint serves. Raises ``ServerBusy`` while it loads."""
        await anyio.lowlevel.checkpoint()
        endpoint = self.endpoints[identity.url]
        _check_key(endpoint, api_key)
        if endpoint.is_loading(anyio.current_time()):
            raise ServerBusy("HTTP 503: Loading model", status=503)
        return tuple(
            ServedModel(
                name,
                loaded=True,
                context=endpoint.context,
                slots=endpoint.slots,
                kind="embedding" if "embed" in name else "chat",
                remote=name.endswith(":cloud"),
            )
            for name in endpoint.models
        )

    async def chat(self, call: ChatCall) -> ChatReply:
        """One whole answer."""
        reply: ChatReply | None = None
        async for delta in self._deltas(call, stream=False):
            reply = delta.reply
        if reply is None:
            raise CutOff("the stream ended before the answer did")
        return reply

    def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """The answer, token by token."""
        return self._deltas(call, stream=True)

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:  # noqa: ARG002 - as the port has them
        """Vectors that depend on the texts alone."""
        await anyio.lowlevel.checkpoint()
        return tuple(self.endpoints[target.api_base].embedding(text) for text in texts)

    async def aclose(self) -> None:
        """Nothing is open."""
        await anyio.lowlevel.checkpoint()

    async def _deltas(self, call: ChatCall, stream: bool) -> AsyncIterator[Delta]:
        endpoint = self._endpoint_of(call)
        deadline = anyio.current_time() + call.timeout
        turn = endpoint.begin(Asked.from_call(call, stream), anyio.current_time())
        said: list[str] = []
        with self._noted(endpoint, turn, said):
            _refuse(turn)
            async with _Slot(self, endpoint, deadline):
                await _pass(turn.wait, deadline)
                for piece in turn.pieces[: turn.breaks_after]:
                    if said and turn.gap:
                        await _pass(turn.gap, deadline, said)
                    said.append(piece)
                    yield Delta(piece)
                await _break_off(turn, deadline, said)
                yield Delta("", _reply(turn, call))

    def _endpoint_of(self, call: ChatCall) -> SimulatedEndpoint:
        endpoint = self.endpoints.get(call.target.api_base)
        if endpoint is None:
            raise FAULTS["refuse"].error_of(f"nobody listens at {call.target.api_base}")
        _check_key(endpoint, call.target.api_key)
        return endpoint

    @contextmanager
    def _noted(self, endpoint: SimulatedEndpoint, turn: Turn, said: list[str]) -> Iterator[None]:
        """Whatever way the call ends, the endpoint's log has it."""
        outcome = "cancelled"
        try:
            yield
            outcome = "finished"
        except ModelError as error:
            outcome = turn.fault.name if turn.fault else turn.refusal.name if turn.refusal else type(error).__name__
            raise
        finally:
            endpoint.end(turn, outcome, len(said))

    def enter(self, endpoint: SimulatedEndpoint) -> tuple[int, anyio.Event | None]:
        """Take a ticket; the event is set when its turn comes, and missing when it runs at once."""
        self._tickets += 1
        ticket = self._tickets
        decision = endpoint.line.enter(ticket)
        if decision == "full":
            raise ServerBusy(FAULTS["queue-full"].message, status=503)
        if decision == "runs":
            return ticket, None
        event = self._turns[ticket] = anyio.Event()
        return ticket, event

    def leave(self, endpoint: SimulatedEndpoint, ticket: int) -> None:
        """Give the slot, or the place in the queue, back."""
        self._turns.pop(ticket, None)
        following = endpoint.line.leave(ticket)
        if following is not None:
            self._turns[following].set()


class _Slot:
    """Holds a slot of an endpoint while a call runs."""

    def __init__(self, provider: SimulatedProvider, endpoint: SimulatedEndpoint, deadline: float) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._deadline = deadline
        self._ticket = 0

    async def __aenter__(self) -> None:
        self._ticket, event = self._provider.enter(self._endpoint)
        if event is None:
            return
        try:
            with anyio.fail_after(_left(self._deadline)):
                await event.wait()
        except TimeoutError:
            self._provider.leave(self._endpoint, self._ticket)
            raise Stalled("the server did not answer in time") from None
        except BaseException:
            self._provider.leave(self._endpoint, self._ticket)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._provider.leave(self._endpoint, self._ticket)


def _check_key(endpoint: SimulatedEndpoint, api_key: Secret | None) -> None:
    if endpoint.api_key and (api_key is None or api_key.reveal() != endpoint.api_key):
        raise FAULTS["unauthorized"].error_of()


def _refuse(turn: Turn) -> None:
    """Raise what ends the request before it gets a slot."""
    fault = turn.fault
    if turn.refusal is not None:
        raise turn.refusal.error_of(wait=fault.value if fault else 0.0)
    if fault is not None and fault.kind.stage == "body":
        raise fault.kind.error_of()
    if fault is not None and fault.name == "stale":
        raise fault.kind.error_of()


async def _break_off(turn: Turn, deadline: float, said: list[str]) -> None:
    """Raise what ends the answer in its middle."""
    fault, partial = turn.fault, "".join(said)
    if fault is None:
        return
    if fault.name == "hang-mid":
        await _pass(math.inf, deadline, said)
    if fault.name in ("drop-mid", "no-finish"):
        raise CutOff("the stream ended before the answer did", partial=partial)
    if fault.name == "error-in-stream":
        raise ServerFailed("the server broke off: internal error", partial=partial)


async def _pass(seconds: float, deadline: float, said: list[str] | None = None) -> None:
    """Let time pass, up to the deadline. Raises ``Stalled``."""
    left = _left(deadline)
    if seconds <= left:
        await anyio.sleep(seconds)
        return
    await anyio.sleep(left)
    raise Stalled("the server did not answer in time", partial="".join(said or ()))


def _left(deadline: float) -> float:
    return max(0.0, deadline - anyio.current_time())


def _reply(turn: Turn, call: ChatCall) -> ChatReply:
    message = Message("assistant", turn.text, turn.calls)
    usage = turn.usage or Usage(turn.record.asked.prompt_characters // 4, len(turn.pieces), 1, estimated=True)
    probabilities = tuple(
        TokenProbability(piece, turn.alternatives(piece)[0][1], turn.alternatives(piece)[: turn.asked.top_logprobs])
        for piece in (turn.pieces if turn.asked.top_logprobs else ())
    )
    return ChatReply(message, finish_of(turn.finish, turn.text), usage, call.target.model, probabilities)
