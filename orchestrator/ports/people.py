"""The ports of what waits for people: what is kept of it, and how people are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.core.approval import Approval, Verdict
from orchestrator.core.message import Message
from orchestrator.core.request import Result


@dataclass(frozen=True, slots=True)
class Asking:
    """What is stored together when a run begins to wait: the approval, the run as it is now, what was said in its session
    (``restricted``: it holds restricted data), the ``channels`` by which people are told, and how many may wait."""

    approval: Approval
    result: Result
    said: tuple[Message, ...]
    restricted: bool
    channels: tuple[str, ...]
    most: int


@dataclass(frozen=True, slots=True)
class Notice:
    """That something waits, to be told to people by one channel. ``tries`` are those that failed."""

    approval: Approval
    channel: str
    tries: int = 0
    error: str = ""


class Desk(Protocol):
    """Where a run asks people. Raises ``StateUnusable`` where nothing can be kept."""

    def now(self) -> float:
        """The wall clock that approvals live by, in seconds since 1970."""
        ...

    async def check_room(self, deployment: str, most: int) -> None:
        """Raise ``DeskFull`` where ``most`` wait already: before something is done that only makes sense with what waits."""
        ...

    async def ask(self, asking: Asking) -> None:
        """Let it wait. Raises ``DeskFull``."""
        ...

    async def begin(self, approval: str) -> None:
        """Its call is made now. Raises ``ApprovalClosed`` where it was made already."""
        ...

    async def record(self, approval: str, outcome: Mapping[str, Any]) -> None:
        """What its call gave."""
        ...

    async def spend(self, approval: str) -> bool:
        """The run that goes on with it sends something to the cloud now, as a person allowed. Gives whether this life had sent
        something under it, that was not given back. Raises ``ApprovalClosed`` where an earlier life did."""
        ...

    async def give_back(self, approval: str) -> None:
        """Nothing was done of what it was spent for."""
        ...


class ApprovalStore(Protocol):
    """Changes: each is one transaction, durable when the call returns."""

    def check_room(self, deployment: str, most: int) -> None:
        """Raise ``DeskFull`` where ``most`` wait already."""
        ...

    def ask(self, asking: Asking) -> None:
        """Keep it. Raises ``DeskFull``."""
        ...

    def decide(self, approval: str, verdict: Verdict) -> Approval:
        """The first verdict counts. Raises ``NoSuchApproval`` and ``ApprovalClosed``."""
        ...

    def begin(self, approval: str) -> None:
        """Its call is made now, once and never again. Raises ``ApprovalClosed`` where it was."""
        ...

    def record(self, approval: str, outcome: Mapping[str, Any]) -> None:
        """What its call gave."""
        ...

    def spend(self, approval: str, *, again: bool) -> None:
        """Its run sends something to the cloud now; ``again``: the same life has said so before. Raises ``ApprovalClosed``."""
        ...

    def give_back(self, approval: str) -> None:
        """Nothing was done of what it was spent for."""
        ...

    def settle(self, approval: str, result: Result, text: str, said: Sequence[Message]) -> bool:
        """Keep the end of its run, with what was said in the session; ``False`` where that is done already."""
        ...


class ApprovalShelf(Protocol):
    """Looking, and the passing of time."""

    def find(self, approval: str) -> Approval:
        """By its id or a unique beginning of it. Raises ``NoSuchApproval`` and ``UsageError``."""
        ...

    def newest(self, deployment: str, count: int, *, closed: bool) -> Sequence[Approval]:
        """Of one deployment or (an empty text) of all; with ``closed`` also what does not wait any more."""
        ...

    def undelivered(self) -> Sequence[Approval]:
        """What is decided or expired, and whose run does not know it yet; the oldest first."""
        ...

    def result_of(self, run: str) -> Mapping[str, Any] | None:
        """The stored form of a run that waits or waited, by its whole id; of no other run."""
        ...

    def expire(self) -> float | None:
        """Let expire what is due; gives when the next one is, in seconds since 1970."""
        ...


class NoticeStore(Protocol):
    """What is still to be told."""

    def due(self) -> Sequence[Notice]:
        """Notices whose time has come, of what still waits."""
        ...

    def next_due(self) -> float | None:
        """When the next one is due, in seconds since 1970."""
        ...

    def told(self, notice: Notice) -> None:
        """It arrived."""
        ...

    def put_off(self, notice: Notice, error: str, again: float) -> None:
        """It did not; ``again`` is when to try again, in seconds since 1970."""
        ...

    def trouble(self) -> Mapping[str, Mapping[str, Any]]:
        """For each deployment with something that waits: ``pending``, ``untold`` notices, the last ``error``."""
        ...


class PeopleStore(ApprovalStore, ApprovalShelf, NoticeStore, Protocol):
    """All of it, over one file."""


class Notifier(Protocol):
    """A way of telling people."""

    async def tell(self, notice: Notice) -> None:
        """Tell it. Raises ``DeployError`` where it did not arrive."""
        ...


OpenNotifier = Callable[[Mapping[str, Any], Callable[[str], str]], Notifier]
"""What the table of notifiers holds: ``open(options, reveal)``; ``reveal`` resolves a secret reference."""


def notice_words(approval: Approval) -> dict[str, Any]:
    """All that ever leaves the device of an approval: no word of the request, no argument, no answer, no session."""
    return {
        "approval": approval.id,
        "kind": approval.kind,
        "deployment": approval.deployment,
        "agent": approval.agent,
        "queue": approval.queue,
        "function": approval.call.function if approval.call else "",
        "created": approval.created,
        "expires": approval.expires,
        "show": f"orchestrator approvals show {approval.id}",
    }
