"""One fault in a fleet that is asked all the while, and what came of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from orchestrator.app.fleet.identity import FleetFolder
from orchestrator.app.fleet.records import read_record
from orchestrator.core.errors import OrchestratorError
from tests.apart.journal import EXCLUSIVE, Journals
from tests.apart.load import NAME, Asked, Flow, Load, ask
from tests.apart.machine import Machine

HOMES: Final = {
    "desk": ["edge-1"],
    "shared": ["edge-2", "edge-3"],
    "own": ["edge-2"],
    "sole": ["edge-2"],
    "bench": ["edge-3"],
}
STEADY_SECONDS: Final = 60.0
QUIET: Final = 3.0
"""Seconds for which a fleet is asked before anything happens to it."""
STILL: Final = 1.0
"""Seconds in which a process that goes on finds out which of its requests are over."""
_GLANCE: Final = 0.1


@dataclass
class Figures:
    """What is told of a fault. Seconds; ``None`` where it means nothing for this one."""

    fault: str
    sent: int = 0
    lost: int = 0
    cut_off: int = 0
    twice: int = 0
    rerouted: int = 0
    worked_twice: int = 0
    longest: float = 0.0
    exclusive: float = 0.0
    out: float | None = None
    back: float | None = None
    home: float | None = None


@dataclass
class Trial:
    """A fault that is looked at. ``broke`` and ``healed`` are moments of ``time.time``."""

    machines: Mapping[str, Machine]
    figures: Figures
    load: Load
    began: float = field(default_factory=time.time)
    broke: float = 0.0
    healed: float = 0.0
    extra: list[Asked] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    """Nodes whose process is stopped from ``broke`` to ``healed``."""

    def breaks(self, what: Callable[[], object]) -> None:
        """Do it, and note when."""
        self.broke = time.time()
        what()

    def heals(self, what: Callable[[], object]) -> None:
        """Do it, and note when."""
        what()
        self.healed = time.time()

    def until_routed(self, agent: str, node: str, seconds: float = 40.0) -> float:
        """Ask for an agent through the first machine until its own node answers; how many seconds after the healing it
        was given the request."""
        first = next(iter(self.machines.values()))
        while True:
            asked = ask(first, agent, patience=8.0)
            self.extra.append(asked)
            if asked.answered and asked.result is not None and asked.result.node == node:
                return asked.ended - asked.result.timings["model"] / 1e3 - self.healed
            assert time.time() - self.healed < seconds, asked.told
            time.sleep(_GLANCE)  # real processes find out about each other in real time

    def home(self, agent: str, node: str) -> float:
        """How many seconds after the healing an agent, for which others stood in, was held by its own node again."""
        return self.journals().held_again(agent, node) - self.healed

    def _stood_still(self, asked: Asked) -> bool:
        """Whether the node that was asked stood still until the request's time was over: it is not there to answer anybody."""
        ends = asked.at + (asked.request.timeout or 0.0)
        return asked.node in self.stopped and self.broke <= ends <= self.healed + STILL

    def journals(self) -> Journals:
        """What the nodes have written since it began."""
        return Journals.read(self.machines.values(), self.began)

    def read(self, victim: str = "") -> list[str]:
        """Reckon the figures; what no fault excuses."""
        asked, figures, journals = self.load.asked, self.figures, self.journals()
        cut_off = [one for one in asked if one.is_cut_off]
        still = [one for one in asked if not one.answered and self._stood_still(one)]
        lost = [one for one in asked if not one.answered and not one.is_cut_off and one not in still]
        twice = journals.delivered_twice(asked)
        figures.sent, figures.lost, figures.twice = len(asked) - len(still), len(lost), len(twice)
        figures.cut_off = len(cut_off)
        figures.rerouted, figures.worked_twice = journals.rerouted(asked), journals.worked_twice()
        shared = [one for one in asked if one.request.agent != EXCLUSIVE]
        figures.longest = max((one.ended - one.at for one in shared if one.answered), default=0.0)
        alone = [one for one in asked if one.request.agent == EXCLUSIVE]
        figures.exclusive = max((one.ended - one.at for one in alone if one.answered), default=0.0)
        if victim:
            figures.out = journals.out_of_routing(asked, victim, (self.broke, self.healed))
        return [*(one.told for one in lost), *twice, *journals.wrong([*asked, *self.extra])]


@contextmanager
def trial(machines: Mapping[str, Machine], fault: str, flows: Sequence[Flow], table: list[Figures]) -> Iterator[Trial]:
    """A fleet in which all is well is asked; in the end it is mended, and all is well again."""
    wait_until_steady(machines)
    made = Trial(machines, Figures(fault), Load(machines, flows))
    table.append(made.figures)
    with made.load.running():
        time.sleep(QUIET)  # requests come before anything happens
        yield made
    wait_until_steady(machines)


def wait_until_steady(machines: Mapping[str, Machine]) -> None:
    """All nodes live and hold what the manifest says, and each of them has every agent answered there."""
    end, why = time.monotonic() + STEADY_SECONDS, "?"
    while why:
        why = _unsteady(machines)
        assert time.monotonic() < end, why
        time.sleep(_GLANCE)


def _unsteady(machines: Mapping[str, Machine]) -> str:
    for machine in machines.values():
        try:
            seen = (machine.client().fleet() or {}).get("deployments", [])
        except OrchestratorError as error:
            return f"{machine.name}: {error.line}"
        found = next((each for each in seen if each["name"] == NAME), None)
        if found is None or any(node["health"] != "alive" for node in found["nodes"].values()):
            return f"{machine.name} sees {found}"
        held = {agent: sorted(told["nodes"]) for agent, told in found["agents"].items()}
        if held != HOMES:
            return f"{machine.name} sees agents at {held}"
    for machine in machines.values():
        for agent, nodes in HOMES.items():
            asked = ask(machine, agent, patience=3.0)
            if not asked.answered or asked.result is None or asked.result.node not in nodes:
                return asked.told
    return ""


def kill_runtime(machine: Machine, how: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal to the runtime of a machine; gives its process."""
    process = int(machine.client().about()["pid"])
    os.kill(process, how)
    return process


def kill_server(machine: Machine, name: str, before: Callable[[], object] = lambda: None) -> None:
    """kill -9 of the NATS server of a machine: ``hub`` or ``leaf``; ``before`` is done while it runs still."""
    record = read_record(fleet_folder(machine).servers, name)
    assert record is not None and record.process is not None
    before()
    os.kill(record.process.pid, signal.SIGKILL)


def fleet_folder(machine: Machine) -> FleetFolder:
    """Where a machine keeps what it is in its fleet."""
    return FleetFolder(machine.home / "state" / "fleet")


def table_of(rows: Sequence[Figures]) -> str:
    """The figures, as they stand in docs/mesh.md."""
    head = (
        "fault",
        "sent",
        "lost",
        "cut off",
        "delivered twice",
        "rerouted",
        "worked on twice",
        "longest answer",
        "of the exclusive agent",
        "out of routing",
        "routed again",
        "adopted agents home",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        counts = (row.sent, row.lost, row.cut_off, row.twice, row.rerouted, row.worked_twice)
        seconds = (row.longest, row.exclusive, row.out, row.back, row.home)
        cells = [row.fault, *map(str, counts), *("" if one is None else f"{one:.1f}" for one in seconds)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lasts(seconds: float) -> None:
    """A fault goes on, or nothing happens. Between real processes, servers and kernels there is no clock but the real one."""
    time.sleep(seconds)  # machines in namespaces, in real time
