"""What carries words between the nodes of a fleet, and keeps the little that all of them must agree on.

Nothing here is durable by promise: a letter may be lost, and shared state may be gone after a fault of the store. What must not be
lost is in SQLite on the device that it belongs to. Every failure is a :class:`BusDown`, or a :class:`Conflict` where somebody else
was first; implementations translate what their library raises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from orchestrator.core.errors import BusDown, Conflict, LetterTooLarge

__all__ = ["ANYTHING", "Board", "Bucket", "Bus", "BusDown", "Conflict", "Entry", "Letter", "LetterTooLarge"]

Bucket = Literal["desired", "observed", "lease"]
ANYTHING: Final = ">"
"""The last part of a pattern that fits all that comes there."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a ``subject`` (words joined by dots). ``reply`` is the subject that an answer goes to, where one is wanted."""

    subject: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key of a bucket holds. ``revision`` grows with every write of the bucket; an empty ``value`` with a revision is one
    that was deleted or has expired: who writes it anew compares with that."""

    key: str
    value: bytes
    revision: int


class Bus(Protocol):
    """Letters between nodes: each reaches every subscriber that is there at that moment, at most once, or nobody."""

    node: str
    """The id of the node that it belongs to."""

    @property
    def connected(self) -> bool:
        """Whether letters can go out now, as far as is known."""

    async def send(self, letter: Letter) -> None:
        """Hand it over. It may still be lost. Raises ``BusDown`` where it cannot even be handed over: ``LetterTooLarge`` where no
        letter may be as large, body and headers together."""

    def listen(self, pattern: str) -> AbstractAsyncContextManager[AsyncIterator[Letter]]:
        """What comes to a subject from the time that the context is entered. ``*`` in the pattern is any one word, ``>`` at its end
        one or more. Goes on by itself when the bus comes back."""

    def inbox(self, name: str) -> str:
        """A subject that only this node may listen to: answers go there. ``name`` is one word."""


class Board(Protocol):
    """Shared state that is written by compare and swap: what is wanted, what was seen, who leads."""

    async def read(self, bucket: Bucket, key: str) -> Entry | None:
        """What is there; ``None`` where nothing ever was. Raises ``BusDown``."""

    async def swap(self, bucket: Bucket, key: str, value: bytes, expected: int = 0) -> Entry:
        """Write, if the newest revision of the key is ``expected`` (0: there is none). Raises ``Conflict`` or ``BusDown``; after a
        ``BusDown`` it may have been written all the same."""

    async def entries(self, bucket: Bucket, prefix: str = "") -> tuple[Entry, ...]:
        """All whose keys begin so, deleted ones left out. Raises ``BusDown``."""

    def watch(self, bucket: Bucket, prefix: str = "") -> AbstractAsyncContextManager[AsyncIterator[Entry]]:
        """Those that change from now on, the newest value of each. It may miss some (a store that was restarted is silent for a
        while): whoever depends on it reads everything again from time to time."""
