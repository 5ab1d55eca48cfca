"""Which line carries a request: our own to what is near, aiohttp where TLS or a proxy is needed."""

from __future__ import annotations

from orchestrator.plugins.providers.addresses import is_loopback
from orchestrator.plugins.providers.line.answer import Answer, Errand, Line, OpenAnswer
from orchestrator.plugins.providers.line.near import NearLine


class HttpLine:
    """Sends requests. Connections open on first use; ``aclose`` closes them. One line serves one event loop.

    ``near`` carries what needs neither TLS nor a proxy: our own line, where none is given.
    """

    def __init__(self, near: Line | None = None) -> None:
        self._near = near or NearLine()
        self._far: Line | None = None

    async def get(self, errand: Errand) -> Answer:
        """``GET`` a small document."""
        return await self._to(errand).whole("GET", errand, None)

    async def post(self, errand: Errand, body: bytes) -> Answer:
        """``POST`` and wait for the whole answer."""
        return await self._to(errand).whole("POST", errand, body)

    async def delete(self, errand: Errand, body: bytes | None) -> Answer:
        """``DELETE`` and wait for the whole answer."""
        return await self._to(errand).whole("DELETE", errand, body)

    async def open(self, method: str, errand: Errand, body: bytes | None) -> OpenAnswer:
        """Send and wait for the headers. The caller must ``close`` what it gets."""
        return await self._to(errand).open(method, errand, body)

    def _to(self, errand: Errand) -> Line:
        place = errand.place
        if place.scheme == "http" and (errand.zone != "cloud" or is_loopback(place.host)):
            return self._near
        if self._far is None:
            from orchestrator.plugins.providers.line.far import FarLine

            self._far = FarLine()
        return self._far

    async def aclose(self) -> None:
        """Close every connection."""
        await self._near.aclose()
        if self._far is not None:
            await self._far.aclose()
