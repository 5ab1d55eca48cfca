"""The line to servers on this device and the local network: plain HTTP/1.1 on connections of our own.

A call to a small model nearby is short, so that what the client costs is felt: this one costs a third of aiohttp's CPU
time (docs/decisions/0009). It does what such calls need and nothing else: no TLS, no proxy, no redirects, no cookies.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, StaleConnection, Stalled, Unreachable
from orchestrator.plugins.providers.line.answer import Answer, Errand
from orchestrator.plugins.providers.line.connection import CURE, Awaited, Connection
from orchestrator.plugins.providers.line.place import Place

KEEP_ALIVE: Final = 2.5
"""Seconds that an idle connection is kept; uvicorn closes it after 5, and a reuse at that moment is lost."""
CONNECT: Final = 3.0
"""Seconds for the TCP handshake."""
DRAIN: Final = 0.05
"""Seconds that the end of a stream may take after its last event."""
_CLOSED: Final = "the line to the server was closed from here"
_NAME_CURE: Final = "is the name written right? give the address itself"
_Addresses = Sequence[Any]
_SECOND_TRY: Final = 0.25  # seconds until another address of a name is tried beside the first (RFC 8305)


class NearAnswer:
    """An answer whose body is still coming, on its connection."""

    __slots__ = ("_closed", "_connection", "_line", "_place")

    def __init__(self, line: NearLine, place: Place, connection: Connection) -> None:
        self._line = line
        self._place = place
        self._connection = connection
        self._closed = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._connection.status

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events."""
        return self._connection.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json"

    async def read(self) -> bytes:
        """The next bytes that arrived, empty at the end."""
        await self._connection.until(Awaited.SOME)
        return self._connection.take()

    async def whole(self) -> Answer:
        """The rest of the body."""
        await self._connection.until(Awaited.END)
        return _answer(self._connection)

    async def drain(self) -> None:
        """Wait a moment for the end of the body."""
        try:
            async with asyncio.timeout(DRAIN):
                while not self._connection.complete:
                    await self.read()
        except (ModelError, TimeoutError):
            self._connection.abort()  # not kept then; the answer itself is whole

    def close(self) -> None:
        """Give the connection back where the answer has come whole, else close it. Twice is fine."""
        if not self._closed:
            self._closed = True
            self._line.give_back(self._place, self._connection)


class NearLine:
    """Connections by host and port; those that are idle are used again, the last one first. One event loop only."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[Connection]] = {}
        self._all: set[Connection] = set()
        self._life = 0
        """Goes up when everything is closed: what was begun before must not come back."""
        self._sweeper: asyncio.TimerHandle | None = None

    async def whole(self, method: str, errand: Errand, body: bytes | None) -> Answer:
        """Send, and wait for the whole answer."""
        connection = await self._answering(method, errand, body, Awaited.END)
        answer = _answer(connection)
        self.give_back(errand.place, connection)
        return answer

    async def open(self, method: str, errand: Errand, body: bytes | None) -> NearAnswer:
        """Send, and wait for the headers."""
        connection = await self._answering(method, errand, body, Awaited.HEAD)
        return NearAnswer(self, errand.place, connection)

    async def aclose(self) -> None:
        """Close every connection; what is under way ends with ``BrokenReply``. It can be used again."""
        self._life += 1
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        for connection in list(self._all):
            connection.fail(BrokenReply(_CLOSED))
        await asyncio.sleep(0)  # a turn of the loop, so that they are really gone

    def give_back(self, place: Place, connection: Connection) -> None:
        """Keep a connection whose answer is whole for the next request; close any other."""
        if not (connection.usable and connection.keep):
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(place.door, []).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(KEEP_ALIVE, self._sweep)

    async def _answering(self, method: str, errand: Errand, body: bytes | None, awaited: Awaited) -> Connection:
        """A connection whose answer to this request has come so far."""
        connection = await self._sent(method, errand, body)
        try:
            await connection.until(awaited)
            _check(connection)
        except BaseException as error:
            connection.abort()
            if isinstance(error, StaleConnection):
                self._drop_idle(errand.place)  # the others have been given up too
            raise
        return connection

    def _drop_idle(self, place: Place) -> None:
        for connection in self._idle.pop(place.door, ()):
            connection.abort()

    async def _sent(self, method: str, errand: Errand, body: bytes | None) -> Connection:
        if errand.timeout <= 0:
            raise Stalled("no time is left for this call")
        request = _request(method, errand, body)
        deadline = asyncio.get_running_loop().time() + errand.timeout
        connection = None if errand.once else self._kept(errand.place)
        if connection is None:
            connection = await self._connected(errand.place, min(CONNECT, errand.timeout))
        connection.begin(request, not errand.once, deadline)
        return connection

    def _kept(self, place: Place) -> Connection | None:
        idle = self._idle.get(place.door)
        while idle:
            connection = idle.pop()
            if connection.usable and asyncio.get_running_loop().time() - connection.idle_since < KEEP_ALIVE:
                connection.reused = True
                return connection
            connection.abort()
        return None

    async def _connected(self, place: Place, patience: float) -> Connection:
        connection, life = Connection(place.origin, self._all.discard), self._life
        found = () if _is_literal(place.host) else await _addresses(place, patience)
        try:
            async with asyncio.timeout(patience):
                await _connect(place, found, connection)
        except TimeoutError as error:
            raise Unreachable(f"{place.origin} does not accept connections", cure=CURE) from error
        except OSError as error:
            raise Unreachable(f"{place.origin} cannot be reached: {_reason(error)}", cure=CURE) from error
        self._all.add(connection)
        if life != self._life:
            connection.abort()
            raise BrokenReply(_CLOSED)
        return connection

    def _sweep(self) -> None:
        """Close what was idle for too long, and come again when the next one is due."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEP_ALIVE
        self._sweeper = None
        for door, idle in list(self._idle.items()):
            young = [each for each in idle if each.idle_since > oldest and each.usable]
            for connection in set(idle).difference(young):
                connection.abort()
            self._idle[door] = young
            if not young:
                del self._idle[door]
        if self._idle:
            due = min(idle[0].idle_since for idle in self._idle.values()) + KEEP_ALIVE
            self._sweeper = loop.call_at(due, self._sweep)


def _answer(connection: Connection) -> Answer:
    return Answer(connection.status, connection.headers, connection.take())


def _check(connection: Connection) -> None:
    """Raise where this is no answer to what was asked."""
    if connection.status == 408 and connection.reused:  # what a server says to an idle connection (RFC 9110, 15.5.9)
        raise StaleConnection(f"{connection.origin} gave up a kept connection before it saw the request")
    encoding = connection.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise BrokenReply(f"{connection.origin} compresses its answer ({encoding}), which it was asked not to do")


async def _addresses(place: Place, patience: float) -> _Addresses:
    """What the host's name stands for. Raises ``Unreachable``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            return await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except TimeoutError as error:
        raise Unreachable(f"nobody told in time which address {place.host} has", cure=_NAME_CURE) from error
    except OSError as error:
        raise Unreachable(f"{place.host} has no address: {_reason(error)}", cure=_NAME_CURE) from error


async def _connect(place: Place, found: _Addresses, connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    if not found:
        await loop.create_connection(lambda: connection, place.host, place.port)
        return
    from aiohappyeyeballs import start_connection

    sock = await start_connection(found, happy_eyeballs_delay=_SECOND_TRY, loop=loop)
    await loop.create_connection(lambda: connection, sock=sock)


@functools.lru_cache(maxsize=512)
def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _request(method: str, errand: Errand, body: bytes | None) -> bytes:
    head = _head(method, errand.place, errand.once)
    for name, value in errand.headers().items():
        if not (value.isascii() and value.isprintable()):
            raise BadRequest(f"{name} holds a character that no header may have")
        head += f"{name}: {value}\r\n".encode()
    if body is None:
        return head + b"\r\n"
    return b"%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


@functools.lru_cache(maxsize=512)
def _head(method: str, place: Place, once: bool) -> bytes:
    lines = [
        f"{method} {place.target} HTTP/1.1",
        f"Host: {place.netloc}",
        "Accept: application/json, text/event-stream",
        "Accept-Encoding: identity",  # compressing on a loopback costs more than it saves
        "User-Agent: orchestrator-edge",
        *(["Connection: close"] if once else []),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()
