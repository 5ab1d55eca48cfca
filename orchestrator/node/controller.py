"""The leader's loop: what is wanted, what is seen, who lives; place; write who is to hold what.

Every turn reads everything anew, so that whatever was missed costs one turn. What it writes carries the epoch of its lease, and a
new leader writes first of all: an earlier one that wakes up finds that its revision is not the newest any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import BusDown, Conflict, NotUnderstood
from orchestrator.node.answering import Tell
from orchestrator.node.bell import Bell
from orchestrator.node.desired import Assigned, Desired, Observed
from orchestrator.node.leasing import Leasing
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Health, Table
from orchestrator.plan.fleet import Fleet, fleet_of
from orchestrator.plan.placement import Assignment, Seen, place
from orchestrator.plan.rolling import Between, Rollout, Said, Watch, begun, in_order
from orchestrator.ports.bus import Board, Entry
from orchestrator.serve.clock import current_time

RESYNC: Final = 5.0
"""Seconds after which everything is read again, whatever was told meanwhile."""
LOOK: Final = 0.5
"""The same while a manifest goes over the fleet."""


def sight(fleet: Fleet, table: Table, now: float, observed: Mapping[str, Observed] | None = None) -> dict[str, Seen]:
    """What a node sees of the fleet's nodes: their heartbeats, and what they have told of: their models, and that they cannot serve
    the manifest, as if they were drained."""
    told = observed or {}
    live: dict[str, Seen] = {}
    for name in fleet.nodes:
        beat = table.beat(name)
        drained, cordoned = (beat is not None and beat.state == state for state in ("draining", "cordoned"))
        one = told.get(name)
        models = frozenset(one.models) if one is not None and one.models is not None else None
        faulty = not drained and one is not None and bool(one.fault)
        ready = table.ready_for(name, now)
        live[name] = Seen(table.health(name, now), ready, models, drained or faulty, cordoned, faulty)
    return live


@dataclass(slots=True)
class Controller:
    """One node's part in leading: it does something only while ``leasing`` holds. ``sign`` gives a manifest that takes another one
    back the operator's signature, or ``None`` where this node has no key; ``rollout`` is what this node knows of the last one."""

    board: Board
    subjects: Subjects
    table: Table
    leasing: Leasing
    bell: Bell
    tell: Tell
    sign: Callable[[Desired], Desired | None] = lambda desired: desired
    rollout: Callable[[], Rollout | None] = lambda: None
    _fleets: dict[int, tuple[Desired, Fleet]] = field(default_factory=dict)
    _known: tuple[bytes, Desired] | None = field(default=None)
    _watch: Watch = field(default_factory=Watch)
    _rolls: bool = False

    async def run(self) -> None:
        """Lead whenever it is this node's turn, until cancelled."""
        while True:
            self._rolls = False
            if self.leasing.epoch is not None:
                try:
                    await self._turn()
                except (BusDown, Conflict) as error:
                    self.tell("mesh.unsent", {"key": self.subjects.assignment, "error": error.message})
                except NotUnderstood as error:
                    self.tell("mesh.refused", {"error": error.message})
            await self.bell.wait(LOOK if self._rolls else RESYNC)

    async def _turn(self) -> None:
        wanted = await self.board.read("desired", self.subjects.manifest)
        if wanted is None or not wanted.value:
            return  # a node that has kept it will put it back
        entry = await self.board.read("desired", self.subjects.assignment)
        observed = await self._observed()
        desired, before = self._wanted(wanted.value), _assigned(entry)
        epoch = self.leasing.epoch
        if epoch is None:
            return
        if before is not None and before.epoch > epoch:
            self.leasing.lease.seen = max(self.leasing.lease.seen, before.epoch)
            self.leasing.fences.note(before.epoch)
            await self.leasing.give_back()  # somebody leads with a higher one: ours was made of a store that forgot
            return
        rollout = self._rolled(desired, before, observed)
        placed = self._placed(desired, rollout, before, observed)
        after = Assigned(desired.generation, epoch, placed, rollout)
        if after != before:
            await self.board.swap("desired", self.subjects.assignment, after.written(), entry.revision if entry else 0)
            self._tell_of(after, before)
        if rollout.state == "failed":
            await self._take_back(desired, rollout, wanted.revision)
        self._rolls = rollout.state == "rolling"

    def _rolled(self, desired: Desired, before: Assigned | None, observed: Mapping[str, Observed]) -> Rollout:
        """How far the wanted manifest has come by now."""
        if desired.before is None:
            return Rollout(desired.generation)
        now, fleet, old = current_time(), self._fleet_of(desired), self._fleet_of(desired.before)
        names = {*fleet.nodes, *old.nodes}
        generation, health = desired.generation, self.table.health
        said = {name: _said(health(name, now), observed.get(name), generation) for name in names}
        known = before.rollout if before is not None else self.rollout()
        if known is None or known.generation != desired.generation:
            known = begun(desired.generation, said)
        return self._watch.step(known, in_order(old, fleet), said, fleet.health_gate, now)

    def _placed(
        self, desired: Desired, rollout: Rollout, before: Assigned | None, observed: Mapping[str, Observed]
    ) -> Assignment:
        previous, now = before.assignment if before else Assignment(), current_time()
        fleet = self._fleet_of(desired)
        if desired.before is None or rollout.state == "done":
            return place(fleet, sight(fleet, self.table, now, observed), previous)
        old = self._fleet_of(desired.before)
        if rollout.state == "failed":
            return place(old, sight(old, self.table, now, observed), previous)
        live = {**sight(old, self.table, now, observed), **sight(fleet, self.table, now, observed)}
        return Between(old, fleet, live, previous).placed(rollout.taken, rollout.node)

    async def _take_back(self, desired: Desired, rollout: Rollout, revision: int) -> None:
        """The last good manifest, as a new generation for all nodes at once."""
        if desired.before is None:
            return
        content = desired.before.blueprint
        back = self.sign(Desired(desired.generation + 1, content, undone=desired.generation, why=rollout.why))
        if back is not None:  # else all nodes serve the last good one, and the operator finds why in the status
            await self.board.swap("desired", self.subjects.manifest, back.written(), revision)
            self.bell.ring()

    def _tell_of(self, after: Assigned, before: Assigned | None) -> None:
        if before is None or before.assignment != after.assignment:
            moved = _moved(before, after.assignment)
            self.tell("mesh.assigned", {"generation": after.generation, "epoch": after.epoch, "moved": moved})
        rollout = after.rollout
        if before is None or before.rollout != rollout:
            taken, why = list(rollout.taken), {"why": rollout.why} if rollout.why else {}
            fields = {"generation": rollout.generation, "state": rollout.state, "node": rollout.node, "taken": taken}
            self.tell("mesh.rollout", {**fields, **why})

    async def _observed(self) -> dict[str, Observed]:
        """What nodes have told of themselves. What one of them wrote that cannot be read says nothing."""
        found: dict[str, Observed] = {}
        for entry in await self.board.entries("observed", self.subjects.prefix):
            try:
                observed = Observed.read(entry.value)
            except NotUnderstood as error:
                self.tell("mesh.refused", {"error": error.message})
                continue
            found[observed.node] = observed
        return found

    def _wanted(self, value: bytes) -> Desired:
        """The manifest that stands there; most turns it is the one of the turn before."""
        if self._known is None or self._known[0] != value:
            self._known = (value, Desired.read(value))
        return self._known[1]

    def _fleet_of(self, desired: Desired) -> Fleet:
        known = self._fleets.get(desired.generation)
        if known is None or known[0].blueprint != desired.blueprint:
            self._fleets = {at: one for at, one in self._fleets.items() if at >= desired.generation - 8}
            known = self._fleets[desired.generation] = (desired, fleet_in(desired))
        return known[1]


def fleet_in(desired: Desired) -> Fleet:
    """The fleet of a manifest on the board. Raises ``NotUnderstood``."""
    try:
        return fleet_of(Blueprint.from_json(desired.blueprint))
    except (ValueError, KeyError, TypeError) as error:
        raise NotUnderstood(f"the manifest of generation {desired.generation} cannot be read: {error}") from error


def _said(health: Health, observed: Observed | None, generation: int) -> Said:
    """What the leader goes by, of a node's heartbeats and of what it wrote."""
    if observed is None:
        return Said(health)
    fault = observed.fault if observed.refused == generation else ""
    return Said(health, observed.generation, fault, observed.before, observed.since)


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
