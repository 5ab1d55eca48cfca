"""The line to servers that need TLS or a proxy: aiohttp, with one session for each way to keep connections."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, Final, Literal
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from yarl import URL

from orchestrator.core.errors import BadRequest, BrokenReply, StaleConnection, Stalled
from orchestrator.plugins.providers.addresses import is_loopback
from orchestrator.plugins.providers.line.answer import Answer, Errand
from orchestrator.plugins.providers.line.breaks import before_headers, while_reading
from orchestrator.plugins.providers.line.connection import MAX_REPLY
from orchestrator.plugins.providers.line.near import CONNECT, DRAIN, KEEP_ALIVE
from orchestrator.plugins.providers.line.place import Place

_CLOUD_KEEP_ALIVE: Final = 15.0  # seconds
_CLOUD_CONNECT: Final = 10.0
_LARGE: Final = 1024 * 1024
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",
    "User-Agent": "orchestrator-edge",
}

_Sort = Literal["near", "once", "cloud"]
_reused: ContextVar[bool] = ContextVar("reused", default=False)
"""Whether the connection that this task was given last had carried a request before."""


class _Pool(aiohttp.TCPConnector):
    """A pool that tells whether a connection is a reused one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._carried: WeakSet[Any] = WeakSet()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        _reused.set(False)
        connection = await super().connect(req, traces, timeout)
        if connection.protocol in self._carried:
            _reused.set(True)
        else:
            self._carried.add(connection.protocol)
        return connection


class FarAnswer:
    """An answer whose body is still coming, in aiohttp's hands."""

    __slots__ = ("_response",)

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events."""
        return self._response.content_type != "application/json"

    async def read(self) -> bytes:
        """The next bytes that arrived, empty at the end."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise while_reading(error) from error

    async def whole(self) -> Answer:
        """The rest of the body."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_REPLY:
                raise BrokenReply(f"the answer is longer than {MAX_REPLY} bytes")
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Answer(self._response.status, headers, b"".join(pieces))

    async def drain(self) -> None:
        """Wait a moment for the end of the body."""
        try:
            async with asyncio.timeout(DRAIN):
                while not self._response.content.at_eof():
                    await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._response.close()  # not kept then; the answer itself is whole

    def close(self) -> None:
        """Give the connection back where the body was read to its end, else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class FarLine:
    """Sessions that open on first use."""

    def __init__(self) -> None:
        self._sessions: dict[_Sort, aiohttp.ClientSession] = {}
        self._stale_until: dict[tuple[str, int], float] = {}
        """Servers that gave up a kept connection, and until when others that were kept may be given up too."""

    async def whole(self, method: str, errand: Errand, body: bytes | None) -> Answer:
        """Send, and wait for the whole answer."""
        answer = await self.open(method, errand, body)
        try:
            return await answer.whole()
        finally:
            answer.close()

    async def open(self, method: str, errand: Errand, body: bytes | None) -> FarAnswer:
        """Send, and wait for the headers."""
        if errand.timeout <= 0:
            raise Stalled("no time is left for this call")
        place = errand.place
        cloud = errand.zone == "cloud"
        try:
            response = await self._session(self._sort(errand)).request(
                method,
                URL(str(place), encoded=True),
                data=_sent(body),
                headers=errand.headers(),
                timeout=aiohttp.ClientTimeout(errand.timeout, sock_connect=_CLOUD_CONNECT if cloud else CONNECT),
                allow_redirects=False,
                proxy=proxy_for(place) if cloud else None,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            meaning = before_headers(error, place.origin, _reused.get())
            if isinstance(meaning, StaleConnection):
                longest = _CLOUD_KEEP_ALIVE if cloud else KEEP_ALIVE
                self._stale_until[place.door] = asyncio.get_running_loop().time() + longest
            raise meaning from error
        except ValueError as error:
            raise BadRequest(f"cannot be sent to {place}: {error}") from error
        return FarAnswer(response)

    def _sort(self, errand: Errand) -> _Sort:
        """How its connection is kept. Where one was just given up, a fresh one is used until all that were kept with it are
        gone."""
        door = errand.place.door
        if door in self._stale_until and self._stale_until[door] <= asyncio.get_running_loop().time():
            del self._stale_until[door]
        if errand.once or door in self._stale_until:
            return "once"
        return "cloud" if errand.zone == "cloud" else "near"

    def _session(self, sort: _Sort) -> aiohttp.ClientSession:
        session = self._sessions.get(sort)
        if session is None:
            session = self._sessions[sort] = _open_session(sort)
        return session

    async def aclose(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


def _open_session(sort: _Sort) -> aiohttp.ClientSession:
    # No limit of connections here: how many calls go to an endpoint is the scheduler's to decide.
    options: dict[str, Any] = {"limit": 0, "timeout_ceil_threshold": float("inf")}
    if sort == "once":
        options["force_close"] = True
    else:
        options["keepalive_timeout"] = _CLOUD_KEEP_ALIVE if sort == "cloud" else KEEP_ALIVE
    return aiohttp.ClientSession(
        connector=_Pool(**options),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        trust_env=False,
    )


def _sent(body: bytes | None) -> Any:
    """aiohttp takes bytes in one write, and warns for large ones; those go in pieces."""
    if body is None or len(body) < _LARGE:
        return body
    import io

    return io.BytesIO(body)


def proxy_for(place: Place) -> str | None:
    """The proxy that the environment asks for, for cloud addresses only."""
    if is_loopback(place.host) or proxy_bypass(place.host):
        return None
    return getproxies().get(place.scheme)
