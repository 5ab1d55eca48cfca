"""Simulated nodes: the real code of the mesh, over a simulated net, with an engine that only pretends to work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from orchestrator.core.request import Request, Result
from orchestrator.node.mesh import Mesh, Site
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.testing.sim_bus import SimBus, SimNet

DEPLOYMENT = "fleet"


@dataclass
class MemoryKept:
    """What a node keeps over its restarts."""

    values: dict[str, bytes] = field(default_factory=dict)

    def load(self, name: str) -> bytes:
        return self.values.get(name, b"")

    def save(self, name: str, value: bytes) -> None:
        self.values[name] = value


@dataclass
class SimWorker:
    """An engine that takes ``work`` seconds for an answer of ``pieces`` pieces."""

    bus: SimBus
    agents: dict[str, bool] = field(default_factory=dict)
    slots: int = 2
    queue: int = 8
    work: float = 0.6
    pieces: int = 3
    inflight: int = 0
    ran: list[tuple[str, str, int]] = field(default_factory=list)  # request, agent, epoch: each time that it began
    broken: str = ""

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        self.agents = dict.fromkeys(agents, True)

    def load(self) -> Load:
        room = max(0, self.slots + self.queue - self.inflight)
        busy, queued = min(self.inflight, self.slots), max(0, self.inflight - self.slots)
        return Load(self.agents, self.slots, busy, queued, room, self.work * 1000)

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        self.inflight += 1
        self.ran.append((asked.request.id, asked.agent, asked.epoch))
        try:
            if self.broken:
                raise RuntimeError(self.broken)
            for at in range(self.pieces):
                await self.bus.sleep(self.work / self.pieces)
                await emit.piece(f"{at} ")
        finally:
            self.inflight -= 1
        text = f"{asked.agent} on {self.bus.node}"
        return Result(asked.request.id, DEPLOYMENT, 1, "completed", text, asked.agent)


@dataclass
class Node:
    """A node that runs."""

    mesh: Mesh
    worker: SimWorker
    scope: anyio.CancelScope
    told: list[tuple[float, str, Mapping[str, Any]]]

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        return [fields for _, told, fields in self.told if told == kind]


@dataclass
class Fleet:
    """A net with nodes on it."""

    net: SimNet
    random: Random
    group: anyio.abc.TaskGroup
    nodes: dict[str, Node] = field(default_factory=dict)
    kept: dict[str, MemoryKept] = field(default_factory=dict)

    async def start(self, name: str, *agents: str) -> Node:
        bus, board = self.net.join(name)
        worker = SimWorker(bus, dict.fromkeys(agents, True))
        told: list[tuple[float, str, Mapping[str, Any]]] = []
        mesh = Mesh(
            Site(
                DEPLOYMENT,
                bus,
                board,
                worker,
                self.kept.setdefault(name, MemoryKept()),
                lambda kind, fields: told.append((anyio.current_time(), kind, fields)),
                self.random.randrange,
                bus.sleep,
            )
        )
        node = self.nodes[name] = Node(mesh, worker, anyio.CancelScope(), told)
        await self.group.start(self._live, node)
        return node

    async def _live(self, node: Node, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with node.scope:
            await node.mesh.run(task_status=task_status)

    def crash(self, name: str) -> None:
        self.net.crash(name)
        self.nodes.pop(name).scope.cancel()


@asynccontextmanager
async def fleet(seed: int = 0, *, one_hub: bool = True) -> AsyncIterator[Fleet]:
    random = Random(seed)
    async with anyio.create_task_group() as group:
        net = SimNet(random, one_hub)
        group.start_soon(net.run)
        yield Fleet(net, random, group)
        group.cancel_scope.cancel()


def request(text: str = "hello", **more: Any) -> Request:
    return Request(text, **more)
