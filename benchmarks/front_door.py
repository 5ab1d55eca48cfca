"""What the front door adds to the engine: HTTP in, JSON or a stream out.

Method: the door on its real listener in this process, over an engine on an instant provider; a client process sends one
request after another on one connection a round. CPU time (user and system) of this process per request, medians of
interleaved rounds after one to warm up. `bare` is an ASGI app on the same listener that reads the body and answers with as
many bytes, which is what uvicorn's protocol costs by itself; with the engine inside it gives what the engine costs where
the event loop sleeps between requests (about half more than in a tight loop, because caches are cold then). What the door
adds is the whole less that. For a stream: the CPU time of 200 pieces, less that of the same answer in one piece, per piece;
the same for a bare app that sends 200 pieces, which is a system call for each.

Found while tuning: asyncio leaves Nagle's algorithm on for sockets that are made without a protocol number (44 ms a
request); a task group for each request costs 0.05 ms, a bare task a fifth of it; head and body in one write save a system
call, 0.05 ms on a virtual machine; timers for headers and body are needed only where a request does not come whole.
"""

from __future__ import annotations

import gc
import json
import socket
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import anyio.lowlevel

from benchmarks.canned import ANSWER
from benchmarks.engine import Instant, Way, through
from benchmarks.measure import Row, at_most, cpu_of_block, show
from benchmarks.two_hops import TEXT, engine_of
from orchestrator.core.message import Message, Usage
from orchestrator.gateway.bind import bind_port
from orchestrator.gateway.front import FrontDoor
from orchestrator.gateway.guard import App, Receive, Scope, Send
from orchestrator.gateway.listen import Listener
from orchestrator.ports.provider import ChatCall, ChatReply, Delta
from orchestrator.serve.engine import EngineTable

ROUNDS: Final = 9
REQUESTS: Final = 300
FEW: Final = {"long": 20, "pieces": 20, "bare pieces": 20}
"""Requests of those that take long."""
PIECES: Final = 200


class InPieces(Instant):
    """A provider whose answer comes in pieces, each after a turn of the event loop."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:  # noqa: ARG002 - the port's shape
        """The same words each time."""
        for _ in range(self._pieces):
            await anyio.lowlevel.checkpoint()
            yield Delta("word ")
        text = "word " * self._pieces
        yield Delta("", ChatReply(Message("assistant", text), "stop", Usage(400, self._pieces, 1)))


def _client(port: int, stream: bool, turns: int) -> None:
    """Send as many requests as each line of input says, one after another; then print the number of the line."""
    history = [
        {"role": "user" if n % 2 == 0 else "assistant", "content": f"turn {n}: {'words ' * 10}"} for n in range(turns)
    ]
    body = {"model": "shop", "messages": [*history, {"role": "user", "content": TEXT}], "stream": stream}
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    sent = head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data
    for number, line in enumerate(sys.stdin, 1):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            for _ in range(int(line)):
                connection.sendall(sent)
                read_answer(connection, stream)
        print(number, flush=True)


def read_answer(connection: socket.socket, stream: bool) -> None:
    """Read one answer to its end; fails where it is no 200."""
    got = b""
    while True:
        piece = connection.recv(1 << 20)
        assert piece, "the connection was closed"
        got += piece
        head, found, rest = got.partition(b"\r\n\r\n")
        if stream and got.endswith(b"0\r\n\r\n"):
            return
        if not stream and found:
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            if len(rest) == length:
                assert head.startswith(b"HTTP/1.1 200"), got
                return


class Client:
    """The process that asks."""

    def __init__(self, app: App, stream: bool = False, turns: int = 0) -> None:
        self._app = app
        self._asked = 0
        self._options = [json.dumps(stream), str(turns)]

    async def __aenter__(self) -> Client:
        sock = bind_port("127.0.0.1", 0)
        self._listener = await Listener.start(self._app, sock)
        command = [sys.executable, "-m", "benchmarks.front_door", str(sock.getsockname()[1]), *self._options]
        self._process = await anyio.open_process(command, stderr=None)
        return self

    async def ask(self, count: int) -> None:
        """That many requests."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._asked += 1
        await self._process.stdin.send(f"{count}\n".encode())
        said = b""
        while not said.endswith(b"\n"):
            said += await self._process.stdout.receive()
        assert int(said) == self._asked, f"the client is at {said!r}, not at {self._asked}"

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await self._process.wait()
        await self._process.aclose()
        await self._listener.aclose()


BODY: Final = json.dumps({"text": ANSWER, "padding": "x" * 700}).encode()
START: Final = {"type": "http.response.start", "status": 200}


def bare(work: Way) -> App:
    """What any ASGI app does, and some work."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await work()
        await send({**START, "headers": [(b"content-length", b"%d" % len(BODY))]})
        await send({"type": "http.response.body", "body": BODY})

    return app


async def bare_pieces(_scope: Scope, receive: Receive, send: Send) -> None:
    """Pieces of the size that ours have, each after a turn of the event loop."""
    await receive()
    await send({**START, "headers": []})
    for _ in range(PIECES):
        await anyio.lowlevel.checkpoint()
        await send({"type": "http.response.body", "body": BODY[:190], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def nothing() -> None:
    """No work."""


async def measure() -> dict[str, float]:
    """Milliseconds of CPU per request, of each way."""
    async with engine_of("first", Instant()) as engine, engine_of("first", InPieces(PIECES)) as streaming:
        table, streams = EngineTable(), EngineTable()
        table.switch("shop", engine)
        streams.switch("shop", streaming)
        ways = {
            "bare": Client(bare(nothing)),
            "with engine": Client(bare(through(engine))),
            "whole": Client(FrontDoor(table)),
            "long": Client(FrontDoor(table), turns=400),
            "short": Client(FrontDoor(table), stream=True),
            "pieces": Client(FrontDoor(streams), stream=True),
            "bare pieces": Client(bare_pieces, stream=True),
        }
        async with AsyncExitStack() as stack:
            for client in ways.values():
                await stack.enter_async_context(client)
            return await _rounds(ways)


async def _rounds(ways: dict[str, Client]) -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, client in ways.items():
            gc.collect()
            with cpu_of_block(spent[name]):
                await client.ask(FEW.get(name, REQUESTS))
    return {name: statistics.median(each[1:]) / FEW.get(name, REQUESTS) * 1e3 for name, each in spent.items()}


def added() -> float:
    """Milliseconds that the front door adds to the engine's part of a request."""
    cost = anyio.run(measure)
    return cost["whole"] - (cost["with engine"] - cost["bare"])


def rows() -> list[Row]:
    """All rows."""
    cost = anyio.run(measure)
    engine = cost["with engine"] - cost["bare"]
    piece = (cost["pieces"] - cost["short"]) / PIECES * 1e3
    sending = (cost["bare pieces"] - cost["bare"]) / PIECES * 1e3
    return [
        Row("the engine between requests: router, specialist, an instant model", engine, "ms"),
        Row("a bare ASGI app on the same listener", cost["bare"], "ms"),
        at_most("what the front door adds to the engine", cost["whole"] - engine, "ms", 0.12),
        Row("... of which is not the listener's", cost["whole"] - cost["with engine"], "ms"),
        Row("what it adds with 400 messages in the body", cost["long"] - engine, "ms"),
        Row("what it adds to an answer streamed in one piece", cost["short"] - engine, "ms"),
        Row("a piece of a stream that a bare ASGI app sends", sending, "us"),
        at_most("what loop, engine and front door add to a piece", piece - sending, "us", 15),
    ]


def main() -> None:
    """Print the rows."""
    show(rows())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        arguments: Any = [json.loads(each) for each in sys.argv[1:]]
        _client(*arguments)
    else:
        main()
