"""A deployment of the background runtime, asked from async code: cancelling a call closes its connection, which cancels the run."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.app.client import SILENT_SECONDS, RuntimeClient, request_json, waits_on
from orchestrator.app.replies import read_error, read_event, read_result
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.core.event import Event
from orchestrator.core.request import Request, Result
from orchestrator.core.unknown import no_deployment

if TYPE_CHECKING:
    from aiohttp import ClientSession

LONGEST_LINE: Final = 16_000_000
"""Bytes of one event; a result with a long history of steps is one line."""


@dataclass(frozen=True, slots=True)
class RemoteRuns:
    """Sends requests to one deployment over the runtime's socket."""

    name: str
    http: ClientSession

    async def run(self, request: Request, listen: Callable[[Event], None] | None = None) -> Result:
        """Answer a request, whole where nobody listens to its pieces; raises ``RuntimeUnavailable`` where the runtime ends in the
        middle."""
        body = {"name": self.name, "request": request_json(request), "pieces": listen is not None}
        return await self._result(body, "run", listen)

    async def wait(self, run: str) -> Result:
        """How a run ended that waited for a person, once it did. Raises ``RuntimeUnavailable`` where the runtime ends before: the
        run waits on."""
        try:
            return await self._result({"run": run}, "wait", None)
        except RuntimeUnavailable as error:
            raise waits_on(run, error) from error

    async def label(self, run: str, *, right: bool, agent: str, router: str, by: str) -> None:
        """Note that an answer, or whom a router chose, was right or wrong."""
        body = {"run": run, "right": right, "agent": agent, "router": router, "by": by}
        async for _ in self._lines(body, "label"):
            continue

    async def _result(self, body: Mapping[str, Any], path: str, listen: Callable[[Event], None] | None) -> Result:
        async with aclosing(self._lines(body, path)) as lines:  # however it ends, the connection ends with it
            async for entry in lines:
                if entry["kind"] == "end":
                    return read_result(entry["value"])
                if entry["kind"] == "error":
                    raise read_error(entry["error"])
                if listen is not None:
                    listen(read_event(entry))
        raise RuntimeUnavailable("the runtime ended in the middle of its answer", cure="orchestrator runtime logs")

    async def _lines(self, body: Mapping[str, Any], path: str) -> AsyncGenerator[dict[str, Any], None]:
        from aiohttp import ClientConnectorError, ClientError

        try:
            async with self.http.post(f"http://localhost/{path}", json=body) as response:
                if response.status >= 400:
                    raise read_error((await response.json()).get("error", {}))
                async for line in response.content:
                    if line != b"\n":  # a sign of life
                        yield json.loads(line)
        except ClientConnectorError as error:  # it was there as the block began
            cure = "orchestrator runtime start brings it back, with all that is applied"
            raise RuntimeUnavailable("no runtime runs any more", cure=cure) from error
        except (ClientError, TimeoutError, ValueError) as error:
            cure = "orchestrator runtime logs"
            raise RuntimeUnavailable(f"the runtime does not answer: {error}", cure=cure) from error


def session_to(socket: Path) -> ClientSession:
    """An HTTP session over the runtime's private socket; the caller closes it."""
    from aiohttp import ClientSession, ClientTimeout, UnixConnector

    return ClientSession(
        connector=UnixConnector(str(socket), limit=0),
        timeout=ClientTimeout(total=None, sock_read=SILENT_SECONDS),
        read_bufsize=LONGEST_LINE,
    )


def check_applied(client: RuntimeClient, name: str) -> None:
    """Raise ``RuntimeUnavailable`` where no runtime runs, ``NoSuchDeployment`` where it does not serve ``name``."""
    names = [str(each["name"]) for each in client.status()["deployments"]]
    if name not in names:
        raise no_deployment(name, names)
