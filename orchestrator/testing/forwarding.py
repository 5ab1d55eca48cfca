"""A double that wears the face of one make and lets a real server answer: its text, its grammar and its log-probabilities are
real, and what that make ignores never reaches the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from orchestrator.testing import openai_wire as wire
from orchestrator.testing.endpoint import SimulatedEndpoint, parsed, simulated
from orchestrator.testing.http_protocol import Connection, HttpRequest, chunk, head
from orchestrator.testing.http_shell import HttpShell

_FIELDS: Final = {
    "tools": ("tools", "tool_choice"),
    "tool_choice": ("tool_choice",),
    "schema": ("response_format",),
    "grammar": ("grammar", "structured_outputs"),
    "logprobs": ("logprobs", "top_logprobs"),
    "stream_usage": ("stream_options",),
}
"""What a make may ignore, and the fields that say it."""


class ForwardingShell(HttpShell):
    """Chats and embeds by another server, at ``upstream`` (its root); everything else as :class:`HttpShell`."""

    def __init__(self, endpoint: SimulatedEndpoint, face: str, upstream: str) -> None:
        super().__init__(endpoint, face)
        self._upstream = upstream

    def _chat(self, connection: Connection, request: HttpRequest) -> None:
        self._forward(connection, request, "/v1/chat/completions")

    def _embed(self, connection: Connection, request: HttpRequest) -> None:
        self._forward(connection, request, "/v1/embeddings")

    def _forward(self, connection: Connection, request: HttpRequest, path: str) -> None:
        try:
            body = {name: value for name, value in parsed(request.body).items() if name not in self._ignored()}
        except ValueError as error:
            self._refuse_request(connection, error)
            connection.finished()
            return
        connection.task = asyncio.create_task(self._answer(connection, path, body))

    def _ignored(self) -> set[str]:
        return {field for name in self.face.ignores for field in _FIELDS.get(name, ())}

    async def _answer(self, connection: Connection, path: str, body: dict[str, Any]) -> None:
        """Ask the other server; a client that goes away cancels this, and with it the other server's work."""
        import aiohttp

        try:
            async with (
                aiohttp.ClientSession(auto_decompress=False) as session,
                session.post(f"{self._upstream}{path}", json=body) as answer,
            ):
                if "text/event-stream" in answer.headers.get("Content-Type", ""):
                    await self._pass_on(connection, answer.content)
                else:
                    content = self._without_hidden(await answer.read())
                    connection.respond(answer.status, "application/json", content, self.face.headers)
        finally:
            connection.finished()

    async def _pass_on(self, connection: Connection, content: Any) -> None:
        more = {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache", **self.face.headers}
        connection.write(head(200, "text/event-stream", more))
        async for line in content:
            payload = line.removeprefix(b"data: ").strip()
            if payload.startswith(b"{"):
                connection.write(chunk(b"data: " + self._without_hidden(payload) + b"\n\n"))
            elif payload:
                connection.write(chunk(line + b"\n"))
        connection.write(b"0\r\n\r\n")
        if self.face.closes_streams:
            connection.close()

    def _without_hidden(self, content: bytes) -> bytes:
        value = json.loads(content)
        return wire.encoded({name: each for name, each in value.items() if name not in self.face.hides})


@asynccontextmanager
async def forwarding(upstream: str, model: str, face: str) -> AsyncIterator[ForwardingShell]:
    """Serve a double of this make in front of a real server, while the block runs."""
    shell = ForwardingShell(simulated([model]), face, upstream)
    await shell.start()
    try:
        yield shell
    finally:
        await shell.stop()
