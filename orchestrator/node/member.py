"""A node's loop: what is wanted of it; hold that; say what it has seen of itself.

It is told of changes, and reads everything every 5 s all the same. The last good manifest and assignment are kept on its disk: with
these it starts and serves without any network. Where the board cannot be reached for as long as a node takes to be dead, it
reckons for itself, from the nodes that it still hears, whom it could stand in for: every island goes on. Two copies of an agent on
two islands do no harm; agents that are exclusive need a lease, which only one side can have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.errors import BusDown, Conflict, NotUnderstood
from orchestrator.node.answering import Tell
from orchestrator.node.bell import Bell
from orchestrator.node.controller import RESYNC, fleet_in, sight
from orchestrator.node.desired import Assigned, Desired, Observed
from orchestrator.node.leasing import Fences
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Table
from orchestrator.node.worker import Held, Kept, Worker
from orchestrator.plan.fleet import Fleet
from orchestrator.plan.placement import Assignment, place
from orchestrator.ports.bus import Board, Entry
from orchestrator.serve.clock import current_time

MANIFEST: Final = "manifest"
ASSIGNMENT: Final = "assignment"


@dataclass(slots=True)
class Member:
    """One node's part in what all agreed on. ``settle`` is called with what the node holds from now on; ``accepts`` says whether a
    manifest is signed by who may, ``leads`` whether this node may place agents."""

    node: str
    epoch: int
    board: Board
    subjects: Subjects
    table: Table
    worker: Worker
    kept: Kept
    fences: Fences
    bell: Bell
    tell: Tell
    settle: Callable[[Mapping[str, Held]], None]
    accepts: Callable[[Desired], bool] = lambda desired: True
    leads: bool = True
    desired: Desired | None = None
    assigned: Assigned | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    _fleet: Fleet | None = None
    _taken: bytes = b""  # the manifest that it follows and the assignment that it knows, as they stand on the board
    _given: bytes = b""
    _holding: tuple[int, Mapping[str, Held]] | None = None
    _away_since: float | None = None
    _observed: tuple[bytes, int, float] = (b"", 0, 0.0)  # what was written last, its revision, when

    @property
    def generation(self) -> int:
        """Of the manifest that it serves."""
        return self.desired.generation if self.desired else 0

    async def start(self) -> None:
        """Hold what was good before the node stopped."""
        self._recall()
        await self._hold()

    async def run(self) -> None:
        """Do what is wanted, until cancelled."""
        while True:
            await self._turn()
            await self.bell.wait(RESYNC)

    async def watch(self) -> None:
        """Be told of changes, until cancelled."""
        async with self.board.watch("desired", self.subjects.prefix) as changes:
            async for _ in changes:
                self.bell.ring()

    async def _turn(self) -> None:
        try:
            await self._read()
            self._reached(True)
            await self._hold()
            await self._report()
        except BusDown:
            self._reached(False)
            await self._hold()
        except Conflict:
            self.bell.ring()  # somebody was faster: look again

    # ---- what is wanted ----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        wanted = await self.board.read("desired", self.subjects.manifest)
        await self._take_manifest(wanted)
        assigned = await self.board.read("desired", self.subjects.assignment)
        if assigned is not None and assigned.value:
            self._take_assignment(assigned.value)

    async def _take_manifest(self, entry: Entry | None) -> None:
        if entry is not None and entry.value and entry.value == self._taken:
            return  # most turns: a large manifest takes its time to read
        found = self._manifest_in(entry.value) if entry is not None and entry.value else None
        if found is not None and found.generation > self.generation:
            self._adopt(found)
            self.kept.save(MANIFEST, found.written())
            self._taken = entry.value if entry is not None else b""
        elif entry is not None and found is not None and found == self.desired:
            self._taken = entry.value  # it was kept on the disk
        elif self.desired is not None and (found is None or found.generation < self.generation):
            # The store has forgotten it, or was put back to an earlier time.
            await self.board.swap(
                "desired", self.subjects.manifest, self.desired.written(), entry.revision if entry else 0
            )

    def _manifest_in(self, value: bytes) -> Desired | None:
        try:
            found = Desired.read(value)
            if not self.accepts(found):
                raise NotUnderstood("the manifest on the board is not signed by who may apply one")
            fleet_in(found)
        except NotUnderstood as error:
            self.tell("mesh.refused", {"error": error.message})
            return None
        return found

    def _adopt(self, desired: Desired) -> None:
        self.desired, self._fleet = desired, fleet_in(desired)
        self.table.balanced = self._fleet.balanced
        self.table.fit(len(self._fleet.nodes))
        self.table.forget(set(self.table.nodes) - self._fleet.nodes.keys() - {self.node})

    def _take_assignment(self, value: bytes) -> None:
        if value == self._given:
            return
        try:
            found = Assigned.read(value)
        except NotUnderstood as error:
            self.tell("mesh.refused", {"error": error.message})
            return
        known = self.assigned
        if known is not None and found.epoch < known.epoch:
            self.tell("mesh.refused", {"error": f"an assignment of epoch {found.epoch}, after one of {known.epoch}"})
            self.fences.note(known.epoch)
            return
        self.fences.note(found.epoch)
        self._given = value
        if found != known:
            self.assigned = found
            self.kept.save(ASSIGNMENT, value)

    def _recall(self) -> None:
        """What was good before it stopped."""
        manifest, assignment = self.kept.load(MANIFEST), self.kept.load(ASSIGNMENT)
        found = self._manifest_in(manifest) if manifest else None
        if found is not None:
            self._adopt(found)
        if assignment:
            self._take_assignment(assignment)

    # ---- holding it --------------------------------------------------------------------------------------------

    def _reached(self, reached: bool) -> None:
        if reached != (self._away_since is None):
            self.tell("mesh.board", {"reached": reached})
        if reached:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = current_time()

    @property
    def alone(self) -> bool:
        """Whether the board has been away for so long that who is not heard is dead for this node; or it is there, and all who
        may place are dead."""
        now = current_time()
        if self._away_since is not None and now - self._away_since >= self.table.patience.dead:
            return True
        return not self.leads and self._is_leaderless(now)

    def _is_leaderless(self, now: float) -> bool:
        nodes = self.desired.blueprint.get("nodes", ()) if self.desired is not None else ()
        hubs = [node["name"] for node in nodes if node["hub"]] or [node["name"] for node in nodes[:1]]
        return bool(hubs) and all(self.table.health(hub, now) == "dead" for hub in hubs)

    async def _hold(self) -> None:
        if self.desired is None or self._fleet is None:
            return
        held = self._wanted(self._fleet)
        holding = (self.desired.generation, held)
        if holding == self._holding:
            return
        await self.worker.hold(held, self.desired.blueprint, self.desired.generation)
        self._holding, self.held = holding, held
        self.tell("mesh.holds", {"agents": sorted(held), "generation": self.desired.generation})
        self.settle(held)

    def _wanted(self, fleet: Fleet) -> dict[str, Held]:
        assigned = self.assigned.assignment if self.assigned else None
        if assigned is None and not self.alone:
            return {}
        held = self._held(assigned or Assignment(), fleet)
        if self.alone:
            reckoned = place(fleet, sight(fleet, self.table, current_time()), assigned)
            held = {**self._held(reckoned, fleet, shared=True), **held}
        return held

    def _held(self, assignment: Assignment, fleet: Fleet, *, shared: bool = False) -> dict[str, Held]:
        """What an assignment gives this node. ``shared``: without exclusive agents."""
        return {
            agent: Held(agent, found.model, fleet.agents[agent].exclusive)
            for agent, found in assignment.on(self.node).items()
            if agent in fleet.agents and not (shared and fleet.agents[agent].exclusive)
        }

    # ---- what it has seen --------------------------------------------------------------------------------------

    async def _report(self) -> None:
        load, now = self.worker.load(), current_time()
        models = None if load.models is None else tuple(sorted(load.models))
        value = Observed(self.node, self.epoch, self.generation, tuple(sorted(load.agents)), models).written()
        written, revision, at = self._observed
        if value == written and now - at < RESYNC:
            return
        key = self.subjects.observed(self.node)
        try:
            entry = await self.board.swap("observed", key, value, revision)
        except Conflict:
            found = await self.board.read("observed", key)
            entry = await self.board.swap("observed", key, value, found.revision if found else 0)
        self._observed = (value, entry.revision, now)
