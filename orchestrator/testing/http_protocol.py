"""A small HTTP/1.1 server protocol on httptools, with the means to misbehave: resets, half answers, silence."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """One client. ``serve(connection, request)`` is called for each request, one at a time; it either answers at once or
    starts a task and names it in ``task``, which is cancelled when the client goes away; ``gone(connection)`` follows."""

    def __init__(self, serve: Callable[[Connection, HttpRequest], None], gone: Callable[[Connection], None]) -> None:
        self._serve = serve
        self._gone = gone
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._pending: list[HttpRequest] = []
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.task: asyncio.Task[None] | None = None
        self.carried = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connects."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's shape
        """The client is gone."""
        self._gone(self)
        self._transport = None
        if self.task is not None:
            self.task.cancel()

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        """httptools: its path."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of its body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools: it is whole."""
        method = self._parser.get_method().decode()
        self._pending.append(HttpRequest(method, self._url.decode(), self._headers, b"".join(self._body)))
        if self.task is None and len(self._pending) == 1:
            self._next()

    def finished(self) -> None:
        """The answer is written; take the next request where one waits."""
        self.task = None
        self.carried += 1
        self._pending.pop(0)
        if self._pending:
            self._next()

    def _next(self) -> None:
        self._serve(self, self._pending[0])

    def write(self, data: bytes) -> None:
        """Send bytes, unless the client is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def respond(self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        self.write(head(status, content_type, {"Content-Length": str(len(body)), **(headers or {})}) + body)

    def close(self) -> None:
        """Close properly, which looks to the client like a server that ended."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        if self._transport is None:
            return
        plug = self._transport.get_extra_info("socket")
        if plug is not None:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def head(status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
