"""What a face of a model server is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from orchestrator.testing.endpoint import SimulatedEndpoint

Document = tuple[int, str, Any]
"""Status, content type, and a body: text as it is, anything else as JSON."""

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Face:
    """One make: ``documents`` by path for ``GET``, what it says elsewhere, the headers of every answer. ``ignores`` and
    ``hides`` as at :class:`SimulatedEndpoint`; ``comments`` stand in its streams; ``wants_length``: 411 without a length."""

    name: str
    documents: Callable[[SimulatedEndpoint], Mapping[str, Document]]
    missing: Document = (404, JSON, {"error": {"message": "Not Found", "type": "not_found_error", "code": 404}})
    headers: Mapping[str, str] = field(default_factory=dict)
    chats: bool = True
    any_model: bool = False
    closes_streams: bool = False  # after a streamed answer, without a header that says so
    open_paths: tuple[str, ...] = ()  # need no key
    loads_all: bool = False  # every model is loaded at the start, else the first
    embeds: bool = True
    ignores: frozenset[str] = frozenset()
    hides: frozenset[str] = frozenset()
    comments: bool = False
    wants_length: bool = False
    refuses_tools: str = ""  # with these words
    counts: Literal["", "template", "count"] = ""  # tokens: of a text that its template makes, or of messages


def ok(value: Any) -> Document:
    """JSON with status 200."""
    return 200, JSON, value


def model_cards(endpoint: SimulatedEndpoint, owner: str, **more: Any) -> list[dict[str, Any]]:
    """One for each model, as ``/v1/models`` lists them."""
    return [{"id": name, "object": "model", "created": 0, "owned_by": owner, **more} for name in endpoint.models]


def listed(cards: list[dict[str, Any]]) -> Document:
    """A list of cards."""
    return ok({"object": "list", "data": cards})


def is_embedding(name: str) -> bool:
    """Whether a simulated model of this name stands for one that makes embeddings."""
    return "embed" in name
