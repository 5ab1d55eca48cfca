"""Simulated nodes: the real code of the mesh, over a simulated net, with an engine that only pretends to work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio

from orchestrator.app.simulation.fleet import SimulatedFleet, SimulatedNode
from orchestrator.core.blueprint import Blueprint, CoordinationSpec, Element, NodeSpec
from orchestrator.core.errors import DeployError
from orchestrator.core.request import Request, Result, Status
from orchestrator.node.desired import Assigned, Desired
from orchestrator.node.speed import Took, averaged
from orchestrator.node.subjects import Subjects
from orchestrator.node.tallies import Tallies
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.testing.sim_bus import SimBus, SimNet
from tests.mesh.invariants import Effect

DEPLOYMENT = "fleet"
SUBJECTS = Subjects(DEPLOYMENT)


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
    says: str = ""  # in the place of the run's name
    still: bool = False
    warming: float = 0.0
    refuses: frozenset[int] = frozenset()
    ill: frozenset[int] = frozenset()
    tallies: Tallies = field(default_factory=Tallies)
    served: list[int] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)  # agents that take other seconds than ``work``
    took: dict[str, Took] = field(default_factory=dict)

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        """``warming``: seconds until another manifest serves; ``refuses``: generations that cannot, ``ill``: those that answer with
        faults here."""
        if revision != self.tallies.generation:
            await self.bus.sleep(self.warming)
            if revision in self.refuses:
                raise DeployError(f"generation {revision} does not start here")
            self.served.append(revision)
        self.tallies.serves(revision)
        self.agents = dict.fromkeys(agents, True)

    def load(self) -> Load:
        room = max(0, self.slots + self.queue - self.inflight)
        busy, queued = min(self.inflight, self.slots), max(0, self.inflight - self.slots)
        return Load(
            agents=self.agents,
            slots=self.slots,
            inflight=busy,
            queued=queued,
            room=room,
            service_ms=self.work * 1000,
            took=self.took,
            before=self.tallies.before,
            since=self.tallies.since,
        )

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        self.inflight += 1
        self.runs += 1
        self.ran.append(asked.request.id)
        run, ill = f"{self.bus.node}-{self.runs}", self.tallies.generation in self.ill
        try:
            if self.broken:
                raise RuntimeError(self.broken)
            if self.still:
                await anyio.sleep_forever()
            begun = anyio.current_time()
            for at in range(self.pieces):
                await self.bus.sleep(self.slow.get(asked.agent, self.work) / self.pieces)
                await emit.piece(f"{run}/{at} ")
            if asked.valid():
                now = anyio.current_time()
                self.effects.append(Effect(now, asked.agent, self.bus.node, asked.epoch, asked.request.id))
        finally:
            self.inflight -= 1
        self.tallies.note(self.work * 1000, failed=ill)
        now = anyio.current_time()
        self.took[asked.agent] = averaged(self.took.get(asked.agent), (now - begun) * 1000, now)
        status: Status = "failed" if ill else "completed"
        return Result(asked.request.id, DEPLOYMENT, 1, status, self.says or run, asked.agent, served_by=self.bus.node)


Node = SimulatedNode[SimWorker]


@dataclass
class Fleet(SimulatedFleet[SimWorker]):
    """A net with nodes on it, and what was done to the outside."""

    effects: list[Effect] = field(default_factory=list)

    async def start(self, name: str, *agents: str) -> Node:
        return await self.join(name, lambda bus: SimWorker(bus, self.effects, dict.fromkeys(agents, True)))

    async def update(self, blueprint: Blueprint) -> int:
        """As an operator does it where something serves: one node at a time. Gives the generation."""
        wanted = self.net.store.read("desired", SUBJECTS.manifest)
        assigned = self.net.store.read("desired", SUBJECTS.assignment)
        known = [node.mesh.member.desired for node in self.nodes.values() if node.mesh.member.desired]
        known += [Desired.read(wanted.value)] if wanted is not None and wanted.value else []
        newest = max(known, key=lambda one: one.generation)
        rollout = Assigned.read(assigned.value).rollout if assigned is not None and assigned.value else None
        generation = newest.generation + 1
        before = newest.last_good(rollout)
        assert before is not None
        wanted_now = Desired(generation, blueprint.as_json(), before=before, after=before.generation)
        self.net.store.swap("desired", SUBJECTS.manifest, wanted_now.written(), wanted.revision if wanted else 0)
        return generation


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


def blueprint(
    homes: Mapping[str, list[Element]], *floating: Element, failover: Any = "automatic", health_gate: float = 3.0
) -> Blueprint:
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
    together = CoordinationSpec(load_balancing=True, failover=failover, lease=6.0, drain=30.0, health_gate=health_gate)
    elements = {one.address: one for one in agents}
    return Blueprint(DEPLOYMENT, "distributed-edge", agents[0].address, elements, nodes=nodes, coordination=together)
