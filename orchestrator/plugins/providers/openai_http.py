"""The HTTP line to model servers: one aiohttp session for what is near, one for the cloud, every fault translated.

The line knows no protocol above HTTP. Cancelling a call closes its connection, so that the server stops generating.
"""

from __future__ import annotations

import asyncio
import functools
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from yarl import URL

from orchestrator.core.errors import BadRequest, BrokenReply, ModelError, Stalled
from orchestrator.plugins.providers.addresses import is_loopback
from orchestrator.plugins.providers.breaks import before_headers, while_reading
from orchestrator.plugins.providers.failures import failure_of
from orchestrator.ports.provider import Secret, Zone

MAX_REPLY: Final = 32 * 1024 * 1024
"""Bytes that a whole answer may have."""

_NEAR_KEEP_ALIVE: Final = 2.5  # seconds; uvicorn closes idle connections after 5, and a reuse at that moment is lost
_CLOUD_KEEP_ALIVE: Final = 15.0
_NEAR_CONNECT: Final = 3.0  # seconds for the TCP handshake
_CLOUD_CONNECT: Final = 10.0
_DRAIN: Final = 0.05  # seconds
_LARGE: Final = 1024 * 1024
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",  # compressing on a loopback costs more than it saves
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


@dataclass(frozen=True, slots=True)
class Errand:
    """Where a request goes and how long it may take, in seconds. ``once``: its connection is not used again."""

    url: URL
    timeout: float
    api_key: Secret | None = None
    zone: Zone = "node"
    request_id: str = ""
    once: bool = False

    def headers(self) -> dict[str, str]:
        """Those that belong to this request alone."""
        headers: dict[str, str] = {}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key.reveal()}"
        if self.request_id:
            headers["X-Request-Id"] = self.request_id
        return headers


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of a server."""

    status: int
    headers: Any
    body: bytes

    def failure(self) -> ModelError:
        """What its status means."""
        return failure_of(self.status, self.headers, self.body, time.time())


class OpenAnswer:
    """An answer whose body is still coming. ``read`` gives the next piece, and an empty one at the end."""

    __slots__ = ("_response",)

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events; a few servers ignore ``stream`` and answer whole."""
        return self._response.content_type != "application/json"

    async def read(self) -> bytes:
        """The next bytes that arrived. Raises ``BrokenReply`` or ``Stalled``."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise while_reading(error) from error

    async def whole(self) -> Answer:
        """The rest of the body, at most ``MAX_REPLY`` bytes."""
        response = self._response
        length = response.content_length
        if length is not None and length <= MAX_REPLY:
            try:
                body = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise while_reading(error) from error
        else:
            body = await self._bounded()
        return Answer(response.status, response.headers, body)

    async def _bounded(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_REPLY:
                raise BrokenReply(f"the answer is longer than {MAX_REPLY} bytes")
        return b"".join(pieces)

    async def drain(self) -> None:
        """Wait a moment for the end of a body whose last event has come, so that its connection can be kept."""
        try:
            async with asyncio.timeout(_DRAIN):
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


class HttpLine:
    """Sends requests. Sessions open on first use; ``aclose`` closes them. One line serves one event loop."""

    def __init__(self) -> None:
        self._sessions: dict[_Sort, aiohttp.ClientSession] = {}

    async def get(self, errand: Errand) -> Answer:
        """``GET`` a small document."""
        return await self._whole("GET", errand, None)

    async def post(self, errand: Errand, body: bytes) -> Answer:
        """``POST`` and wait for the whole answer."""
        return await self._whole("POST", errand, body)

    async def _whole(self, method: str, errand: Errand, body: bytes | None) -> Answer:
        answer = await self.open(method, errand, body)
        try:
            return await answer.whole()
        finally:
            answer.close()

    async def open(self, method: str, errand: Errand, body: bytes | None) -> OpenAnswer:
        """Send and wait for the headers. The caller must ``close`` what it gets."""
        if errand.timeout <= 0:
            raise Stalled("no time is left for this call")
        cloud = errand.zone == "cloud" and not is_loopback(errand.url.host or "")
        try:
            response = await self._session("cloud" if cloud else "once" if errand.once else "near").request(
                method,
                errand.url,
                data=_sent(body),
                headers=errand.headers(),
                timeout=aiohttp.ClientTimeout(errand.timeout, sock_connect=_CLOUD_CONNECT if cloud else _NEAR_CONNECT),
                allow_redirects=False,
                proxy=proxy_for(errand.url) if cloud else None,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise before_headers(error, errand.url, _reused.get()) from error
        except ValueError as error:
            raise BadRequest(f"cannot be sent to {errand.url}: {error}") from error
        return OpenAnswer(response)

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
        options["keepalive_timeout"] = _CLOUD_KEEP_ALIVE if sort == "cloud" else _NEAR_KEEP_ALIVE
    pool = _Pool(**options)
    return aiohttp.ClientSession(
        connector=pool,
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


@functools.lru_cache(maxsize=512)
def address(base: str, path: str) -> URL:
    """``path`` below ``base``. Raises ``BadRequest`` where ``base`` is no http(s) address."""
    try:
        url = URL(f"{base.rstrip('/')}/{path.lstrip('/')}")
    except ValueError as error:
        raise BadRequest(f"{base!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadRequest(f"{base!r} is no address of a server", cure="write it like http://127.0.0.1:8080/v1")
    return url


def proxy_for(url: URL) -> str | None:
    """The proxy that the environment asks for, for cloud addresses only."""
    host = url.host or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(url.scheme)
