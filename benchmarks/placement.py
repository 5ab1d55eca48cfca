"""How long it takes to reckon who holds what.

Method: ``place`` of ``orchestrator/plan/placement.py`` on made-up fleets of equal nodes with one model of three and 8 GiB for
models. *first*: nothing is placed yet, and no agent has a home, so that every agent is compared with every node that has its
model. *all models*: the same where each node has all three, so that each agent is compared with each node: the most that it can
cost. *again*: what is placed is placed again. *one dies*: an agent in each node's home, and a node
is dead."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.measure import Row, at_most, show
from orchestrator.plan.fleet import Fleet, FleetAgent, FleetNode
from orchestrator.plan.placement import Assignment, Seen, place

GIB: Final = 2**30
MODELS: Final = ("small", "middle", "large")
SIZES: Final = {"small": GIB, "middle": 3 * GIB, "large": 5 * GIB}
SCALES: Final = ((50, 200), (1000, 5000))
UP: Final = Seen(ready_for=100.0)


@dataclass(frozen=True, slots=True)
class Made:
    """A fleet, and what is seen of it."""

    fleet: Fleet
    live: dict[str, Seen]


def made(nodes: int, agents: int, *, homes: bool, models: int = 1) -> Made:
    """A fleet of that size, with so many models on each node."""
    names = [f"node-{number}" for number in range(nodes)]
    has = [frozenset(MODELS[(n + more) % 3] for more in range(models)) for n in range(nodes)]
    at = {name: FleetNode(name, has[n], 8 * GIB) for n, name in enumerate(names)}
    held = {
        f"agent-{n}": FleetAgent(f"agent-{n}", names[n % nodes] if homes else "", (MODELS[n % nodes % 3],))
        for n in range(agents)
    }
    return Made(Fleet(at, held, SIZES, "automatic"), dict.fromkeys(names, UP))


def timed(work: Callable[[], Assignment], times: int) -> tuple[float, Assignment]:
    """The fastest of some times, in seconds, and what came of it."""
    best, placed = float("inf"), Assignment()
    for _ in range(times):
        begun = time.perf_counter()
        placed = work()
        best = min(best, time.perf_counter() - begun)
    return best, placed


def rows(nodes: int, agents: int) -> list[Row]:
    """The figures of one size."""
    free, homed = made(nodes, agents, homes=False), made(nodes, agents, homes=True)
    first, placed = timed(lambda: place(free.fleet, free.live), 1 if agents > 1000 else 5)
    full = made(nodes, agents, homes=False, models=3)
    most_first, _ = timed(lambda: place(full.fleet, full.live), 1 if agents > 1000 else 5)
    again, same = timed(lambda: place(free.fleet, free.live, placed), 3)
    assert same == placed and len(placed.places) == agents
    at_home = place(homed.fleet, homed.live)
    dead = {**homed.live, "node-0": Seen(health="dead")}
    one, after = timed(lambda: place(homed.fleet, dead, at_home), 3)
    moved = sum(after.places[agent] != at_home.places[agent] for agent in at_home.places)
    assert 0 < moved <= agents // nodes + 1
    size = f"{nodes} nodes x {agents} agents"
    most = 2000 if agents > 1000 else 200
    return [
        at_most(f"{size}, first", first * 1000, "ms", most),
        at_most(f"{size}, first, all models", most_first * 1000, "ms", most),
        Row(f"{size}, again", again * 1000, "ms"),
        Row(f"{size}, one dies, and {moved} agents move", one * 1000, "ms"),
    ]


def main() -> None:
    """Print all figures."""
    show(row for nodes, agents in SCALES for row in rows(nodes, agents))


if __name__ == "__main__":
    main()
