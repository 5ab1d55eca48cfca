"""A deployment lives through a load and its faults in virtual time, and what happened is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from orchestrator.app.simulation.clock import in_virtual_time
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.engine import NodeEngine, Wish, World
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.fleet import SimulatedFleet, SimulatedNode
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import OrchestratorError, RunError
from orchestrator.node.worker import Held
from orchestrator.serve.later import may_be_kept
from orchestrator.testing.sim_bus import SimNet

SETTLING: Final = 120.0
"""Seconds that a fleet may take to settle before the first request comes."""
GLANCE: Final = 0.1
SAMPLES: Final = 240
"""How often it is looked at the queues and at what is busy."""
SHAPE: Final = 4.0
"""Of the gamma distribution that the length of answers is drawn from: half of them differ from the average by a third or more."""
ANSWERED, GONE, AWAY, KEPT = "answered", "gone", "away", "kept"


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests a second come for how long, how they are shared between agents, what goes wrong, and what chance begins
    with."""

    rps: float
    duration: float
    shares: Mapping[str, float]
    faults: Sequence[Fault] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a moment: by node, requests that wait; by node and model, seconds that its slots were busy so far."""

    at: float
    waiting: Mapping[str, int]
    busy: Mapping[tuple[str, str], float]


def _no_time() -> defaultdict[Any, float]:
    return defaultdict(float)


@dataclass(slots=True)
class Story:
    """All that happened; times count from the first request. ``told``: when, which node, the kind of event, its fields."""

    load: Load
    wishes: list[Wish] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    told: list[tuple[float, str, str, Mapping[str, Any]]] = field(default_factory=list)
    busy: defaultdict[tuple[str, str], float] = field(default_factory=_no_time)  # seconds of slots
    waits: dict[str, str] = field(default_factory=dict)  # why an agent had no holder, as the leader last said it
    lived: defaultdict[str, float] = field(default_factory=_no_time)  # seconds that each node ran
    settled: bool = True
    letters: int = 0


def play(blueprint: Blueprint, load: Load, assumed: Assumed) -> Story:
    """Live through it. The same arguments give the same story."""
    return in_virtual_time(_Play(blueprint, load, assumed).run)


class _Fleet(SimulatedFleet[NodeEngine]):
    """Nodes whose engines' queues run beside the mesh."""

    async def run(self, node: SimulatedNode[NodeEngine], *, task_status: TaskStatus[None]) -> None:
        node.worker.mesh = node.mesh
        async with anyio.create_task_group() as group:
            await group.start(node.worker.loop.run)
            await node.mesh.run(task_status=task_status)


class _Play:
    def __init__(self, blueprint: Blueprint, load: Load, assumed: Assumed) -> None:
        # Each source of chance is its own, so that a longer run begins as a shorter one does.
        chance = Random(load.seed)  # noqa: S311 - it must be repeatable
        self.arrivals, self.net_chance, jitter = (Random(chance.getrandbits(64)) for _ in range(3))  # noqa: S311 - the same
        self.load = load
        self.world = World.of(blueprint, assumed, jitter.random)
        self.story = Story(load)
        self.names = [node["name"] for node in blueprint.nodes]
        self.near = {  # restricted data is asked for where it is: from elsewhere it would be refused
            agent: node["name"]
            for node in blueprint.nodes
            for agent in node["agents"]
            if self.world.agents.get(agent, {}).get("data_class") == "restricted"
        }
        self.hubs = [node["name"] for node in blueprint.nodes if node["hub"]] or self.names[:1]
        self.engines: dict[str, NodeEngine] = {}
        self.fleet: _Fleet | None = None
        self.zero = 0.0
        self.down: set[str] = set()
        self.since: dict[str, float] = {}

    async def run(self) -> Story:
        async with anyio.create_task_group() as group:
            await self._begin(group)
            self.zero = anyio.current_time()
            self.since = dict.fromkeys(self.engines, 0.0)
            group.start_soon(self._sample)
            for fault in self.load.faults:
                group.start_soon(self._fail, fault)
            await self._requests()
            self._look()
            self._end()
            group.cancel_scope.cancel()
        return self.story

    @property
    def now(self) -> float:
        """Seconds since the first request could come."""
        return anyio.current_time() - self.zero

    # ---- before and after ----------------------------------------------------------------------------------------

    async def _begin(self, group: TaskGroup) -> None:
        if not self.names:
            engine = self.engines[""] = NodeEngine(self.world, "")
            await group.start(engine.loop.run)
            held = {name: Held(name, next(iter(spec["models"]), "")) for name, spec in self.world.agents.items()}
            await engine.hold(held, {}, 1)
            return
        net = SimNet(self.net_chance, one_hub=len(self.hubs) < 2)
        self.fleet = _Fleet(net, self.net_chance, group, self.world.blueprint.name)
        group.start_soon(net.run)
        for name in self.names:
            await self._start(name)
        await self.fleet.apply(1, self.world.blueprint)
        with anyio.move_on_after(SETTLING) as scope:
            while not self._is_settled(self.fleet):  # noqa: ASYNC110 - of many nodes, each with its own part of it
                await anyio.sleep(GLANCE)
        self.story.settled = not scope.cancelled_caught

    async def _start(self, name: str) -> None:
        if self.fleet is not None:
            engine = NodeEngine(self.world, name)
            await self.fleet.join(name, lambda bus: engine, leads=name in self.hubs)
            self.engines[name] = engine
            self.since[name] = self.now

    def _is_settled(self, fleet: _Fleet) -> bool:
        """Each node holds what it was given, and all have heard of it."""
        for name, node in fleet.nodes.items():
            assigned = node.mesh.member.assigned
            if assigned is None or set(assigned.assignment.on(name)) != set(node.worker.load().agents):
                return False
            for other in fleet.nodes.values():
                beat = other.mesh.table.beat(name)
                if beat is None or set(beat.agents) != set(assigned.assignment.on(name)):
                    return False
        return True

    def _end(self) -> None:
        for name in [*self.engines]:
            self._close(name)
        if self.fleet is not None:
            self.story.letters = self.fleet.net.delivered
            for name, node in self.fleet.nodes.items():
                self._keep_told(name, node)
        self.story.told.sort(key=lambda each: each[:2])
        self.story.wishes = list(self.world.wishes.values())

    def _close(self, name: str) -> None:
        """A node ends: what its servers did is kept."""
        engine = self.engines.pop(name)
        for alias, server in engine.servers.items():
            self.story.busy[name, alias] += server.busy
        self.story.lived[name] += min(self.now, self.load.duration) - min(self.since[name], self.load.duration)

    def _keep_told(self, name: str, node: SimulatedNode[NodeEngine]) -> None:
        self.story.told += [(at - self.zero, name, kind, fields) for at, kind, fields in node.told]
        assigned = node.mesh.member.assigned
        if assigned is not None:
            self.story.waits |= {
                agent: places[0].why for agent, places in assigned.assignment.places.items() if len(places) == 1
            }
            self.story.waits |= assigned.assignment.nowhere

    # ---- requests ------------------------------------------------------------------------------------------------

    async def _requests(self) -> None:
        """They come at random moments, each at a door of chance; return once all have ended."""
        agents, weights = list(self.load.shares), list(self.load.shares.values())
        doors, chance = self.names or [""], self.arrivals
        async with anyio.create_task_group() as asking:
            for number in count():
                await anyio.sleep(chance.expovariate(self.load.rps))
                if self.now >= self.load.duration:
                    return
                [agent] = chance.choices(agents, weights)
                door, pace = chance.choice(doors), chance.gammavariate(SHAPE, 1 / SHAPE)
                wish = Wish(f"r{number}", agent, self.near.get(agent, door), self.now, pace)
                self.world.wishes[wish.id] = wish
                asking.start_soon(self._ask, wish)

    async def _ask(self, wish: Wish) -> None:
        if wish.door in self.down:
            wish.outcome, wish.ended = AWAY, wish.at
            return
        engine = self.engines[wish.door]
        node = self.fleet.nodes[wish.door] if self.fleet is not None else None
        with anyio.CancelScope() as scope:
            if node is not None:
                node.asking.add(scope)
            try:
                wish.answered_by(await engine.ask(wish), self.zero)
                wish.outcome = ANSWERED
            except OrchestratorError as error:
                wish.outcome = KEPT if self._is_kept(wish.agent, error) else error.code
            finally:
                if node is not None:
                    node.asking.discard(scope)
        if scope.cancelled_caught:
            wish.outcome = GONE
        wish.ended = self.now

    def _is_kept(self, agent: str, error: OrchestratorError) -> bool:
        """As a node decides it; a restricted request waits for no other one."""
        spec = self.world.agents[agent]
        wanted = spec.get("store_and_forward") is not None and spec["data_class"] != "restricted"
        return wanted and isinstance(error, RunError) and may_be_kept(error)

    # ---- faults --------------------------------------------------------------------------------------------------

    async def _fail(self, fault: Fault) -> None:
        await anyio.sleep(fault.at - self.now)
        await self._set(fault, down=True)
        if fault.after is not None:
            await anyio.sleep(fault.after)
            await self._set(fault, down=False)

    async def _set(self, fault: Fault, *, down: bool) -> None:
        fleet = self.fleet
        if fleet is None:
            return
        if fault.kind == "link":
            for ends in (fault.ends, fault.ends[::-1]):
                (fleet.net.cut if down else fleet.net.mend)(*ends)
        elif fault.kind == "hub":
            fleet.net.hub(down=down)
        elif down:
            self._crash(fleet, fault.ends[0])
        elif fault.ends[0] in self.down:
            self._mind_hubs(fleet, self.down - {*fault.ends})
            await self._start(fault.ends[0])
            self.down.remove(fault.ends[0])

    def _crash(self, fleet: _Fleet, name: str) -> None:
        if name in self.down:
            return
        self.down.add(name)
        self._keep_told(name, fleet.crash(name))
        self._close(name)
        self._mind_hubs(fleet, self.down)

    def _mind_hubs(self, fleet: _Fleet, down: set[str]) -> None:
        """The hub's servers are on the nodes that carry them: most of them must be there."""
        there = [name for name in self.hubs if name not in down]
        fleet.net.hub(down=2 * len(there) <= len(self.hubs))

    # ---- looking -------------------------------------------------------------------------------------------------

    async def _sample(self) -> None:
        while True:
            self._look()
            await anyio.sleep(self.load.duration / SAMPLES)

    def _look(self) -> None:
        waiting = {name: engine.waiting for name, engine in self.engines.items()}
        self.story.samples.append(Sample(self.now, waiting, dict(self._busy())))

    def _busy(self) -> Iterator[tuple[tuple[str, str], float]]:
        for name, engine in self.engines.items():
            for alias, server in engine.servers.items():
                yield (name, alias), self.story.busy[name, alias] + server.busy
