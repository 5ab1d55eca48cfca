"""The front door: the OpenAI chat-completions protocol for every deployment that is served, as a plain ASGI app."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from orchestrator.core.errors import NoSuchDeployment
from orchestrator.core.event import DELTA, Event
from orchestrator.core.names import did_you_mean
from orchestrator.core.request import Result
from orchestrator.gateway import completions as shapes
from orchestrator.gateway.completions import Asked
from orchestrator.gateway.guard import (
    LARGEST_BODY,
    Receive,
    Scope,
    Send,
    Turned,
    check_source,
    headers_of,
    read_json,
    send_json,
)
from orchestrator.serve.engine import Engine, EngineTable

LONGEST_HEADER: Final = 500
_UNPRINTABLE: Final = re.compile("[^ -~]")
MOST_UNREAD: Final = 10_000
"""Pieces of an answer that may wait for a slow reader; then it is cut."""
SSE_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class FrontDoor:
    """``POST /v1/chat/completions``, ``GET /v1/models``, ``/health`` (alive) and ``/ready`` (takes requests).

    ``only`` names the one deployment of an own port. ``ready`` is asked for ``/ready``.
    """

    def __init__(
        self,
        engines: EngineTable,
        *,
        only: str = "",
        ready: Callable[[], bool] = lambda: True,
        largest_body: int = LARGEST_BODY,
    ) -> None:
        self._engines = engines
        self._only = only
        self._ready = ready
        self._largest_body = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        if scope["type"] != "http":
            return
        try:
            headers = headers_of(scope)
            check_source(headers)
            await self._serve(scope, headers, receive, send)
        except Turned as turned:
            await send_json(send, turned.status, turned.body(), turned.headers)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/v1/chat/completions":
            _allow(method, "POST")
            await self._complete(headers, receive, send)
        elif path == "/v1/models":
            _allow(method, "GET")
            await send_json(send, 200, {"object": "list", "data": [_model(name) for name in self._names()]})
        elif path.startswith("/v1/models/"):
            _allow(method, "GET")
            await send_json(send, 200, _model(self._known(path.removeprefix("/v1/models/"))))
        elif path == "/health":
            _allow(method, "GET")
            await send_json(send, 200, {"status": "ok"})
        elif path == "/ready":
            _allow(method, "GET")
            ready = self._ready()
            await send_json(send, 200 if ready else 503, {"status": "ready" if ready else "not ready"})
        else:
            raise Turned(404, f"there is nothing at {path}", code="not_found")

    def _names(self) -> list[str]:
        names = self._engines.names()
        return [name for name in names if name == self._only] if self._only else names

    def _known(self, name: str) -> str:
        self._engine(name)
        return name

    async def _complete(self, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        if not self._ready():
            raise Turned(503, "the runtime is stopping", code="not_ready", headers=((b"retry-after", b"5"),))
        asked = shapes.read_body(await read_json(headers, receive, self._largest_body))
        engine = self._engine(asked.deployment, asked.request.agent)
        if asked.stream:
            await _stream(engine, asked, receive, send)
        else:
            await _whole(engine, asked, receive, send)

    def _engine(self, name: str, agent: str = "") -> Engine:
        if self._only and name != self._only:
            raise Turned(404, f'this port serves "{self._only}" only', code="model_not_found")
        try:
            engine = self._engines.get(name)
        except NoSuchDeployment as error:
            raise Turned(404, f"{error.message}. {error.cure}", code="model_not_found") from error
        known = {**engine.deployment.agents, **engine.deployment.routers} if agent else {}
        if agent not in known and agent:
            cure = did_you_mean(agent, known) or f"There are: {', '.join(known)}."
            raise Turned(404, f'"{name}" has no agent "{agent}". {cure}', code="model_not_found")
        return engine


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "orchestrator"}


def _allow(method: str, wanted: str) -> None:
    if method != wanted and not (method == "HEAD" and wanted == "GET"):
        raise Turned(405, f"use {wanted}", code="method_not_allowed", headers=((b"allow", wanted.encode()),))


async def _whole(engine: Engine, asked: Asked, receive: Receive, send: Send) -> None:
    results: list[Result] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_on_leave, receive, tasks.cancel_scope)
        results.append(await engine.run(asked.request))
        tasks.cancel_scope.cancel()
    if not results:
        return
    result = results[0]
    if result.error:
        raise shapes.failure(result)
    await send_json(send, 200, shapes.completion(asked, result, int(time.time())), _named(asked, result))


async def _cancel_on_leave(receive: Receive, scope: anyio.CancelScope) -> None:
    """A client that goes away cancels the run, and with it the model call."""
    while (await receive())["type"] != "http.disconnect":
        continue
    scope.cancel()


async def _stream(engine: Engine, asked: Asked, receive: Receive, send: Send) -> None:
    writer, reader = anyio.create_memory_object_stream[str | Result](math.inf)
    failed: list[Result] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_on_leave, receive, tasks.cancel_scope)
        tasks.start_soon(_run_into, engine, asked, writer, tasks.cancel_scope)
        failed.extend(await _send_pieces(asked, reader, send))
        tasks.cancel_scope.cancel()
    if failed:
        raise shapes.failure(failed[0])


async def _run_into(
    engine: Engine, asked: Asked, writer: MemoryObjectSendStream[str | Result], scope: anyio.CancelScope
) -> None:
    def listen(event: Event) -> None:
        if event.kind == DELTA:
            if writer.statistics().current_buffer_used > MOST_UNREAD:
                scope.cancel()
            writer.send_nowait(event.fields["text"])

    with writer:
        writer.send_nowait(await engine.run(asked.request, listen))


async def _send_pieces(asked: Asked, reader: MemoryObjectReceiveStream[str | Result], send: Send) -> list[Result]:
    """Send what arrives, several pieces at once where they wait; gives the result of a run that failed before any piece."""
    created = int(time.time())
    started = False
    async with reader:
        async for first in reader:
            pieces = [first, *_waiting(reader)]
            result = next((piece for piece in pieces if isinstance(piece, Result)), None)
            texts = [piece for piece in pieces if isinstance(piece, str)]
            if result is not None and result.error and not texts and not started:
                return [result]
            body = shapes.sse(shapes.chunk(asked, created, {"content": "".join(texts)})) if texts else b""
            if not started:
                started = True
                await send({"type": "http.response.start", "status": 200, "headers": [*SSE_HEADERS, *_named(asked)]})
                body = shapes.sse(shapes.chunk(asked, created, {"role": "assistant", "content": ""})) + body
            if result is not None:
                body += _ending(asked, result, created)
            await send({"type": "http.response.body", "body": body, "more_body": result is None})
    return []


def _ending(asked: Asked, result: Result, created: int) -> bytes:
    if result.error:
        return shapes.sse(shapes.failure(result).body())
    ends = b"".join(shapes.sse(piece) for piece in shapes.last_chunks(asked, result, created))
    return ends + b"data: [DONE]\n\n"


def _waiting(reader: MemoryObjectReceiveStream[str | Result]) -> list[str | Result]:
    found: list[str | Result] = []
    while True:
        try:
            found.append(reader.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return found


def _named(asked: Asked, result: Result | None = None) -> tuple[tuple[bytes, bytes], ...]:
    headers = [(b"x-orchestrator-run", asked.request.id.encode())]
    if asked.ignored:
        headers.append((b"x-orchestrator-ignored", _printable(", ".join(asked.ignored))))
    if result is not None and result.agent:
        headers.append((b"x-orchestrator-agent", _printable(result.agent)))
    return tuple(headers)


def _printable(text: str) -> bytes:
    """As the value of a header: what a client chose must not begin a header of its own."""
    return _UNPRINTABLE.sub("?", text[:LONGEST_HEADER]).encode()
