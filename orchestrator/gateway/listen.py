"""Listen on a port or a socket file, and serve an ASGI app there: no polling, no signal handlers, bounded in time and size.

uvicorn's protocol class speaks HTTP; its server is not used, because it wakes ten times a second and takes over signals.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import anyio
import anyio.lowlevel
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from orchestrator.gateway.guard import App
from orchestrator.gateway.one_write import OneWrite
from orchestrator.gateway.target import origin_form

HEADER_SECONDS: Final = 10.0
"""How long a client may take for the headers of a request, from its first byte (or from connecting)."""
BODY_SECONDS: Final = 60.0
"""How long it may take for the body."""
LARGEST_HEADERS: Final = 65_536
"""Bytes of a request's first line and headers."""
BACKLOG: Final = 1024
_LAST_WORDS: Final = 5.0
"""Seconds that answers in work have once nobody waits for them any more."""
_LEAVING: Final = 0.5
"""Seconds in which they notice that their clients are gone."""


class BoundedProtocol(HttpToolsProtocol):
    """HTTP that drops clients which send too slowly or too much before a request is complete."""

    _patience: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the parent class
        super().connection_made(OneWrite(transport))
        self._wait_for_at_most(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._patience is None and self._incomplete:  # most requests come whole, and need no timer
            self._wait_for_at_most(HEADER_SECONDS if self._in_head else BODY_SECONDS)
        if self._in_head and self._head_bytes > LARGEST_HEADERS and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    @property
    def _incomplete(self) -> bool:
        """Whether a request has begun to come and is not whole."""
        return not self._in_head or self._head_bytes > 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        if not self.url.startswith(b"/"):
            self._take_absolute_form()
        super().on_headers_complete()

    def _take_absolute_form(self) -> None:
        """What raises here is answered with 400. Two hosts stay two: the app turns them away."""
        self.url, host = origin_form(self.url)
        told = [index for index, (name, _) in enumerate(self.headers) if name == b"host"]
        if len(told) == 1:
            self.headers[told[0]] = (b"host", host)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._stop_waiting()
        super().on_message_complete()

    def _wait_for_at_most(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(seconds, self._drop)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _drop(self) -> None:
        self._patience = None
        self.transport.close()


class Listener:
    """An app that is served on a bound socket, until :meth:`aclose`. Its tasks are those of its connections."""

    def __init__(self, sock: socket.socket, server: asyncio.Server, state: ServerState) -> None:
        self._sock = sock
        self._server = server
        self._state = state

    @classmethod
    async def start(cls, app: App, sock: socket.socket) -> Listener:
        """Accept connections from now on."""
        config = Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        state = ServerState()

        def protocol() -> BoundedProtocol:
            return BoundedProtocol(config=config, server_state=state, app_state={})

        server = await asyncio.get_running_loop().create_server(protocol, sock=sock, backlog=BACKLOG)
        return cls(sock, server, state)

    @property
    def address(self) -> Any:
        """``(host, port)``, or the path of a socket file."""
        return self._sock.getsockname()

    async def aclose(self, patience: float = _LAST_WORDS) -> None:
        """Accept nothing new, and let answers in work go out for ``patience`` seconds."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._wait_for_tasks(patience)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await self._wait_for_tasks(_LEAVING)  # who watches for a client that goes away ends by itself
        for task in set(self._state.tasks):
            task.cancel()
        # One turn of the loop, so that cancelled answers and aborted connections are really gone.
        await anyio.lowlevel.checkpoint()

    async def _wait_for_tasks(self, seconds: float) -> None:
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=seconds)
