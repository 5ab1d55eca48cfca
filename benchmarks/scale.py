"""What a fleet of many nodes costs when nobody asks anything: heartbeats, the board, and what a node computes for them.

Method: the code of ``orchestrator/node/`` over a simulated net in virtual time, five agents a node, until all is placed, and then
for ten seconds. Letters, and what is read from and written to the board, are counted; *computing* is CPU time of this process for
a second of one node's life, the simulated net included. A heartbeat, its reading and what follows is timed by itself. The sizes are
those of a made-up manifest of plain agents, as it stands on the board."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

import anyio

from benchmarks import fan_out
from benchmarks.measure import Row, at_most, show
from orchestrator.app.simulation.clock import in_virtual_time
from orchestrator.app.simulation.fleet import SimulatedFleet
from orchestrator.core.blueprint import Blueprint, CoordinationSpec, Element, NodeSpec
from orchestrator.core.request import Result
from orchestrator.node.controller import fleet_in
from orchestrator.node.desired import Assigned, Desired
from orchestrator.node.table import Table
from orchestrator.node.wire import Heartbeat, heartbeat_letter, read_heartbeat
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.plan.placement import Seen, place
from orchestrator.ports.bus import Bucket, Entry
from orchestrator.testing.sim_board import SimStore
from orchestrator.testing.sim_bus import SimNet

SIZES: Final = (10, 50, 100, 200)
VERY_LARGE: Final = 400
"""Only where it is asked for: ``python -m benchmarks.scale all``. It takes some minutes and 2 GB, as each node has the manifest."""
AGENTS: Final = 5
"""Of one node."""
SECONDS: Final = 10.0
LEADS: Final = 3
"""Nodes that may lead."""
LARGE: Final = (1000, 5000)


class Idle:
    """A worker that holds what it is given and does nothing."""

    def __init__(self) -> None:
        self.agents: dict[str, bool] = {}

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:  # noqa: ARG002 - the port's
        """From now on."""
        self.agents = dict.fromkeys(agents, True)

    def load(self) -> Load:
        """Nothing to do."""
        return Load(agents=self.agents, slots=4, room=8)

    async def answer(self, asked: Asked, emit: Emit) -> Result:  # noqa: ARG002 - the port's
        """Nobody asks."""
        raise AssertionError("these nodes are placed and heard, and asked for nothing")


@dataclass(eq=False, slots=True)
class CountedStore(SimStore):
    """A store that counts what is asked of it, in calls and in bytes."""

    calls: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)

    def read(self, bucket: Bucket, key: str) -> Entry | None:
        """What is there."""
        found = SimStore.read(self, bucket, key)
        self.calls["read"] += 1
        self.size["read"] += len(found.value) if found else 0
        return found

    def swap(self, bucket: Bucket, key: str, value: bytes, expected: int) -> Entry:
        """Write."""
        self.calls["written"] += 1
        self.size["written"] += len(value)
        return SimStore.swap(self, bucket, key, value, expected)


def made(nodes: int, agents: int) -> Blueprint:
    """A fleet of plain agents, each with a home."""
    homes: dict[str, list[str]] = {f"node-{number}": [] for number in range(nodes)}
    elements: dict[str, Element] = {}
    for number in range(agents):
        name = f"agent-{number}"
        homes[f"node-{number % nodes}"].append(name)
        spec = {"name": name, "models": [], "data_class": "internal", "instructions": f"Answer about part {number}."}
        elements[f"agent.{name}"] = Element(f"agent.{name}", "agent", spec)
    specs = tuple(
        NodeSpec(name=name, agents=held, models=[], memory=None, labels={}, hub=at < LEADS, pin=False)
        for at, (name, held) in enumerate(homes.items())
    )
    together = CoordinationSpec(load_balancing=True, failover="automatic", lease=6.0, drain=30.0)
    return Blueprint("fleet", "distributed-edge", "agent.agent-0", elements, nodes=specs, coordination=together)


@dataclass(frozen=True, slots=True)
class Lived:
    """What ten seconds of a fleet took."""

    settled: float
    letters: float
    computing: float
    calls: Mapping[str, float]
    size: Mapping[str, float]


async def live(nodes: int) -> Lived:
    """A fleet begins, settles, and does nothing."""
    blueprint, store = made(nodes, AGENTS * nodes), CountedStore()
    async with anyio.create_task_group() as group:
        net = SimNet(Random(1), store=store)
        fleet = SimulatedFleet[Idle](net, Random(2), group)
        group.start_soon(net.run)
        for at, node in enumerate(blueprint.nodes):
            await fleet.join(node["name"], lambda _: Idle(), leads=at < LEADS)
        await fleet.apply(1, blueprint)
        while any(len(node.worker.agents) < AGENTS for node in fleet.nodes.values()):  # noqa: ASYNC110 - of many nodes
            await anyio.sleep(0.1)
        settled = anyio.current_time()
        await anyio.sleep(5.0)
        gc.collect()
        letters, calls, size, begun = net.delivered, store.calls.copy(), store.size.copy(), time.process_time()
        await anyio.sleep(SECONDS)
        spent = time.process_time() - begun
        lived = Lived(
            settled,
            (net.delivered - letters) / SECONDS,
            spent / SECONDS / nodes,
            {name: (count - calls[name]) / SECONDS for name, count in store.calls.items()},
            {name: (count - size[name]) / SECONDS for name, count in store.size.items()},
        )
        group.cancel_scope.cancel()
    return lived


def fleets(sizes: Sequence[int]) -> Iterator[Row]:
    """Fleets of growing size."""
    for nodes in sizes:
        lived = in_virtual_time(partial(live, nodes))
        what = f"{nodes} nodes"
        yield Row(f"{what}: all is placed after", lived.settled, "s (virtual)")
        yield Row(f"{what}: letters that arrive", lived.letters, "/s")
        yield Row(f"{what}: ... of which at one node", lived.letters / nodes, "/s")
        yield Row(f"{what}: the board is read", lived.calls["read"], "/s")
        yield Row(f"{what}: ... which is", lived.size["read"] / 1e3, "kB/s")
        yield Row(f"{what}: the board is written", lived.calls["written"], "/s")
        yield Row(f"{what}: computing of one node, the simulated net included", lived.computing * 100, "% of a core")


def heartbeat() -> Iterator[Row]:
    """One heartbeat."""
    agents = {f"agent-{number}": True for number in range(AGENTS)}
    beats = [Heartbeat("node-1", 1, number, 1, "ready", agents, 4, 1, 0, 7, 812.5, 1004) for number in range(5000)]
    begun = time.process_time()
    letters = [heartbeat_letter("orc.v1.fleet.hb.node-1", beat) for beat in beats]
    wrote = time.process_time() - begun
    table = Table("node-0")
    begun = time.process_time()
    for at, letter in enumerate(letters):
        table.hear(read_heartbeat(letter), at / 2)
    heard = time.process_time() - begun
    yield Row("a heartbeat of five agents: size", float(len(letters[-1].body)), "bytes")
    yield Row("a heartbeat: writing it", wrote / len(beats) * 1e6, "us")
    yield Row("a heartbeat: reading it and taking it in", heard / len(beats) * 1e6, "us")


def choice() -> Iterator[Row]:
    """Which node a request goes to, of very many."""
    table, random = Table("node-0"), Random(1)
    for number in range(LARGE[0]):
        agents = {f"agent-{number * AGENTS + at}": True for at in range(AGENTS)}
        table.hear(Heartbeat(f"node-{number}", 1, 1, 1, "ready", agents, 4, 1, 0, 7, 812.5, 1004), 0.0)
    begun = time.process_time()
    for number in range(1000):
        assert table.choose(f"agent-{number * 5}", 0.1, random.randrange) is not None
    yield Row(f"choosing the node of a request, of {LARGE[0]}", (time.process_time() - begun) * 1e3, "us")


def large() -> Iterator[Row]:
    """What one node of a very large fleet reads and reckons."""
    nodes, agents = LARGE
    blueprint = made(nodes, agents)
    written = Desired(1, blueprint.as_json()).written()
    begun = time.process_time()
    desired = Desired.read(written)
    fleet = fleet_in(desired)
    read = time.process_time() - begun
    placed = place(fleet, dict.fromkeys(fleet.nodes, Seen(ready_for=100.0)))
    assignment = Assigned(1, 1, placed).written()
    begun = time.process_time()
    Assigned.read(assignment)
    taken = time.process_time() - begun
    what = f"{nodes} nodes, {agents} agents"
    yield at_most(f"{what}: the manifest on the board", len(written) / 1024, "KiB", 768)
    yield Row(f"{what}: reading it, when it is new", read * 1e3, "ms")
    yield at_most(f"{what}: the assignment on the board", len(assignment) / 1024, "KiB", 768)
    yield Row(f"{what}: reading it, when it is new", taken * 1e3, "ms")


def main() -> None:
    """Print all figures."""
    show(fan_out.rows())
    show(heartbeat())
    show(choice())
    show(large())
    show(fleets([*SIZES, VERY_LARGE] if sys.argv[1:] == ["all"] else SIZES))


if __name__ == "__main__":
    main()
