"""The ports of store and forward: what is kept of a request whose target is away, and what a run needs to let it wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.core.delivery import Delivery
from orchestrator.core.message import Message
from orchestrator.core.request import Result


@dataclass(frozen=True, slots=True)
class Deferring:
    """What is stored together when a run begins to wait for its target: the delivery, the run as it is now, what was said in its
    session (``restricted``: it holds restricted data), and how many of its deployment may wait."""

    delivery: Delivery
    result: Result
    said: tuple[Message, ...]
    restricted: bool
    most: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A line of what was done with a delivery: ``at`` is seconds since 1970, ``what`` one of ``deferred``, ``tried``,
    ``delivered``, ``failed``, ``expired``, ``cancelled``."""

    at: float
    what: str
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {"at": self.at, "what": self.what, "detail": self.detail}


class Outbox(Protocol):
    """Where a run leaves what waits for its target. Raises ``StateUnusable`` where nothing can be kept."""

    def now(self) -> float:
        """The wall clock that deliveries live by, in seconds since 1970."""
        ...

    async def defer(self, deferring: Deferring) -> None:
        """Let it wait. Raises ``OutboxFull``."""
        ...


class DeliveryStore(Protocol):
    """Changes: each is one transaction with its line of the audit, durable when the call returns."""

    def defer(self, deferring: Deferring) -> None:
        """Keep it. Raises ``OutboxFull``."""
        ...

    def begin(self, delivery: str) -> bool:
        """It is tried now; ``False`` where it does not wait any more."""
        ...

    def put_off(
        self, delivery: str, error: str, again: float, *, unknown: bool = False, expires: float | None = None
    ) -> None:
        """It did not reach its target; ``unknown``: it may have, in this try or one before. ``again`` is what people are told of
        the next try: who tries it decides. ``expires``: until when it waits from now on, where that has changed."""
        ...

    def hurry(self, deployment: str, delivery: str) -> Sequence[Delivery]:
        """Say to people that these are tried now: one, or all of a deployment, or all. Gives them, the oldest first, without what
        their runs need to go on; who tries them decides when."""
        ...

    def settle(self, waiting: str, result: Result, text: str, said: Sequence[Message], by: str = "") -> bool:
        """Keep the end of its run, with what was said in the session; ``False`` where that is done already."""
        ...


class DeliveryShelf(Protocol):
    """Looking."""

    def find(self, delivery: str) -> Delivery:
        """By its id or a unique beginning of it. Raises ``NoSuchDelivery`` and ``UsageError``."""
        ...

    def audit(self, delivery: str) -> Sequence[AuditEntry]:
        """All that was done with it, the oldest first."""
        ...

    def newest(self, deployment: str, count: int, *, closed: bool) -> Sequence[Delivery]:
        """Of one deployment or (an empty text) of all; with ``closed`` also what does not wait any more."""
        ...

    def waiting(self) -> Sequence[Delivery]:
        """All that waits, the oldest first, without what their runs need to go on."""
        ...

    def trouble(self) -> Mapping[str, Mapping[str, Any]]:
        """For each deployment with something that waits: ``waiting``, ``again``, the last ``error``."""
        ...


class OutboxStore(DeliveryStore, DeliveryShelf, Protocol):
    """All of it, over one file."""
