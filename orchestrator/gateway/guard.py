"""What every listener refuses before it looks at a request: foreign hosts and origins, bodies that are too large or no JSON.

A page in a browser can reach loopback (DNS rebinding), so that binding to loopback alone protects nothing: the ``Host``
must be a loopback name, and an ``Origin``, where a browser sends one, must be loopback too. A page can send a form to any
address without asking; it cannot send ``application/json``, which is why nothing else is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import anyio

from orchestrator.core.surrogates import is_whole, utf8

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK: Final = r"(?:localhost|127\.0\.0\.1|\[::1\])\.?(?::[0-9]{1,5})?"
_HOST: Final = re.compile(_LOOPBACK.encode(), re.IGNORECASE)
_ORIGIN: Final = re.compile(b"https?://" + _LOOPBACK.encode(), re.IGNORECASE)
LARGEST_BODY: Final = 1_000_000
"""Bytes of a request's body."""


class Turned(Exception):
    """A request that is turned away: ``status`` and an OpenAI-shaped error. ``param`` names the field that is wrong."""

    def __init__(
        self, status: int, message: str, *, code: str, headers: tuple[tuple[bytes, bytes], ...] = (), param: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers

    def body(self) -> dict[str, Any]:
        """The body that official clients understand."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        return {"error": {"message": str(self), "type": kind, "param": self.param or None, "code": self.code}}


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by lower-case name; the last one of a name counts, but a host may be told once only."""
    headers = dict(scope["headers"])
    if len(headers) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
        raise Turned(400, "more than one Host header", code="host_not_allowed")
    return headers


def check_source(headers: dict[bytes, bytes]) -> None:
    """Raise ``Turned`` where the host or the origin is not this device."""
    host = headers.get(b"host", b"")
    if not _HOST.fullmatch(host):
        raise Turned(403, f"the host {host.decode('latin-1')!r} is not served here", code="host_not_allowed")
    origin = headers.get(b"origin")
    if origin is not None and not _ORIGIN.fullmatch(origin):
        raise Turned(403, "pages of other origins may not call this device", code="origin_not_allowed")


async def read_json(headers: dict[bytes, bytes], receive: Receive, largest: int = LARGEST_BODY) -> dict[str, Any]:
    """The body as a JSON object. Raises ``Turned``: 415 for another type, 413 when too large, 400 when it is no object."""
    content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type != b"application/json":
        raise Turned(415, "send JSON: Content-Type: application/json", code="unsupported_media_type")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Turned(415, "send the body as it is, not compressed", code="unsupported_media_type")
    value = _parsed(await _read(headers, receive, largest))
    if not isinstance(value, dict):
        raise Turned(400, "the body is no JSON object", code="invalid_json")
    return value


def _parsed(body: bytes) -> Any:
    try:
        value = _DECODER.decode(body.decode())
        split = b"\\u" in body and not is_whole(_ENCODER.encode(value))  # only an escape can hold half a character
    except RecursionError as error:
        raise Turned(400, "the body is JSON that is nested too deep", code="invalid_json") from error
    except ValueError as error:
        # Python's limit on digits has no class of its own, and a text that speaks of its interpreter.
        what = "holds a number of too many digits" if type(error) is ValueError else f"is no JSON: {error}"
        raise Turned(400, f"the body {what}", code="invalid_json") from error
    if split:
        raise Turned(
            400, "the body holds half a character: an escape like \\ud83d needs its other half", code="invalid_json"
        )
    return value


class _NoJson(ValueError):
    """A word that Python reads and JSON does not have."""


def _refused(word: str) -> Any:
    raise _NoJson(f"{word} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refused)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_json(value: Any) -> bytes:
    """As it is sent."""
    return utf8(_ENCODER.encode(value))


async def _read(headers: dict[bytes, bytes], receive: Receive, largest: int) -> bytes:
    told = headers.get(b"content-length", b"0")
    if told.isdigit() and int(told) > largest:
        raise Turned(413, f"the body is larger than {largest} bytes", code="body_too_large")
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Turned(400, "the client went away", code="client_closed")
        piece = message.get("body", b"")
        size += len(piece)
        if size > largest:
            raise Turned(413, f"the body is larger than {largest} bytes", code="body_too_large")
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


async def send_json(send: Send, status: int, value: Any, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send a whole JSON answer."""
    body = to_json(value)
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def cancel_when_left(receive: Receive, scope: anyio.CancelScope) -> None:
    """Wait until the client goes away, and cancel."""
    while (await receive())["type"] != "http.disconnect":
        continue
    scope.cancel()
