"""Carries out on a socket what a make does with its models: answers that take their time, pulls that come piece by piece,
downloads that go on whoever listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing

from orchestrator.testing import openai_wire as wire
from orchestrator.testing.http_protocol import Connection, HttpRequest, chunk, head
from orchestrator.testing.lifecycle.acts import Act, Listen, Pieces, Reply, asked_of, pace
from orchestrator.testing.lifecycle.llama_router import event_of
from orchestrator.testing.lifecycle.routes import route_of
from orchestrator.testing.lifecycle.store import ModelStore, StoreFault


class StoreShell:
    """The store of one simulated server behind one face. ``changed`` is called when what is installed may have changed."""

    def __init__(self, store: ModelStore, face: str, headers: Mapping[str, str], changed: Callable[[], None]) -> None:
        self.store = store
        self._face = face
        self._headers = headers
        self._changed = changed
        self._listeners: set[Connection] = set()
        self._downloads: dict[str, asyncio.Task[None]] = {}

    def serve(self, connection: Connection, request: HttpRequest) -> bool:
        """Answer it in a task; false where this make has no such path."""
        self.store.settle(time.monotonic())
        try:
            asked = asked_of(request.method, request.path, request.body, time.monotonic())
        except ValueError:
            return False
        route = route_of(self._face, asked)
        if route is None:
            return False
        connection.task = asyncio.create_task(self._carry_out(connection, route(self.store, asked)))
        return True

    async def stop(self) -> None:
        """End every download."""
        tasks = list(self._downloads.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, connection: Connection, act: Act) -> None:
        if isinstance(act, Listen):
            await self._listen(connection)
        elif isinstance(act, Pieces):
            await self._stream(connection, act)
        else:
            await self._reply(connection, act)

    async def _reply(self, connection: Connection, act: Reply) -> None:
        if act.download is not None:
            what, name = act.download
            if what == "begin":
                self._begin(name)
            else:
                self._cancel(name, kept=what == "pause")
        if act.wait:
            await asyncio.sleep(act.wait)
        self.store.settle(time.monotonic())
        self._changed()
        body = b"" if act.value == "" else wire.encoded(act.value)
        connection.respond(act.status, "application/json", body, self._headers)
        connection.finished()

    async def _stream(self, connection: Connection, act: Pieces) -> None:
        headers = {"Transfer-Encoding": "chunked", **self._headers}
        connection.write(head(200, act.content_type, headers))
        try:
            with closing(act.pieces):  # a client that goes away leaves a pull at once, not when it is collected
                for wait, piece in act.pieces:
                    await asyncio.sleep(wait)
                    if piece:
                        connection.write(chunk(piece))
        except StoreFault:
            connection.close()
            return
        finally:
            self._changed()
        connection.write(b"0\r\n\r\n")
        connection.finished()

    async def _listen(self, connection: Connection) -> None:
        connection.write(head(200, "text/event-stream", {"Transfer-Encoding": "chunked", **self._headers}))
        self._listeners.add(connection)
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.discard(connection)

    def _begin(self, name: str) -> None:
        if name not in self._downloads:
            self._downloads[name] = asyncio.create_task(self._download(name, self.store.pulling(name)))

    def _cancel(self, name: str, *, kept: bool) -> None:
        task = self._downloads.pop(name, None)
        if task is None:
            return
        task.cancel()
        if not kept:
            self.store.came.pop(name, None)  # llama-server deletes the part

    async def _download(self, name: str, pulling: Generator[int, None, None]) -> None:
        before, ending = self.store.came.get(name, 0), "download_failed"
        try:
            with closing(pulling):
                for come in pulling:
                    await asyncio.sleep(pace(self.store, come - before))
                    before = come
                    self._tell(event_of(self.store, name, "download_progress"))
            self.store.install(name)
            ending = "download_finished"
        except StoreFault as fault:
            if fault.trouble == "stall":
                await asyncio.Event().wait()
        finally:
            self._downloads.pop(name, None)
            self._changed()
        self._tell(event_of(self.store, name, ending))

    def _tell(self, event: bytes) -> None:
        for listener in self._listeners:
            listener.write(chunk(event))
