"""The node that answers in ``benchmarks/mesh.py``, a process of its own: ``python -m benchmarks.mesh_node HOME``.

It runs until its input ends. It is a second client of the leaf of the node whose home that is, and answers at once, by the mesh
and by plain NATS."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import anyio.to_thread
from nats.aio.client import Client
from nats.aio.msg import Msg

from orchestrator.app.fleet.identity import FleetFolder
from orchestrator.app.fleet.mesh import engine_options
from orchestrator.app.simulation.fleet import MemoryKept
from orchestrator.core.request import Result
from orchestrator.node.mesh import Mesh, Site
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.plugins.buses.nats import NatsBus, opened
from orchestrator.plugins.hosts.local import LocalHost

DEPLOYMENT: Final = "measured"
ECHO, WORDS = "echo", "words"
RAW: Final = "orc.v1.raw.call.edge-2"
PIECES: Final = 5_000
PIECE: Final = "word "


class Instant:
    """A worker that answers at once, in one piece or in many."""

    def __init__(self, *agents: str) -> None:
        self.agents = dict.fromkeys(agents, True)

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        """It holds what it holds."""

    def load(self) -> Load:
        """Nothing to do, and much room."""
        return Load(agents=self.agents, slots=64, room=128, service_ms=1.0)

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        """The answer."""
        if asked.agent == WORDS:
            for _ in range(PIECES):
                await emit.piece(PIECE)
        return Result(asked.request.id, DEPLOYMENT, 1, "completed", "yes", asked.agent)


@asynccontextmanager
async def joined(home: Path, *agents: str) -> AsyncIterator[tuple[NatsBus, Mesh]]:
    """A mesh of its own on the leaf of a node that runs."""
    folder = FleetFolder(LocalHost(home).folders(make=False).state / "fleet")
    async with opened(engine_options(folder, folder.member())) as bus, anyio.create_task_group() as group:
        await bus.ready(10)
        site = Site(
            DEPLOYMENT, bus, bus, Instant(*agents), MemoryKept(), lambda *_: None, Random(1).randrange, leads=False
        )
        mesh = Mesh(site)
        await group.start(mesh.run)
        yield bus, mesh
        group.cancel_scope.cancel()


def client_of(bus: NatsBus) -> Client:
    """The client of nats-py that a bus has."""
    return bus._line.client


async def serve(home: Path) -> None:
    """Answer until standard input ends."""
    async with joined(home, ECHO, WORDS) as (bus, _):
        client = client_of(bus)

        async def echo(message: Msg) -> None:
            await client.publish(message.reply, message.data)

        async def words(message: Msg) -> None:
            for _ in range(PIECES):
                await client.publish(message.reply, PIECE.encode())

        await client.subscribe(f"{RAW}.{ECHO}", cb=echo)
        await client.subscribe(f"{RAW}.{WORDS}", cb=words)
        await client.flush()
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(serve, Path(sys.argv[1]))
