"""What a simulated server is asked about its models, and what it does about it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from orchestrator.testing.lifecycle.store import ModelStore


@dataclass(frozen=True, slots=True)
class Asked:
    """A request about the store. ``query`` holds the first value of each name; ``now`` is the shell's clock."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    now: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, after ``wait`` seconds. ``value`` becomes JSON; an empty text is an empty body."""

    status: int
    value: Any
    wait: float = 0.0
    download: tuple[Literal["begin", "cancel", "pause"], str] | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """An answer that comes piece by piece: seconds to wait, and the bytes. A ``StoreFault`` in it cuts the connection."""

    content_type: str
    pieces: Generator[tuple[float, bytes], None, None]


@dataclass(frozen=True, slots=True)
class Listen:
    """The events of all downloads, for as long as the client stays."""


Act = Reply | Pieces | Listen
Route = Callable[[ModelStore, Asked], Act]


def asked_of(method: str, target: str, body: bytes, now: float) -> Asked:
    """A request, taken apart. Raises ``ValueError`` for a body that is no JSON object."""
    parts = urlsplit(target)
    value = json.loads(body) if body else {}
    if not isinstance(value, dict):
        raise ValueError("the body is no JSON object")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Asked(method, parts.path, query, value, now)


def pace(store: ModelStore, size: int) -> float:
    """Seconds for so many bytes."""
    return size / store.pull_rate if store.pull_rate else 0.0
