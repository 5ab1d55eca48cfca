"""Where a request goes, taken apart once. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from orchestrator.core.errors import BadRequest

_PORTS: Final = {"http": 80, "https": 443}
_KEPT: Final = "!$%&'()*+,/:;=?@[]~"
"""What stays as it is in a path with its query: what RFC 3986 allows there, and escapes that are made already."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address that can be called. ``host`` is as it is resolved, ``origin`` as it is shown and sent (``Host``),
    ``target`` the path with its query, in ASCII."""

    scheme: str
    host: str
    port: int
    netloc: str
    target: str
    door: tuple[str, int] = field(compare=False)
    """What connections are kept by."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: the part that a message may show."""
        return f"{self.scheme}://{self.netloc}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


@functools.lru_cache(maxsize=512)
def address(base: str, path: str) -> Place:
    """``path`` below ``base``. Raises ``BadRequest`` where ``base`` is no http(s) address."""
    try:
        parts = urlsplit(f"{base.rstrip('/')}/{path.lstrip('/')}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    except ValueError as error:
        raise BadRequest(f"{base!r} is no address: {error}") from error
    if parts.scheme not in _PORTS or not host or any(character in host for character in " \t\r\n%"):
        raise BadRequest(f"{base!r} is no address of a server", cure="write it like http://127.0.0.1:8080/v1")
    if parts.username is not None:
        raise BadRequest(f"the address of {host} holds a user name", cure="give the key as api_key: env:NAME")
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port == _PORTS[parts.scheme] else f"{shown}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return Place(parts.scheme, host, port, netloc, quote(parts.path + query, safe=_KEPT), (host, port))
