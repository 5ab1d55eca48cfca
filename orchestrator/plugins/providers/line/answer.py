"""What a line is given and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.errors import ModelError
from orchestrator.plugins.providers.failures import failure_of
from orchestrator.plugins.providers.line.place import Place
from orchestrator.ports.provider import Secret, Zone


@dataclass(frozen=True, slots=True)
class Errand:
    """Where a request goes and how long it may take, in seconds. ``once``: on a connection of its own; ``key``
    is the same where it is sent again."""

    place: Place
    timeout: float
    api_key: Secret | None = None
    zone: Zone = "node"
    request_id: str = ""
    once: bool = False
    key: str = ""

    def headers(self) -> dict[str, str]:
        """Those that belong to this request alone."""
        headers: dict[str, str] = {}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key.reveal()}"
        if self.request_id:
            headers["X-Request-Id"] = self.request_id
        if self.key:
            headers["Idempotency-Key"] = self.key
        return headers


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of a server; ``headers`` are by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def failure(self) -> ModelError:
        """What its status means."""
        return failure_of(self.status, self.headers, self.body, time.time())


class OpenAnswer(Protocol):
    """An answer whose body is still coming."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events; a few servers ignore ``stream`` and answer whole."""
        ...

    async def read(self) -> bytes:
        """The next bytes that arrived, empty at the end. Raises ``BrokenReply`` or ``Stalled``."""
        ...

    async def whole(self) -> Answer:
        """The rest of the body, at most ``MAX_REPLY`` bytes. Raises like ``read``."""
        ...

    async def drain(self) -> None:
        """Wait a moment for the end of a body whose last event has come, so that its connection can be kept."""
        ...

    def close(self) -> None:
        """Give the connection back where the body was read to its end, else close it."""
        ...


class Line(Protocol):
    """Carries requests. Cancelling a request closes its connection, so that the server stops generating."""

    async def whole(self, method: str, errand: Errand, body: bytes | None) -> Answer:
        """Send, and wait for the whole answer. Raises a ``ModelError``."""
        ...

    async def open(self, method: str, errand: Errand, body: bytes | None) -> OpenAnswer:
        """Send, and wait for the headers. The caller must ``close`` what it gets. Raises a ``ModelError``."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
