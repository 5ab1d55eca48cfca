"""The target of a request in its absolute form, ``GET http://localhost:7411/v1/models HTTP/1.1`` (RFC 9112, 3.2.2). Pure."""

from __future__ import annotations

import re
from typing import Final

_ABSOLUTE: Final = re.compile(rb"http://([^/?#@]+)(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Path with query, and the host that is asked: it goes before the ``Host`` header. Raises ``ValueError`` where the target
    is neither a path nor an ``http`` address without a user: ``*``, another scheme, ``host:port`` of a CONNECT."""
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise ValueError("the target of the request is no path and no http address")
    host, path, query = found.groups(b"")
    return (path or b"/") + query, host
