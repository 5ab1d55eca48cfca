"""The leader's loop: what is wanted, what is seen, who lives; place; write who is to hold what.

Every turn reads everything anew, so that whatever was missed costs one turn. What it writes carries the epoch of its lease, and a
new leader writes first of all: an earlier one that wakes up finds that its revision is not the newest any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import BusDown, Conflict, NotUnderstood
from orchestrator.node.answering import Tell
from orchestrator.node.bell import Bell
from orchestrator.node.desired import Assigned, Desired, Observed
from orchestrator.node.leasing import Leasing
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Table
from orchestrator.plan.fleet import Fleet, fleet_of
from orchestrator.plan.placement import Assignment, Seen, place
from orchestrator.ports.bus import Board, Entry
from orchestrator.serve.clock import current_time

RESYNC: Final = 5.0
"""Seconds after which everything is read again, whatever was told meanwhile."""


def sight(
    fleet: Fleet, table: Table, now: float, models: dict[str, frozenset[str] | None] | None = None
) -> dict[str, Seen]:
    """What a node sees of the fleet's nodes: their heartbeats, and what models they have told of."""
    told = models or {}
    live: dict[str, Seen] = {}
    for name in fleet.nodes:
        beat = table.beat(name)
        cordoned = beat is not None and beat.state == "draining"
        live[name] = Seen(table.health(name, now), table.ready_for(name, now), told.get(name), cordoned)
    return live


@dataclass(slots=True)
class Controller:
    """One node's part in leading: it does something only while ``leasing`` holds."""

    board: Board
    subjects: Subjects
    table: Table
    leasing: Leasing
    bell: Bell
    tell: Tell
    _known: tuple[bytes, Desired, Fleet] | None = field(default=None)

    async def run(self) -> None:
        """Lead whenever it is this node's turn, until cancelled."""
        while True:
            if self.leasing.epoch is not None:
                try:
                    await self._turn()
                except (BusDown, Conflict) as error:
                    self.tell("mesh.unsent", {"key": self.subjects.assignment, "error": error.message})
                except NotUnderstood as error:
                    self.tell("mesh.refused", {"error": error.message})
            await self.bell.wait(RESYNC)

    async def _turn(self) -> None:
        wanted = await self.board.read("desired", self.subjects.manifest)
        if wanted is None or not wanted.value:
            return  # a node that has kept it will put it back
        entry = await self.board.read("desired", self.subjects.assignment)
        models = await self._models()
        (desired, fleet), before = self._wanted(wanted.value), _assigned(entry)
        epoch = self.leasing.epoch
        if epoch is None:
            return
        if before is not None and before.epoch > epoch:
            self.leasing.lease.seen = max(self.leasing.lease.seen, before.epoch)
            self.leasing.fences.note(before.epoch)
            await self.leasing.give_back()  # somebody leads with a higher one: ours was made of a store that forgot
            return
        live = sight(fleet, self.table, current_time(), models)
        placed = place(fleet, live, before.assignment if before else Assignment())
        after = Assigned(desired.generation, epoch, placed)
        if after == before:
            return
        await self.board.swap("desired", self.subjects.assignment, after.written(), entry.revision if entry else 0)
        if before is None or before.assignment != placed:
            self.tell(
                "mesh.assigned", {"generation": desired.generation, "epoch": epoch, "moved": _moved(before, placed)}
            )

    async def _models(self) -> dict[str, frozenset[str] | None]:
        """The models that nodes have told of. What one of them wrote that cannot be read says nothing."""
        found: dict[str, frozenset[str] | None] = {}
        for entry in await self.board.entries("observed", self.subjects.prefix):
            try:
                observed = Observed.read(entry.value)
            except NotUnderstood as error:
                self.tell("mesh.refused", {"error": error.message})
                continue
            found[observed.node] = None if observed.models is None else frozenset(observed.models)
        return found

    def _wanted(self, value: bytes) -> tuple[Desired, Fleet]:
        """The manifest that stands there; most turns it is the one of the turn before."""
        if self._known is None or self._known[0] != value:
            desired = Desired.read(value)
            self._known = (value, desired, fleet_in(desired))
        return self._known[1], self._known[2]


def fleet_in(desired: Desired) -> Fleet:
    """The fleet of a manifest on the board. Raises ``NotUnderstood``."""
    try:
        return fleet_of(Blueprint.from_json(desired.blueprint))
    except (ValueError, KeyError, TypeError) as error:
        raise NotUnderstood(f"the manifest of generation {desired.generation} cannot be read: {error}") from error


def _assigned(entry: Entry | None) -> Assigned | None:
    """What stands there; what cannot be read is written anew."""
    if entry is None or not entry.value:
        return None
    try:
        return Assigned.read(entry.value)
    except NotUnderstood:
        return None


def _moved(before: Assigned | None, placed: Assignment) -> list[str]:
    """Agents whose nodes are others than before."""
    known = before.assignment.places if before else {}
    return sorted(
        agent
        for agent, places in placed.places.items()
        if [one.node for one in places] != [one.node for one in known.get(agent, ())]
    )
