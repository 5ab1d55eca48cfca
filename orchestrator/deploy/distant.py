"""An encoder behind a model server's ``/v1/embeddings``: asked while a router learns, and by the engine for each request."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final, cast

import anyio.from_thread

from orchestrator.core.errors import BrokenReply, ModelError, NoModel, StaleConnection
from orchestrator.core.field_values import CannotRedact
from orchestrator.core.personal import Finder, Pseudonyms
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import Embedder

NOBODY: Final = "no server makes the vectors"
BATCH: Final = 64
"""Texts of one call."""
LEARNING_SECONDS: Final = 60.0
"""The longest that a call may take while a router learns: the server may have to load the model for it."""
ASKING_SECONDS: Final = 5.0
"""The longest that a request waits for its vector."""


class ServerEncoder:
    """Fits the port ``DistantEncoder``. ``missing`` says why there is no endpoint; ``finder`` says what is not sent
    to one in the cloud, in examples as in requests."""

    def __init__(
        self, name: str, endpoints: Sequence[EndpointSpec], missing: str = "", finder: Finder | None = None
    ) -> None:
        self.name = name
        self._endpoints = tuple(endpoints)
        self._missing = missing
        far = any(each.target.zone == "cloud" for each in endpoints)
        self._finder = finder if far else None

    def encode_all(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Every vector, from a thread that the event loop has started. Raises ``ModelError`` or ``NoModel``."""
        if not self._endpoints:
            raise NoModel(self._missing or NOBODY)
        found: list[Sequence[float]] = []
        for start in range(0, len(texts), BATCH):
            batch = tuple(map(self._hidden, texts[start : start + BATCH]))
            found += anyio.from_thread.run(embed, self._endpoints, batch, LEARNING_SECONDS)
        return found

    def _hidden(self, text: str) -> str:
        """Each with placeholders of its own."""
        if self._finder is None:
            return text
        try:
            return Pseudonyms(self._finder).hide(text)
        except CannotRedact as error:
            raise NoModel(f"an example may not be sent to {self.name}: {error}") from error


async def embed(
    endpoints: Sequence[EndpointSpec], texts: tuple[str, ...], timeout: float
) -> tuple[tuple[float, ...], ...]:
    """The vectors of the first endpoint that gives them. Raises the last ``ModelError``, or ``NoModel`` where there is none."""
    last: ModelError | NoModel = NoModel(NOBODY)
    for endpoint in endpoints:
        if not hasattr(endpoint.provider, "embed"):
            last = NoModel(f"{endpoint.target.provider} makes no vectors")
            continue
        try:
            return _finite(await _embed(endpoint, texts, timeout))
        except ModelError as error:
            last = error
    raise last


async def _embed(endpoint: EndpointSpec, texts: tuple[str, ...], timeout: float) -> tuple[tuple[float, ...], ...]:
    """Once more where a kept connection had been closed: that says nothing of the server."""
    embedder = cast(Embedder, endpoint.provider)
    try:
        return await embedder.embed(endpoint.target, texts, timeout)
    except StaleConnection:
        return await embedder.embed(endpoint.target, texts, timeout)


def _finite(vectors: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    """The same. Raises ``BrokenReply`` for what is no number: every comparison with that would be wrong, and none would fail."""
    if not all(isfinite(sum(vector)) for vector in vectors):
        raise BrokenReply("its vectors hold what is no finite number")
    return vectors
