"""One connection to a server nearby: HTTP/1.1 (RFC 9112), one request at a time, parsed by httptools.

A future stands for what the caller waits for: the head, some of the body, or the whole answer. A whole answer therefore
costs one turn of the event loop, however many packets it comes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, cast

import httptools

from orchestrator.core.errors import BrokenReply, CutOff, ModelError, StaleConnection, Stalled, Unreachable

MAX_REPLY: Final = 32 * 1024 * 1024
"""Bytes that a whole answer may have."""
MAX_HEAD: Final = 64 * 1024
"""Bytes that the first line and the headers of an answer may have."""
STALE_WITHIN: Final = 1.0
"""Seconds after a request within which a kept connection that closes had been given up by its server before."""
MOST_UNREAD: Final = 256 * 1024
"""Bytes of a stream that may wait for their reader; then the server has to wait."""
CURE: Final = "is the server running?"


class Awaited(IntEnum):
    """How far an answer must have come for its caller to go on."""

    HEAD = 1
    SOME = 2  # something of the body, or its end
    END = 3


class Connection(asyncio.Protocol):
    """Usable once it is connected: ``begin`` sends a request, ``until`` waits for its answer to come so far.

    ``origin`` is for messages; ``on_lost`` is told once the connection is closed.
    """

    _transport: asyncio.Transport  # from the moment it is connected

    __slots__ = (
        "_awaited",
        "_begun",
        "_complete",
        "_error",
        "_fields",
        "_head_size",
        "_headers_done",
        "_loop",
        "_lost",
        "_parser",
        "_paused",
        "_pieces",
        "_size",
        "_started",
        "_timer",
        "_transport",
        "_unclaimed",
        "_waiter",
        "idle_since",
        "keep",
        "on_lost",
        "origin",
        "reused",
        "status",
    )

    def __init__(self, origin: str, on_lost: Callable[[Connection], None]) -> None:
        self.origin = origin
        self.on_lost = on_lost
        self.reused = False
        """Whether it had carried a request before this one."""
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False
        self._paused = False
        self._complete = True
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.keep = True
        self._awaited = Awaited.END
        self._error: ModelError | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._unclaimed = 0  # bytes since the head, or a piece of the body, was last completed
        self._begun = 0.0
        self._started = False
        self._headers_done = False

    # -- for the line -----------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether another request can be sent on it: not while the last one is still being sent, as where a server answers
        before it has read it."""
        transport = self._transport
        return (
            self._complete and not self._lost and not transport.is_closing() and not transport.get_write_buffer_size()
        )

    @property
    def complete(self) -> bool:
        """Whether the whole answer has come."""
        return self._complete

    def begin(self, request: bytes, keep: bool, deadline: float) -> None:
        """Send a request. Its whole answer must be there by ``deadline``, a time of the event loop."""
        self._reset()
        self.keep = keep
        self._complete = False
        self._begun = self._loop.time()
        self._timer = self._loop.call_at(deadline, self._expire)
        self._transport.write(request)

    async def until(self, awaited: Awaited) -> None:
        """Wait until the answer has come so far; pieces that came before a fault are given before it.

        Raises the ``ModelError`` that ended it.
        """
        if self._has(awaited):
            return
        if self._error is None:
            await self._wait(awaited)
        if not self._has(awaited) and self._error is not None:
            raise self._error

    async def _wait(self, awaited: Awaited) -> None:
        self._awaited = awaited
        self._resume()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer, by lower-case name; the last one of a name counts."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._fields}

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size = 0
        return body

    def fail(self, error: ModelError) -> None:
        """Close, and end an answer that is not whole with this error."""
        if not self._complete and self._error is None:
            self._error = error
        self.abort()
        self._wake(Awaited.END)

    def abort(self) -> None:
        """Close at once, so that the server sees it and stops working."""
        self._stop_timer()
        self._lost = True
        self._transport.abort()

    # -- for the event loop -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._complete:  # an answer that nobody asked for
            self.abort()
            return
        self._started = True
        self._unclaimed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:  # the answer is whole; what came after it only costs the connection
                self.abort()
            else:
                self.fail(self._not_understood(error))
            return
        if self._unclaimed > MAX_HEAD and not self._complete:
            self.fail(self._endless_head())

    def eof_received(self) -> None:
        """The server sends no more: what is still being sent to it is of no use either, so nothing waits for that."""
        self._at_end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost:
            self._at_end(exc)
        self._lost = True
        self.on_lost(self)

    # -- for the parser ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headers_done:
            return  # a trailer must not be taken for a header (RFC 9110, 6.5.1), and we need none
        self._fields.append((name, value))
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            self.fail(self._endless_head())

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._unclaimed = 0
        if self.status >= 200:
            self._headers_done = True
            self._wake(Awaited.HEAD)

    def on_body(self, body: bytes) -> None:
        self._unclaimed = 0
        self._pieces.append(body)
        self._size += len(body)
        if self._awaited is Awaited.END:
            if self._size > MAX_REPLY:
                self.fail(BrokenReply(f"the answer is longer than {MAX_REPLY} bytes"))
        else:
            self._wake(Awaited.SOME)
            if self._size > MOST_UNREAD:
                self._pause()

    def on_message_complete(self) -> None:
        if self.status < 200:  # an interim answer (RFC 9110, 15.2): the real one follows
            self._fields = []
        elif self._error is None:
            self.keep = self.keep and self._parser.should_keep_alive()
            self._end()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _has(self, awaited: Awaited) -> bool:
        if awaited is Awaited.HEAD:
            return self._headers_done
        return self._complete or (awaited is Awaited.SOME and bool(self._pieces))

    def _wake(self, reached: Awaited) -> None:
        waiter = self._waiter
        if waiter is not None and reached >= self._awaited and not waiter.done():
            waiter.set_result(None)

    def _at_end(self, exc: Exception | None) -> None:
        """The connection ends: well, if that is how the body ends (RFC 9112, 6.3, rule 8)."""
        if self._complete:
            return
        if exc is None and self._headers_done and self._ends_with_connection:
            self.keep = False
            self._end()
        else:
            self.fail(self._broken_off(exc))

    def _end(self) -> None:
        self._complete = True
        self._stop_timer()
        self._resume()  # a kept connection must see that it is closed
        self._wake(Awaited.END)

    def _expire(self) -> None:
        self._timer = None
        late = "the answer did not end in time" if self._headers_done else f"{self.origin} did not answer in time"
        self.fail(Stalled(late))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pause(self) -> None:
        if not self._paused and not self._lost:
            self._transport.pause_reading()
            self._paused = True

    def _resume(self) -> None:
        if self._paused and not self._lost:
            self._transport.resume_reading()
        self._paused = False

    @property
    def _ends_with_connection(self) -> bool:
        """Whether the body has neither a length nor a last chunk."""
        headers = self.headers
        coding = headers.get("transfer-encoding")
        if coding is not None:
            return not coding.rstrip().lower().endswith("chunked")
        return "content-length" not in headers

    def _broken_off(self, exc: Exception | None) -> ModelError:
        if self._headers_done:
            return CutOff(f"the connection broke within the answer: {exc or 'it was closed'}")
        if self._started:
            return CutOff(f"{self.origin} closed the connection within its headers")
        if self.reused and self._loop.time() - self._begun < STALE_WITHIN:
            return StaleConnection(f"{self.origin} closed a kept connection before it answered")
        return Unreachable(f"{self.origin} closed the connection before it answered", cure=CURE)

    def _endless_head(self) -> ModelError:
        return BrokenReply(f"{self.origin} sends headers of more than {MAX_HEAD} bytes")

    def _not_understood(self, error: Exception) -> ModelError:
        if self._headers_done:
            return BrokenReply(f"the answer of {self.origin} breaks off: {str(error)[:120]}")
        return BrokenReply(f"{self.origin} does not speak HTTP: {str(error)[:120]}")
