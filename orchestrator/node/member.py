"""A node's loop: what is wanted of it; hold that; say what it has seen of itself.

A new manifest is taken over when it is this node's turn: until then it serves what it served, and what cannot be served is told
and tried again, while what was served before serves on.

It is told of changes, and reads everything every 5 s all the same. The last good manifest and assignment are kept on its disk: with
these it starts and serves without any network. Where the board cannot be reached for as long as a node takes to be dead, it
reckons for itself, from the nodes that it still hears, whom it could stand in for: every island goes on. Two copies of an agent on
two islands do no harm; agents that are exclusive need a lease, which only one side can have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.errors import BusDown, Conflict, NotUnderstood, OrchestratorError
from orchestrator.node.answering import Tell
from orchestrator.node.bell import Bell
from orchestrator.node.coming import Coming
from orchestrator.node.controller import LOOK, RESYNC, fleet_in, sight
from orchestrator.node.desired import Assigned, Desired, Observed
from orchestrator.node.leasing import Fences
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Table
from orchestrator.node.worker import Held, Kept, Worker
from orchestrator.plan.fleet import DRAIN, LEASE, Fleet
from orchestrator.plan.placement import Assignment, place
from orchestrator.plan.rolling import Rollout
from orchestrator.ports.bus import Board, Entry
from orchestrator.serve.clock import current_time

MANIFEST: Final = "manifest"
ASSIGNMENT: Final = "assignment"
SERVED: Final = "served"


@dataclass(slots=True)
class Member:
    """One node's part in what all agreed on. ``settle`` is called with what the node holds from now on; ``accepts`` says whether a
    manifest is signed by who may, ``leads`` whether this node may place agents. ``desired`` is the newest manifest, ``served`` the
    one that this node serves, ``fault`` why that is not the one that it should serve, ``lease`` the term of its leases, ``drain``
    how long what it began may take to end."""

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
    served: Desired | None = None
    assigned: Assigned | None = None
    held: Mapping[str, Held] = field(default_factory=dict)
    fault: str = ""
    lease: float = LEASE
    drain: float = DRAIN
    coming: Coming = field(init=False)
    _fleets: dict[int, Fleet] = field(default_factory=dict)
    _taken: bytes = b""  # the manifest that it follows and the assignment that it knows, as they stand on the board
    _given: bytes = b""
    _holding: tuple[int, Mapping[str, Held]] | None = None
    _refused: tuple[int, Mapping[str, Held], float] | None = None  # what could not be held, and when it was tried
    _away_since: float | None = None
    _observed: tuple[bytes, int, float] = (b"", 0, 0.0)  # what was written last, its revision, when

    def __post_init__(self) -> None:
        self.coming = Coming(lambda node: self.table.health(node, current_time()) == "dead")

    @property
    def generation(self) -> int:
        """Of the manifest that it serves."""
        return self._holding[0] if self._holding else 0

    def is_exclusive(self, agent: str) -> bool:
        """Whether one node at most may answer for it, by any manifest that is served now."""
        return any(agent in fleet.agents and fleet.agents[agent].exclusive for fleet in self._fleets.values())

    def may_move(self, agent: str) -> bool:
        """Whether another node takes it over when its own is dead, by any manifest that is served now."""
        fleets = [fleet for fleet in self._fleets.values() if agent in fleet.agents]
        return any(not fleet.stays(fleet.agents[agent]) for fleet in fleets)

    @property
    def exclusive(self) -> list[str]:
        """The agents of the newest manifest of which one node at most may answer."""
        fleet = self._fleets[self.desired.generation] if self.desired is not None else None
        return sorted(name for name, agent in fleet.agents.items() if agent.exclusive) if fleet is not None else []

    async def start(self) -> None:
        """Hold what was good before the node stopped."""
        self._recall()
        await self._hold()

    async def run(self) -> None:
        """Do what is wanted, until cancelled."""
        while True:
            await self._turn()
            await self.bell.wait(LOOK if self._rolls else RESYNC)

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
        known = self.desired.generation if self.desired else 0
        if found is not None and found.generation > known:
            self._adopt(found)
            self.kept.save(MANIFEST, found.written())
            self._taken = entry.value if entry is not None else b""
        elif entry is not None and found is not None and found == self.desired:
            self._taken = entry.value  # it was kept on the disk
        elif self.desired is not None and (found is None or found.generation < known):
            # The store has forgotten it, or was put back to an earlier time.
            await self.board.swap(
                "desired", self.subjects.manifest, self.desired.written(), entry.revision if entry else 0
            )

    def _manifest_in(self, value: bytes) -> Desired | None:
        try:
            found = Desired.read(value)
            for each in (found, found.before):
                if each is None:
                    continue
                if not self.accepts(each):
                    raise NotUnderstood("the manifest on the board is not signed by who may apply one")
                fleet_in(each)
        except NotUnderstood as error:
            self.tell("mesh.refused", {"error": error.message})
            return None
        return found

    def _adopt(self, desired: Desired) -> None:
        self.desired = desired
        known = [each for each in (desired, desired.before, self.served) if each is not None]
        self._fleets = {each.generation: fleet_in(each) for each in known}
        nodes = {name for fleet in self._fleets.values() for name in fleet.nodes}
        self.table.fit(len(nodes))
        self.table.forget(set(self.table.nodes) - nodes - {self.node})

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
            self.coming.given(found.assignment, current_time())
            self.kept.save(ASSIGNMENT, value)

    def _recall(self) -> None:
        """What was good before it stopped."""
        manifest, assignment = self.kept.load(MANIFEST), self.kept.load(ASSIGNMENT)
        found = self._manifest_in(manifest) if manifest else None
        if found is not None:
            self._adopt(found)
            number = int(self.kept.load(SERVED) or b"0")
            self.served = next((each for each in (found, found.before) if each and each.generation == number), None)
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
    def is_cut_off(self) -> bool:
        """Whether the board could not be reached when it was tried last."""
        return self._away_since is not None

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

    @property
    def rollout(self) -> Rollout | None:
        """How far the wanted manifest has come, as far as this node knows."""
        rollout = self.assigned.rollout if self.assigned else None
        return (
            rollout if rollout is not None and self.desired and rollout.generation == self.desired.generation else None
        )

    @property
    def _rolls(self) -> bool:
        return self.rollout is not None and self.rollout.state == "rolling"

    def _to_serve(self, wanted: Desired) -> Desired:
        """The wanted manifest when it is this node's turn, else what it serves, or the last good one."""
        rollout, before = self.rollout, wanted.before
        if before is None or (rollout is not None and rollout.is_for(self.node)):
            return wanted
        failed = rollout is not None and rollout.state == "failed"
        if failed or self.served is None or self.served.generation < before.generation:
            return before
        return self.served

    async def _hold(self) -> None:
        if self.desired is None:
            return
        serve = self._to_serve(self.desired)
        fleet = self._fleets[serve.generation]
        holding = (serve.generation, self._wanted(fleet))
        if holding == self._holding and self._refused is None:
            return
        if not self._was_refused(holding):  # what it holds is held anew where another was tried meanwhile
            await self._take_over(serve, fleet, holding)

    async def _take_over(self, serve: Desired, fleet: Fleet, holding: tuple[int, Mapping[str, Held]]) -> None:
        generation, held = holding
        try:
            await self.worker.hold(held, serve.blueprint, generation)
        except Exception as error:  # noqa: BLE001 - whatever it is: what served before serves on, and the leader is told
            why = error.line if isinstance(error, OrchestratorError) else f"{type(error).__name__}: {error}"
            self._refused = (*holding, current_time())
            if why != self.fault:
                self.tell("mesh.unserved", {"generation": generation, "error": why})
            self.fault = why
            return
        if self.served is None or self.served.generation != generation:
            self.kept.save(SERVED, str(generation).encode())
        self._holding, self.held, self.served = holding, held, serve
        self.fault, self._refused = "", None
        self.table.balanced, self.lease, self.drain = fleet.balanced, fleet.lease, fleet.drain
        self.tell("mesh.holds", {"agents": sorted(held), "generation": generation})
        self.settle(held)

    def _was_refused(self, holding: tuple[int, Mapping[str, Held]]) -> bool:
        """Whether this could not be held a moment ago."""
        refused = self._refused
        return refused is not None and refused[:2] == holding and current_time() - refused[2] < RESYNC

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
        agents, tallies = tuple(sorted(load.agents)), (load.before, load.since)
        refused = self._refused[0] if self._refused else 0
        value = Observed(
            self.node, self.epoch, self.generation, agents, models, self.fault, refused, *tallies, load.lacking
        ).written()
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
