"""A front door on a real socket, with simulated models behind it in the same process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from openai import AsyncOpenAI

from orchestrator.gateway.bind import bind_port
from orchestrator.gateway.front import FrontDoor
from orchestrator.gateway.listen import Listener
from orchestrator.serve.engine import EngineTable
from orchestrator.testing.endpoint import SimulatedEndpoint
from tests.serve.engine.parts import Served, Wanted, serving


@dataclass
class Door:
    """What a test needs of an open front door."""

    served: Served
    port: int
    client: AsyncOpenAI

    @property
    def server(self) -> SimulatedEndpoint:
        """The model server behind it."""
        return self.served.server

    def connect(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


OpenDoor = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
def open_door() -> OpenDoor:
    """Opens a door for a deployment: ``async with open_door(wanted, server) as door``."""

    @asynccontextmanager
    async def opened(wanted: Wanted, *servers: SimulatedEndpoint, **options: Any) -> AsyncIterator[Door]:
        async with serving(wanted, *servers) as served:
            table = EngineTable()
            table.switch("shop", served.engine)
            sock = bind_port("127.0.0.1", 0)
            listener = await Listener.start(FrontDoor(table, **options), sock)
            port = sock.getsockname()[1]
            async with AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=20) as client:
                yield Door(served, port, client)
            await listener.aclose()

    return opened
