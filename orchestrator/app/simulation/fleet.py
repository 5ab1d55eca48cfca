"""Simulated nodes: the real code of the mesh over a simulated net. What works on each node is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from orchestrator.core.blueprint import Blueprint
from orchestrator.node.desired import Desired
from orchestrator.node.mesh import Mesh, Site
from orchestrator.node.subjects import Subjects
from orchestrator.node.worker import Worker
from orchestrator.ports.bus import Board
from orchestrator.testing.sim_bus import SimBus, SimNet

Work = TypeVar("Work", bound=Worker)


@dataclass(slots=True)
class MemoryKept:
    """What a node keeps over its restarts."""

    values: dict[str, bytes] = field(default_factory=dict)

    def load(self, name: str) -> bytes:
        """What was saved; empty where nothing was."""
        return self.values.get(name, b"")

    def save(self, name: str, value: bytes) -> None:
        """Keep it."""
        self.values[name] = value


@dataclass
class SimulatedNode(Generic[Work]):
    """A node that runs. ``told`` is what it said of itself: when, the kind of event, its fields; ``asking`` are the requests that
    came to it, which end with it."""

    mesh: Mesh
    worker: Work
    bus: SimBus
    board: Board
    scope: anyio.CancelScope
    told: list[tuple[float, str, Mapping[str, Any]]]
    asking: set[anyio.CancelScope] = field(default_factory=set)

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        """The fields of all events of a kind."""
        return [fields for _, told, fields in self.told if told == kind]


@dataclass
class SimulatedFleet(Generic[Work]):
    """A net with nodes on it; whoever makes it starts ``net.run``. ``kept`` is what each node has on its disk."""

    net: SimNet
    random: Random
    group: TaskGroup
    deployment: str = "fleet"
    nodes: dict[str, SimulatedNode[Work]] = field(default_factory=dict)
    kept: dict[str, MemoryKept] = field(default_factory=dict)

    async def join(self, name: str, make: Callable[[SimBus], Work], *, leads: bool = True) -> SimulatedNode[Work]:
        """A node's process starts, with the worker that is made for it; one that ran before is gone."""
        bus, board = self.net.join(name)
        worker = make(bus)
        told: list[tuple[float, str, Mapping[str, Any]]] = []
        site = Site(
            deployment=self.deployment,
            bus=bus,
            board=board,
            worker=worker,
            kept=self.kept.setdefault(name, MemoryKept()),
            tell=lambda kind, fields: told.append((anyio.current_time(), kind, fields)),
            draw=self.random.randrange,
            sleep=bus.sleep,
            leads=leads,
            life=f"{name}, since it was switched on",
        )
        node = self.nodes[name] = SimulatedNode(Mesh(site), worker, bus, board, anyio.CancelScope(), told)
        await self.group.start(self._live, node)
        return node

    async def _live(self, node: SimulatedNode[Work], *, task_status: TaskStatus[None]) -> None:
        with node.scope:
            await self.run(node, task_status=task_status)

    async def run(self, node: SimulatedNode[Work], *, task_status: TaskStatus[None]) -> None:
        """A node's life."""
        await node.mesh.run(task_status=task_status)

    def crash(self, name: str) -> SimulatedNode[Work]:
        """As kill -9 of a node: what runs on it ends, and what was asked of it. Gives what is left of it."""
        self.net.crash(name)
        node = self.nodes.pop(name)
        for scope in [node.scope, *node.asking]:
            scope.cancel()
        return node

    async def apply(self, generation: int, blueprint: Blueprint) -> None:
        """As an operator does it, at the hub."""
        key = Subjects(self.deployment).manifest
        entry = self.net.store.read("desired", key)
        value = Desired(generation, blueprint.as_json()).written()
        self.net.store.swap("desired", key, value, entry.revision if entry else 0)

    def assigned(self, node: str) -> dict[str, str]:
        """What the nodes have been given, as one of them sees it: agent -> nodes."""
        found = self.nodes[node].mesh.member.assigned
        places = found.assignment.places if found else {}
        return {agent: ",".join(one.node for one in held) for agent, held in places.items()}
