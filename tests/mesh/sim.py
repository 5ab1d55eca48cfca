"""Simulated nodes: the real code of the mesh, over a simulated net, with an engine that only pretends to work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from orchestrator.core.blueprint import Blueprint, CoordinationSpec, Element, NodeSpec
from orchestrator.core.request import Request, Result
from orchestrator.node.desired import Desired
from orchestrator.node.mesh import Mesh, Site
from orchestrator.node.subjects import Subjects
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.ports.bus import Board
from orchestrator.testing.sim_bus import SimBus, SimNet
from tests.mesh.invariants import Effect

DEPLOYMENT = "fleet"
SUBJECTS = Subjects(DEPLOYMENT)


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
    """An engine that takes ``work`` seconds for an answer of ``pieces`` pieces, and does something at its end."""

    bus: SimBus
    effects: list[Effect]
    agents: dict[str, bool] = field(default_factory=dict)
    slots: int = 4
    queue: int = 40
    work: float = 0.6
    pieces: int = 3
    inflight: int = 0
    runs: int = 0
    ran: list[str] = field(default_factory=list)
    broken: str = ""
    still: bool = False

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        self.agents = dict.fromkeys(agents, True)

    def load(self) -> Load:
        room = max(0, self.slots + self.queue - self.inflight)
        busy, queued = min(self.inflight, self.slots), max(0, self.inflight - self.slots)
        return Load(
            agents=self.agents, slots=self.slots, inflight=busy, queued=queued, room=room, service_ms=self.work * 1000
        )

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        self.inflight += 1
        self.runs += 1
        self.ran.append(asked.request.id)
        run = f"{self.bus.node}-{self.runs}"
        try:
            if self.broken:
                raise RuntimeError(self.broken)
            if self.still:
                await anyio.sleep_forever()
            for at in range(self.pieces):
                await self.bus.sleep(self.work / self.pieces)
                await emit.piece(f"{run}/{at} ")
            if asked.valid():
                now = anyio.current_time()
                self.effects.append(Effect(now, asked.agent, self.bus.node, asked.epoch, asked.request.id))
        finally:
            self.inflight -= 1
        return Result(asked.request.id, DEPLOYMENT, 1, "completed", run, asked.agent, served_by=self.bus.node)


@dataclass
class Node:
    """A node that runs."""

    mesh: Mesh
    worker: SimWorker
    bus: SimBus
    board: Board
    scope: anyio.CancelScope
    told: list[tuple[float, str, Mapping[str, Any]]]
    asking: set[anyio.CancelScope] = field(default_factory=set)

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        return [fields for _, told, fields in self.told if told == kind]


@dataclass
class Fleet:
    """A net with nodes on it."""

    net: SimNet
    random: Random
    group: TaskGroup
    nodes: dict[str, Node] = field(default_factory=dict)
    kept: dict[str, MemoryKept] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    async def start(self, name: str, *agents: str) -> Node:
        bus, board = self.net.join(name)
        worker = SimWorker(bus, self.effects, dict.fromkeys(agents, True))
        told: list[tuple[float, str, Mapping[str, Any]]] = []
        site = Site(
            DEPLOYMENT,
            bus,
            board,
            worker,
            self.kept.setdefault(name, MemoryKept()),
            lambda kind, fields: told.append((anyio.current_time(), kind, fields)),
            self.random.randrange,
            bus.sleep,
        )
        node = self.nodes[name] = Node(Mesh(site), worker, bus, board, anyio.CancelScope(), told)
        await self.group.start(self._live, node)
        return node

    async def _live(self, node: Node, *, task_status: TaskStatus[None]) -> None:
        with node.scope:
            await node.mesh.run(task_status=task_status)

    def crash(self, name: str) -> None:
        self.net.crash(name)
        node = self.nodes.pop(name)
        for scope in [node.scope, *node.asking]:
            scope.cancel()

    async def apply(self, generation: int, blueprint: Blueprint) -> None:
        """As an operator does it, at the hub."""
        entry = self.net.store.read("desired", SUBJECTS.manifest)
        value = Desired(generation, blueprint.as_json()).written()
        self.net.store.swap("desired", SUBJECTS.manifest, value, entry.revision if entry else 0)

    def assigned(self, node: str) -> dict[str, str]:
        """What the nodes have been given, as one of them sees it: agent -> nodes."""
        found = self.nodes[node].mesh.member.assigned
        places = found.assignment.places if found else {}
        return {agent: ",".join(one.node for one in held) for agent, held in places.items()}


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


def agent(name: str, **more: Any) -> Element:
    spec = {"name": name, "models": [], "data_class": "internal", **more}
    return Element(f"agent.{name}", "agent", spec)


def blueprint(homes: Mapping[str, list[Element]], *floating: Element, failover: Any = "automatic") -> Blueprint:
    """A deployment: node -> its agents, and agents of no node."""
    agents = [*(one for held in homes.values() for one in held), *floating]
    nodes = tuple(
        NodeSpec(
            name=name,
            agents=[one.spec["name"] for one in held],
            models=[],
            memory=None,
            labels={},
            hub=False,
            pin=False,
        )
        for name, held in homes.items()
    )
    together = CoordinationSpec(load_balancing=True, failover=failover, lease=6.0, drain=30.0)
    elements = {one.address: one for one in agents}
    return Blueprint(DEPLOYMENT, "distributed-edge", agents[0].address, elements, nodes=nodes, coordination=together)
