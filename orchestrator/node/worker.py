"""What a node does with what it is given: the one thing that real engines and simulated ones have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.core.request import Request, Result
from orchestrator.node.speed import Took
from orchestrator.plan.plan import AgentServing
from orchestrator.plan.rolling import NO_TALLY, Tally

Work = Literal["shared", "cordoned", "drained"]
"""What a person lets a node take: its share; no agent more than it holds; or nothing new, and what it holds goes to others."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much a node has to do. ``agents``: those that it can answer for now, with whether their model is warm. ``room``: how many
    more requests it takes before it says that it is busy. ``service_ms``: how long one takes, on average, and ``took`` the
    same by agent, without waiting. ``models``: aliases whose
    model is on this device, ``None`` where that is not known. ``since`` tallies what it answered of the generation that it holds,
    ``before`` of the one before. ``lacking``: who of it would gain from a model that is not served here."""

    agents: Mapping[str, bool] = field(default_factory=dict)
    models: frozenset[str] | None = None
    slots: int = 1
    inflight: int = 0
    queued: int = 0
    room: int = 1
    service_ms: float = 0.0
    took: Mapping[str, Took] = field(default_factory=dict)
    before: Tally = NO_TALLY
    since: Tally = NO_TALLY
    lacking: tuple[AgentServing, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for an agent of this node. ``caller`` is the node that it came from, ``hop`` how many handed it on. ``epoch`` is
    that of the lease of an exclusive agent (0 for others): an effect on the outside carries it, so that an older one is refused.
    ``valid`` says whether that lease is still this node's: to be asked right before each effect. ``kept``: the caller asks until it
    is answered; what was answered once is not worked on again, also after a restart. ``handed``: what the request brings along.
    ``looks``: nothing is to be done; the caller asks what has become of a request of this id, which it was told to wait for."""

    request: Request
    agent: str
    caller: str
    hop: int = 0
    epoch: int = 0
    valid: Callable[[], bool] = lambda: True
    kept: bool = False
    handed: Handed = NOTHING_HANDED
    looks: bool = False


class Emit(Protocol):
    """Where an answer goes while it is made."""

    async def piece(self, text: str) -> None:
        """A piece of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """An agent that a node is to hold, with the alias of the model that serves it there ("": it needs none)."""

    agent: str
    model: str = ""
    exclusive: bool = False


class Worker(Protocol):
    """The engine of a node."""

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        """Answer for these agents of that manifest from now on, and for no others. It returns once that is so, and may be
        called with the same again. Whatever it raises means that it cannot: what it answered for before it answers for still."""

    def load(self) -> Load:
        """How much it has to do now, and for whom it answers."""

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        """Answer. A failure is a ``Result`` too; an exception is a fault, and the request may go to another node."""


class Kept(Protocol):
    """What a node keeps over a restart and without a network: a few small values by name. It is on the disk when ``save``
    returns."""

    def load(self, name: str) -> bytes:
        """What was saved; empty where nothing was."""

    def save(self, name: str, value: bytes) -> None:
        """Keep it."""
