"""The front door: the OpenAI chat-completions protocol for every deployment that is served, as a plain ASGI app."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import anyio

from orchestrator.core.errors import NoSuchDeployment
from orchestrator.core.event import DELTA, Event
from orchestrator.core.names import did_you_mean
from orchestrator.core.request import Result
from orchestrator.deploy.deployment import Deployment
from orchestrator.gateway import completions as shapes
from orchestrator.gateway.body import Asked, read_body
from orchestrator.gateway.guard import (
    LARGEST_BODY,
    Receive,
    Scope,
    Send,
    Turned,
    cancel_when_left,
    check_source,
    headers_of,
    read_json,
    send_json,
)
from orchestrator.gateway.not_ready import NOT_READY
from orchestrator.serve.cancels import cancels
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.people import PeopleDesk

LONGEST_HEADER: Final = 500
_UNPRINTABLE: Final = re.compile("[^ -~]")
MOST_UNREAD: Final = 10_000
"""Pieces of an answer that may wait for a slow reader; then it is cut."""
_LOG: Final = logging.getLogger(__name__)
_NOT_AGAIN: Final = ((b"x-should-retry", b"false"),)
_AGAIN: Final = ((b"retry-after", b"5"),)
SSE_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


class FrontDoor:
    """``POST /v1/chat/completions``, ``GET /v1/models``, ``/v1/runs/ID`` (a run that waits for a person), ``/health`` (alive) and
    ``/ready`` (takes requests).

    ``only`` names the one deployment of an own port. ``state`` tells ``ready``, or why no requests are taken (``starting``,
    ``stopping``). ``coming`` says of a name that
    nothing serves whether it is applied: its callers are told to come again, not that there is no such model.
    """

    def __init__(
        self,
        engines: EngineTable,
        *,
        only: str = "",
        state: Callable[[], str] = lambda: "ready",
        coming: Callable[[str], bool] = lambda _name: False,
        largest_body: int = LARGEST_BODY,
    ) -> None:
        self._engines = engines
        self._only = only
        self._state = state
        self._coming = coming
        self._largest_body = largest_body
        self.desk: PeopleDesk | None = None
        """Knows the runs that wait for people; set before it listens."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        if scope["type"] != "http":
            return
        before, begun = cancels(), False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            headers = headers_of(scope)
            check_source(headers)
            await self._serve(scope, headers, receive, sending)
        except Turned as turned:
            await send_json(send, turned.status, turned.body(), turned.headers)
        except (Exception, asyncio.CancelledError) as error:
            if begun or (isinstance(error, asyncio.CancelledError) and cancels() > before):
                raise
            _LOG.exception("unexpected")
            fault = Turned(500, f"unexpected: {type(error).__name__}; the runtime's log says where", code="unexpected")
            await send_json(send, fault.status, fault.body(), _NOT_AGAIN)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/v1/chat/completions":
            _allow(method, "POST")
            await self._complete(headers, receive, send)
        elif path == "/v1/models":
            _allow(method, "GET")
            await send_json(send, 200, {"object": "list", "data": [_model(each) for each in self._served()]})
        elif path.startswith("/v1/models/"):
            _allow(method, "GET")
            await send_json(send, 200, _model(self._engine(path.removeprefix("/v1/models/")).deployment))
        elif path.startswith("/v1/runs/"):
            _allow(method, "GET")
            await self._run(path.removeprefix("/v1/runs/"), send)
        elif path == "/health":
            _allow(method, "GET")
            await send_json(send, 200, {"status": "ok"})
        elif path == "/ready":
            _allow(method, "GET")
            state = self._state()
            await send_json(send, 200 if state == "ready" else 503, {"status": state})
        else:
            raise Turned(404, f"there is nothing at {path}", code="not_found")

    def _served(self) -> list[Deployment]:
        names = [name for name in self._engines.names() if self._only in ("", name)]
        return [self._engines.get(name).deployment for name in names]

    async def _complete(self, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        state = self._state()
        if state != "ready":
            raise Turned(503, NOT_READY[state], code="not_ready", headers=_AGAIN)
        asked = read_body(await read_json(headers, receive, self._largest_body))
        engine = self._engine(asked.deployment, asked.request.agent)
        if asked.stream:
            await _stream(engine, asked, receive, send)
        else:
            await _whole(engine, asked, receive, send)

    async def _run(self, run: str, send: Send) -> None:
        """How a run that waits or waited for a person stands. Its id is what a caller was given, and nobody can guess."""
        found = await self.desk.result_of(run) if self.desk is not None else None
        if found is None or self._only not in ("", found["deployment"]):
            raise Turned(404, f'no run "{run}" waits or waited for a person', code="run_not_found")
        waits = found["status"] == "waiting"
        await send_json(send, 202 if waits else 200, shapes.run_told(found), _AGAIN if waits else ())

    def _engine(self, name: str, agent: str = "") -> Engine:
        if self._only and name != self._only:
            raise Turned(404, f'this port serves "{self._only}" only', code="model_not_found", param="model")
        try:
            engine = self._engines.get(name)
        except NoSuchDeployment as error:
            if self._coming(name):
                text = f'"{name}" is applied and takes no requests yet. See `orchestrator status {name}`.'
                raise Turned(503, text, code="not_ready", headers=_AGAIN) from error
            raise Turned(404, error.line, code="model_not_found", param="model") from error
        known = {**engine.deployment.agents, **engine.deployment.routers} if agent else {}
        if agent not in known and agent:
            cure = did_you_mean(agent, known) or f"There are: {', '.join(known)}."
            raise Turned(404, f'"{name}" has no agent "{agent}". {cure}', code="model_not_found", param="model")
        return engine


def _model(deployment: Deployment) -> dict[str, object]:
    return {
        "id": deployment.name,
        "object": "model",
        "created": int(deployment.applied),
        "owned_by": "orchestrator",
    }


def _allow(method: str, wanted: str) -> None:
    if method != wanted and not (method == "HEAD" and wanted == "GET"):
        raise Turned(405, f"use {wanted}", code="method_not_allowed", headers=((b"allow", wanted.encode()),))


async def _whole(engine: Engine, asked: Asked, receive: Receive, send: Send) -> None:
    with _cancelled_with_client(receive) as scope:
        result = await engine.run(asked.request)
    if scope.cancelled_caught:
        return
    if result.error:
        raise shapes.failure(result)
    await send_json(send, 200, shapes.completion(asked, result, int(time.time())), _named(asked, result))


@contextmanager
def _cancelled_with_client(receive: Receive) -> Iterator[anyio.CancelScope]:
    """A client that goes away cancels what is inside, and with it the model call.

    One bare task watches: a task group for each request would cost more than all else that the door does. It is
    cancelled here and has nothing to clean up.
    """
    with anyio.CancelScope() as scope:
        watch = asyncio.create_task(cancel_when_left(receive, scope))
        try:
            yield scope
        finally:
            watch.cancel()


async def _stream(engine: Engine, asked: Asked, receive: Receive, send: Send) -> None:
    failed: Result | None = None
    with _cancelled_with_client(receive) as scope:
        async with anyio.create_task_group() as tasks:
            unread = Unread(scope)
            tasks.start_soon(_run_into, engine, asked, unread)
            failed = await _send_pieces(asked, unread, send)
    if failed is not None:
        raise shapes.failure(failed)


async def _run_into(engine: Engine, asked: Asked, unread: Unread) -> None:
    def listen(event: Event) -> None:
        if event.kind == DELTA:
            unread.add(event.fields["text"])

    unread.end(await engine.run(asked.request, listen))


async def _send_pieces(asked: Asked, unread: Unread, send: Send) -> Result | None:
    """Send what arrives, several pieces as one where they wait; gives the result of a run that failed before any piece."""
    pieces = shapes.Pieces(asked, int(time.time()))
    text, result = await unread.take()
    if result is not None and result.error and not text:
        return result
    await send({"type": "http.response.start", "status": 200, "headers": [*SSE_HEADERS, *_named(asked)]})
    body = pieces.first()
    while True:
        if text:
            body += pieces.next(text)
        if result is not None:
            body += pieces.last(result)
        await send({"type": "http.response.body", "body": body, "more_body": result is None})
        if result is not None:
            return None
        text, result = await unread.take()
        body = b""


class Unread:
    """Pieces of an answer that wait for their reader, and the result at the end. Too many cancel ``scope``: the reader is
    too slow."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        self._texts: list[str] = []
        self._result: Result | None = None
        self._arrived = asyncio.Event()

    def add(self, text: str) -> None:
        """A piece has come."""
        self._texts.append(text)
        self._arrived.set()
        if len(self._texts) > MOST_UNREAD:
            self._scope.cancel()

    def end(self, result: Result) -> None:
        """There will be no more pieces."""
        self._result = result
        self._arrived.set()

    async def take(self) -> tuple[str, Result | None]:
        """Wait for something; gives all the text that is there, and the result if it is."""
        await self._arrived.wait()
        self._arrived.clear()
        text = "".join(self._texts)
        self._texts.clear()
        return text, self._result


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
