"""The simulated endpoint over HTTP: carries out on a socket what :mod:`orchestrator.testing.endpoint` decides."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from orchestrator.testing import openai_wire as wire
from orchestrator.testing.asked import Asked
from orchestrator.testing.counting import COUNTING, counted
from orchestrator.testing.endpoint import SimulatedEndpoint, Turn, parsed
from orchestrator.testing.face import Face
from orchestrator.testing.faces import FACES
from orchestrator.testing.fault import FAULTS, FaultKind
from orchestrator.testing.http_protocol import Connection, HttpRequest, chunk, head
from orchestrator.testing.lifecycle.shell import StoreShell

_EVENTS = {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache"}


class HttpShell:
    """Serves one endpoint behind one face on one port. Besides the face's own paths it answers

    ``GET /simulated/log`` (every request with its outcome, as JSON) and ``POST /simulated/faults`` (``{"faults": [...]}``:
    each strikes one of the next requests).
    """

    def __init__(self, endpoint: SimulatedEndpoint, face: str = "openai") -> None:
        self.endpoint = endpoint
        self.face: Face = FACES[face]
        endpoint.any_model = endpoint.any_model or self.face.any_model
        endpoint.ignores |= self.face.ignores
        endpoint.hides |= self.face.hides
        if not endpoint.store_is_given:
            loaded = endpoint.models if self.face.loads_all else endpoint.models[:1]
            endpoint.store.loaded.update(dict.fromkeys(loaded, endpoint.context))
        self._store = StoreShell(endpoint.store, face, self.face.headers, self._restock)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._turns: dict[int, asyncio.Event] = {}
        self._pause: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its root, without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        """Listen on a loopback port; 0 takes a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every client."""
        if self._pause is not None:
            self._pause.cancel()
        if self._server is not None:
            self._server.close()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in list(self._connections):
            connection.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.stop()
        self._connections.clear()

    def _connection(self) -> Connection:
        connection = Connection(self.serve, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _restock(self) -> None:
        """It serves what its store holds now."""
        self.endpoint.models = tuple(self.endpoint.store.installed)

    def serve(self, connection: Connection, request: HttpRequest) -> None:
        """Answer one request."""
        path = request.path.partition("?")[0]
        if path.startswith("/simulated/"):
            self._own(connection, request, path)
        elif not self._let_in(request, path):
            self._refuse(connection, FAULTS["unauthorized"], {})
        elif self.face.wants_length and request.method == "POST" and "content-length" not in request.headers:
            connection.respond(411, "application/json", wire.encoded({"error": "Content-Length is required"}))
        elif self._store.serve(connection, request):
            return
        elif request.method == "POST" and self.face.chats and path.endswith("/chat/completions"):
            self._chat(connection, request)
            return
        elif request.method == "POST" and self.face.embeds and path.endswith("/embeddings"):
            self._embed(connection, request)
            return
        elif request.method == "POST" and self.face.counts and path in COUNTING:
            self._count(connection, request, path)
        else:
            self._document(connection, request, path)
        connection.finished()

    def _let_in(self, request: HttpRequest, path: str) -> bool:
        key = self.endpoint.api_key
        shown = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key")
        return not key or path in self.face.open_paths or shown == key

    def _own(self, connection: Connection, request: HttpRequest, path: str) -> None:
        if path == "/simulated/log":
            lines = [record.as_json() for record in self.endpoint.records]
            connection.respond(200, "application/json", wire.encoded(lines))
            return
        try:
            faults = [str(fault) for fault in parsed(request.body).get("faults", ())]
            self.endpoint.arm(*faults)
        except ValueError as error:
            connection.respond(400, "application/json", wire.error_body(str(error), "invalid_request_error", 400))
            return
        connection.respond(200, "application/json", wire.encoded({"armed": faults}))

    def _document(self, connection: Connection, request: HttpRequest, path: str) -> None:
        documents = self.face.documents(self.endpoint) if request.method in ("GET", "HEAD") else {}
        if self.face.chats and self.endpoint.is_loading(time.monotonic()):
            self._refuse(connection, FAULTS["loading"], {})
            return
        status, content_type, value = documents.get(request.path) or documents.get(path) or self.face.missing
        body = value.encode() if isinstance(value, str) else wire.encoded(value)
        connection.respond(status, content_type, body, self.face.headers)

    def _refuse(self, connection: Connection, fault: FaultKind, headers: dict[str, str]) -> None:
        body = wire.error_body(fault.message, fault.label, fault.status)
        connection.respond(fault.status, "application/json", body, {**self.face.headers, **headers})

    def _count(self, connection: Connection, request: HttpRequest, path: str) -> None:
        try:
            answer = counted(self.face.counts, path, parsed(request.body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._refuse_request(connection, error)
            return
        connection.respond(200, "application/json", wire.encoded(answer), self.face.headers)

    def _embed(self, connection: Connection, request: HttpRequest) -> None:
        try:
            body = parsed(request.body)
            texts = [body["input"]] if isinstance(body["input"], str) else list(body["input"])
        except (ValueError, KeyError, TypeError) as error:
            self._refuse_request(connection, error)
            connection.finished()
            return
        rows = [
            {"object": "embedding", "index": index, "embedding": self.endpoint.embedding(str(text))}
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        answer = {"object": "list", "model": body.get("model"), "data": rows, "usage": usage}
        connection.respond(200, "application/json", wire.encoded(answer))
        connection.finished()

    def _refuse_request(self, connection: Connection, error: Exception) -> None:
        message = f"cannot read this request: {error!r}"
        connection.respond(400, "application/json", wire.error_body(message, "invalid_request_error", 400))

    def _chat(self, connection: Connection, request: HttpRequest) -> None:
        try:
            asked = replace(Asked.from_body(parsed(request.body)), key=request.headers.get("idempotency-key", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._refuse_request(connection, error)
            connection.finished()
            return
        if asked.tools and self.face.refuses_tools:
            body = wire.error_body(self.face.refuses_tools, "BadRequestError", 400)
            connection.respond(400, "application/json", body, self.face.headers)
            connection.finished()
            return
        turn = self.endpoint.begin(asked, time.monotonic())
        if self._refused(connection, turn):
            return
        decision = self.endpoint.line.enter(turn.record.number)
        if decision == "full":
            self._refuse(connection, FAULTS["queue-full"], {})
            self._ended(connection, turn, "queue-full", 0)
        elif decision == "runs" and not turn.wait and not turn.gap and turn.fault is None and not asked.stream:
            # Nothing to wait for: answered without a task, so that a benchmark measures its client and not this server.
            connection.respond(200, "application/json", wire.whole(turn), self.face.headers)
            self._ended(connection, turn, "finished", len(turn.pieces))
        else:
            connection.task = asyncio.create_task(self._generate(connection, turn, decision == "waits"))

    def _refused(self, connection: Connection, turn: Turn) -> bool:
        """Carry out a fault that ends the request before it gets a slot."""
        refusal, fault = turn.refusal, turn.fault
        if fault is not None and fault.name == "stale" and connection.carried:
            refusal = fault.kind
        if refusal is None:
            return False
        if refusal.stage == "connection":
            self._break(connection, refusal, fault.value if fault else 0.0)
        else:
            self._refuse(connection, refusal, wire.waiting_headers(fault, time.time()))
        self._ended(connection, turn, refusal.name, 0)
        return True

    def _break(self, connection: Connection, fault: FaultKind, seconds: float) -> None:
        if fault.name == "stale":
            connection.close()
            return
        connection.reset()
        if fault.name == "refuse" and (self._pause is None or self._pause.done()):
            self._pause = asyncio.create_task(self._closed_for(seconds))

    async def _closed_for(self, seconds: float) -> None:
        """Nobody can connect for a while; clients that are connected are dropped."""
        if self._server is not None:
            self._server.close()
        for other in self._connections:
            other.close()
        await asyncio.sleep(seconds)
        await self.start()

    def _ended(self, connection: Connection, turn: Turn, outcome: str, tokens: int) -> None:
        self.endpoint.end(turn, outcome, tokens)
        self._leave(turn)
        connection.finished()

    def _leave(self, turn: Turn) -> None:
        following = self.endpoint.line.leave(turn.record.number)
        if following is not None:
            self._turns.pop(following).set()

    async def _generate(self, connection: Connection, turn: Turn, waits: bool) -> None:
        """Wait for a slot, then write the answer at the endpoint's pace."""
        outcome, tokens = "cancelled", [0]
        try:
            if waits:
                event = self._turns[turn.record.number] = asyncio.Event()
                await event.wait()
            write = self._stream if turn.asked.stream and not turn.struck_by("whole-despite-stream") else self._whole
            await write(connection, turn, tokens)
            outcome = turn.fault.name if turn.fault is not None and turn.fault.kind.error else "finished"
        finally:
            self._turns.pop(turn.record.number, None)
            self._ended(connection, turn, outcome, tokens[0])

    async def _whole(self, connection: Connection, turn: Turn, tokens: list[int]) -> None:
        await _pass(turn.wait)
        async for _ in _tokens(turn, tokens):
            pass
        fault = turn.fault
        answer = wire.whole(turn)
        if fault is not None and fault.kind.stage == "body":
            connection.respond(*wire.spoiled_body(fault.kind, answer))
        elif turn.struck_by("hang-mid"):
            await _pass(math.inf)
        elif turn.struck_by("error-in-stream"):
            connection.respond(200, "application/json", wire.error_body("internal error", "server_error", 500))
        elif turn.breaks_after is not None:
            connection.write(
                head(200, "application/json", {"Content-Length": str(len(answer))}) + answer[: len(answer) // 2]
            )
            connection.close()
        else:
            connection.respond(200, "application/json", answer, self.face.headers)

    async def _stream(self, connection: Connection, turn: Turn, tokens: list[int]) -> None:
        fault = turn.fault
        if fault is not None and fault.kind.stage == "body":
            connection.respond(*wire.spoiled_body(fault.kind, wire.whole(turn)))
            return
        send = _Sender(connection, crlf=turn.struck_by("crlf"), comments=self.face.comments)
        if turn.struck_by("slow-prefill-progress"):
            await _progress(connection, send, turn.wait, self.face)
        else:
            await _pass(turn.wait)
            connection.write(head(200, "text/event-stream", {**_EVENTS, **self.face.headers}))
        send(wire.first_chunk(turn))
        async for piece in _tokens(turn, tokens):
            send(wire.text_chunk(turn, piece))
        await _finish(connection, turn, send)
        if self.face.closes_streams:
            connection.close()


class _Sender:
    """Writes events as chunks; with CR LF and comments where the fault asks for it."""

    def __init__(self, connection: Connection, crlf: bool, comments: bool) -> None:
        self._connection = connection
        self._crlf = crlf
        self._comments = comments

    def __call__(self, events: bytes) -> None:
        if self._comments:
            events = b": keepalive 1/1\n\n" + events
        if self._crlf:
            events = b": still here\r\n\r\n" + events.replace(b"\n", b"\r\n")
        self._connection.write(chunk(events))


async def _finish(connection: Connection, turn: Turn, send: _Sender) -> None:
    """The end of a stream, or what stands there instead."""
    if turn.struck_by("hang-mid"):
        await _pass(math.inf)
    if turn.struck_by("drop-mid"):
        connection.close()
        return
    if turn.struck_by("error-in-stream"):
        send(wire.error_event())
    elif not turn.struck_by("no-finish"):
        for piece in wire.call_chunks(turn):
            send(piece)
        send(wire.last_chunks(turn) + (b"" if turn.struck_by("no-done") else wire.DONE))
    connection.write(b"0\r\n\r\n")


async def _progress(connection: Connection, send: _Sender, seconds: float, face: Face) -> None:
    connection.write(head(200, "text/event-stream", {**_EVENTS, **face.headers}))
    for step in range(10):
        send(b": keepalive %d\n\n" % step)
        await _pass(seconds / 10)


async def _tokens(turn: Turn, tokens: list[int]) -> AsyncIterator[str]:
    """The tokens at their pace, counted."""
    for piece in turn.pieces[: turn.breaks_after]:
        if tokens[0] and turn.gap:
            await _pass(turn.gap)
        tokens[0] += 1
        turn.record.tokens = tokens[0]
        yield piece


async def _pass(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.Event().wait()
    elif seconds:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def serving(endpoint: SimulatedEndpoint, face: str = "openai", port: int = 0) -> AsyncIterator[HttpShell]:
    """Serve an endpoint on a loopback port of this process, while the block runs."""
    shell = HttpShell(endpoint, face)
    await shell.start(port)
    try:
        yield shell
    finally:
        await shell.stop()


@asynccontextmanager
async def serving_bytes(answers: Iterable[bytes]) -> AsyncIterator[str]:
    """A server that answers each connection with the next of these bytes, whatever it is asked, and closes; then with
    the last again. Gives its URL. For servers that speak no known protocol."""
    queue = list(answers)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(queue.pop(0) if len(queue) > 1 else queue[0])
        writer.close()

    server: Any = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
