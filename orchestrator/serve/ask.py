"""What a caller asks of the loop, and what it learns about the way of its call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, Final, Literal, cast

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import ModelError
from orchestrator.core.record import record
from orchestrator.deploy.endpoint import EndpointSpec, EndpointState
from orchestrator.ports.lifecycle import Loader
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Provider
from orchestrator.serve.counted import Counted
from orchestrator.serve.effect import Start, StartKind
from orchestrator.serve.near_only import near_only
from orchestrator.serve.outbound import Closed, Customs
from orchestrator.serve.places import Place
from orchestrator.serve.steps.window import too_long, window_of
from orchestrator.serve.unheld import Refusals, Unheld
from orchestrator.serve.window_first import Learn, WindowFirst

GRACE: Final = 0.5
"""Seconds that a provider's own time-out comes after the deadline, so that it is the loop which tells that it passed."""


@record
class CallAttempt:
    """One attempt of a call. ``outcome`` is ``ok`` or the name of the fault's class; ``took_ms`` is without waiting."""

    endpoint: str
    outcome: str
    took_ms: float
    kind: StartKind = "first"
    message: str = ""


@dataclass(slots=True)
class CallTrace:
    """What a call met, filled while it goes through. ``queue_ms`` is waiting for slots and between attempts, of it
    ``load_ms`` because the model was not in memory; ``model_ms`` is the time of all attempts; ``endpoint`` is the one that
    was asked last. ``chosen`` is put in by who asks: why these candidates in this order; and ``spent``, what was paid in
    the cloud, with its money as ``paid`` where all of it has a price. ``passed``: candidates that were not asked
    although they came first, each with what is the matter. ``unheld``: in its words, why the server of the last one could not hold
    the answer to its schema, so that it was asked for in words."""

    queue_ms: float = 0.0
    load_ms: float = 0.0
    model_ms: float = 0.0
    endpoint: str = ""
    chosen: str = ""
    spent: str = ""
    paid: float | None = None
    passed: tuple[str, ...] = ()
    unheld: str = ""
    attempts: list[CallAttempt] = field(default_factory=list)

    def add(self, attempt: CallAttempt) -> None:
        """One more attempt has ended."""
        self.endpoint = attempt.endpoint
        self.model_ms += attempt.took_ms
        self.attempts.append(attempt)

    def tell_unheld(self, why: str) -> None:
        """How the attempt that goes out now asks for its schema; empty: as it is."""
        self.unheld = why


@record
class Ask:
    """A call that wants an answer from one of several endpoints.

    The loop replaces ``call.target`` and ``call.timeout`` for each attempt. ``candidates`` are endpoint ids in the order
    of preference: later ones are used when earlier ones cannot answer, not when they are only busy. The first ``equals``
    of them are of equal rank: the least loaded is used, so that a busy one does not starve an idle one (load balancing).
    ``deadline`` is absolute (``anyio.current_time``). A call that is not ``idempotent`` is repeated only where the server
    showed that it had not begun it. ``queue`` is what the manifest says of its class (``length``, ``timeout``), where it does.
    ``customs`` is the way to the cloud: without it, no such endpoint is asked.
    ``calls`` are other calls for those of the candidates whose model is asked in another way.
    ``pause`` is how many seconds, from when it is asked, it waits for a server that says that it is busy or takes no more calls
    for a while: less than its deadline where its request may be kept instead.
    ``place`` is its request's.
    ``near``: what it sends is restricted, so that a server nearby which could pass it on is asked first whether it does.
    ``next`` are endpoints that its run is likely to call afterwards, the likeliest first; ``None``: it says nothing new of that.
    """

    call: ChatCall
    candidates: tuple[str, ...]
    deadline: float
    priority: PriorityClass = "interactive"
    idempotent: bool = True
    trace: CallTrace = field(default_factory=CallTrace)
    equals: int = 1
    queue: Mapping[str, Any] | None = None
    next: tuple[str, ...] | None = None
    calls: Mapping[str, ChatCall] | None = None
    customs: Customs | None = None
    place: Place | None = None
    pause: float = inf
    near: bool = False


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint as ``status`` shows it. ``failures`` are in a row; ``again_in`` is in how many seconds one that rests is
    asked again."""

    id: str
    state: EndpointState
    in_flight: int
    slots: int
    waiting: int
    failures: int
    breaker: Literal["closed", "open", "half_open"]
    last_error: str
    again_in: float | None = None

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return asdict(self)


class Unsent:
    """Stands in the place of a server that is not asked, for a reason that was learned after the call began to wait for it."""

    kind = "unsent"

    def __init__(self, why: ModelError) -> None:
        self._why = why

    async def chat(self, call: ChatCall) -> ChatReply:  # noqa: ARG002 - the port's shape
        """Raises why."""
        raise self._why

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        """Raises why."""
        yield Delta(reply=await self.chat(call))


def size_of(call: ChatCall) -> int:
    """Bytes of a prompt, without its tools. A message keeps its encoded form, which is sent anyway."""
    return sum([len(message.encoded()) for message in call.messages])


def may_come_in_pieces(call: ChatCall) -> bool:
    """Whether the same answer comes of a stream: not where it may be chosen without writing, and not every server that tells
    probabilities tells them in a stream."""
    return call.choice is None and not call.top_logprobs


def provider_for(ask: Ask, start: Start, learn: Learn | None = None, refusals: Refusals | None = None) -> Provider:
    """Who carries the call there; to the cloud only by the customs, and to a model that was just loaded only what it holds.
    ``learn`` is told a window that has to be asked first, and ``refusals`` remember the schemas that servers refuse."""
    spec = start.spec
    if ask.call.schema is None or refusals is None:
        return _way(ask, start, spec, learn)
    if ask.customs is not None and ask.customs.is_far(spec):
        # Behind the customs, for which the answer is JSON in any case: a value that is put back into it is written as JSON has it.
        return _way(ask, start, replace(spec, provider=_unheld(ask, start, spec.provider, refusals)), learn)
    return _unheld(ask, start, _way(ask, start, spec, learn), refusals)


def _unheld(ask: Ask, start: Start, carrier: Provider, refusals: Refusals) -> Provider:
    window = window_of(start.spec, start.window)
    return cast(Provider, Unheld(carrier, start.spec, window, refusals, ask.trace.tell_unheld))


def _way(ask: Ask, start: Start, spec: EndpointSpec, learn: Learn | None) -> Provider:
    if start.window is not None:
        narrow = too_long(ask.call, window_of(start.spec, start.window))
        if narrow is not None:
            return cast(Provider, Unsent(narrow))
    if ask.customs is not None:
        way = ask.customs.way(spec)
    else:
        way = spec.provider if start.target.zone != "cloud" else cast(Provider, Closed())
    # What is asked of a server before a call, the last first: its window, by a load that holds nothing of the call; whether it
    # passes the call on; how many tokens it counts, for which it reads the call.
    own, window = way is start.spec.provider, window_of(start.spec, start.window)
    if own and start.spec.bounded and window.counts:
        way = cast(Provider, Counted(way, window))
    if ask.near and start.target.zone != "cloud":
        way = near_only(way, start.spec.provider)
    if own and start.asks and learn is not None and isinstance(start.spec.provider, Loader):
        way = cast(Provider, WindowFirst(way, start.spec, learn))
    return way


def call_for(ask: Ask, start: Start, now: float) -> ChatCall:
    """The call as this endpoint gets it. Written out, because ``dataclasses.replace`` takes twice as long."""
    calls = ask.calls
    c = ask.call if calls is None else calls.get(start.spec.id) or calls.get(start.beside, ask.call)
    return ChatCall(
        start.target,
        c.messages,
        c.tools,
        c.tool_choice,
        c.schema,
        c.schema_name,
        c.temperature,
        c.max_tokens,
        c.seed,
        c.top_logprobs,
        c.stop,
        c.extra,
        ask.deadline - now + GRACE,
        c.request_id,
        c.key,
        c.choice,
    )
