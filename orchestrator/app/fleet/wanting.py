"""Changing what a fleet serves: the manifest is signed and put on the board, and who applies hears how it goes over the nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import BusDown, Conflict, DeployError, NotUnderstood, TakenBack
from orchestrator.core.event import Event
from orchestrator.node.controller import fleet_in
from orchestrator.node.desired import Assigned, Desired, Observed
from orchestrator.node.mesh import Mesh
from orchestrator.node.subjects import Subjects
from orchestrator.plan.fleet import HEALTH_GATE
from orchestrator.plan.rolling import TAKING, Rollout
from orchestrator.ports.bus import Board

READY_SECONDS: Final = 60.0
"""How long an apply waits for the nodes that are there, beside the time that each is watched."""
GLANCE: Final = 0.2
Sign = Callable[[Desired], Desired]


@dataclass(frozen=True, slots=True)
class Look:
    """The board as it is now: the newest manifest, how far it has come, and what nodes said of themselves."""

    desired: Desired
    assigned: Assigned | None
    seen: Mapping[str, Observed]

    @property
    def rollout(self) -> Rollout | None:
        """That of the newest manifest."""
        known = self.assigned.rollout if self.assigned else None
        return known if known is not None and known.generation == self.desired.generation else None


@dataclass(slots=True)
class Wanting:
    """For one deployment. ``mesh`` gives this node's part in it, once there is one; ``sign`` signs for the operator and raises
    ``DeployError`` where the key is elsewhere."""

    name: str
    board: Board
    mesh: Callable[[], Mesh | None]
    sign: Sign

    # ---- writing -------------------------------------------------------------------------------------------------

    async def write(self, blueprint: Mapping[str, Any]) -> tuple[Desired, bool]:
        """Put it on the board as the next generation; gives what stands there, and whether that is new: the same again is not.
        Raises ``DeployError``."""
        key = Subjects(self.name).manifest
        try:
            entry = await self.board.read("desired", key)
            newest = self._newest(Desired.read(entry.value) if entry is not None and entry.value else None)
            if newest is not None and _same(newest.blueprint, blueprint):
                return newest, False
            assigned = await self._assigned()
            before = newest.last_good(assigned.rollout if assigned else None) if newest is not None else None
            generation = newest.generation + 1 if newest is not None else 1
            before = before if blueprint["elements"] else None  # what takes all away has nothing to be watched for
            after = before.generation if before is not None else 0
            wanted = self.sign(Desired(generation, blueprint, before=before, after=after))
            await self.board.swap("desired", key, wanted.written(), entry.revision if entry is not None else 0)
        except Conflict as error:
            raise DeployError(f"somebody else applied {self.name} at the same time", cure="apply again") from error
        except BusDown as error:
            raise DeployError(f"the fleet's board cannot be written: {error.message}", cure=error.cure) from error
        return wanted, True

    def _newest(self, found: Desired | None) -> Desired | None:
        """Of the board and of this node: the board may have forgotten it."""
        mesh = self.mesh()
        known = [each for each in (found, mesh.member.desired if mesh is not None else None) if each is not None]
        return max(known, key=lambda one: one.generation, default=None)

    async def _assigned(self) -> Assigned | None:
        entry = await self.board.read("desired", Subjects(self.name).assignment)
        return Assigned.read(entry.value) if entry is not None and entry.value else None

    # ---- waiting for it ------------------------------------------------------------------------------------------

    async def settled(self, wanted: Desired, tell: Callable[[Event], None]) -> Mapping[str, Observed]:
        """Wait until every node that lives serves it and every agent that is placed is held, exclusive ones under their leases;
        ``tell`` hears of each node. Gives
        what nodes said. Raises ``TakenBack``, and ``DeployError`` where a node cannot serve it, somebody else applied, or nobody
        leads."""
        gate = (wanted.blueprint.get("coordination") or {}).get("health_gate", HEALTH_GATE)
        told: Rollout | None = None
        until = anyio.current_time() + READY_SECONDS
        look: Look | None = None
        over = False
        while not over and anyio.current_time() < until:
            look = await self._look() or look
            if look is not None and look.desired.generation >= wanted.generation:
                _refuse_other(look, wanted)
                if look.rollout is not None and look.rollout != told:
                    told = look.rollout
                    until = anyio.current_time() + READY_SECONDS + (TAKING * gate if told.state == "rolling" else 0.0)
                    if told.generation == wanted.generation:
                        tell(_event(self.name, told))
                over = self._is_over(look, wanted)
            await anyio.sleep(0.0 if over else GLANCE)
        mesh = self.mesh()
        if look is None or mesh is None or mesh.member.assigned is None:
            raise DeployError(
                f"no node leads {self.name} yet: generation {wanted.generation} is on the board, and nobody has placed it",
                cure="orchestrator node status",
            )
        if look.rollout is not None and look.rollout.state == "failed":
            raise _taken_back(wanted.generation, look.rollout.why, "nodes go on with what they served")
        self._refuse_faults(look, wanted)
        if not over:
            raise DeployError(
                f"generation {wanted.generation} of {self.name} is on the board, and has not come to all nodes in time",
                cure="orchestrator status shows how far it is; it goes on by itself",
            )
        await self._leased(look)
        return look.seen

    async def _leased(self, look: Look) -> None:
        """Wait until the exclusive agents answer where they are placed: their former holders may end first what they have begun.
        Not for longer than leases and drains take: a board that is away now does not undo what all nodes serve."""
        fleet = fleet_in(look.desired)
        places = look.assigned.assignment.places if look.assigned is not None else {}
        with anyio.move_on_after(fleet.drain + 2 * fleet.lease):
            for agent in sorted(name for name, one in fleet.agents.items() if one.exclusive):
                there = {place.node for place in places.get(agent, ())}
                while there & set(self._alive()) and not self._answers(agent, there):  # noqa: ASYNC110 - heartbeats ring no bell
                    await anyio.sleep(GLANCE)

    def _answers(self, agent: str, nodes: set[str]) -> bool:
        mesh = self.mesh()
        return mesh is not None and not nodes.isdisjoint(mesh.table.holders(agent, anyio.current_time()))

    async def _look(self) -> Look | None:
        """``None`` while the board cannot be read."""
        try:
            entry = await self.board.read("desired", Subjects(self.name).manifest)
            if entry is None or not entry.value:
                return None
            seen = [
                Observed.read(each.value) for each in await self.board.entries("observed", Subjects(self.name).prefix)
            ]
            return Look(Desired.read(entry.value), await self._assigned(), {each.node: each for each in seen})
        except (BusDown, NotUnderstood):
            return None

    def _alive(self) -> list[str]:
        mesh = self.mesh()
        if mesh is None:
            return []
        now = anyio.current_time()
        return [node for node in mesh.table.nodes if mesh.table.health(node, now) == "alive"]

    def _is_over(self, look: Look, wanted: Desired) -> bool:
        """Whether there is nothing more to wait for: all that live serve it, or it was taken back and they serve what they did."""
        alive, assigned, generation = self._alive(), look.assigned, look.desired.generation
        if not alive or assigned is None or assigned.generation != generation:
            return False
        if assigned.rollout.state != "done" or not all(node in look.seen for node in alive):
            return False
        for node in alive:
            seen = look.seen[node]
            if seen.fault:
                continue
            held = all(agent in seen.agents for agent in assigned.assignment.on(node))
            if seen.generation != generation or not held:
                return False
        if look.desired.undone == wanted.generation:
            raise _taken_back(
                look.desired.undone, look.desired.why, f"generation {generation} is what all nodes served"
            )
        return True

    def _refuse_faults(self, look: Look, wanted: Desired) -> None:
        ill = [look.seen[node] for node in self._alive() if node in look.seen and look.seen[node].fault]
        if ill:
            why = "; ".join(f"node.{each.node}: {each.fault}" for each in ill)
            raise DeployError(
                f"generation {wanted.generation} of {self.name} is not served everywhere: {why}",
                cure="mend it and apply again; each node tries it again by itself",
            )


def _refuse_other(look: Look, wanted: Desired) -> None:
    """Raises where it is not this manifest any more that the fleet goes by."""
    newest = look.desired
    if newest.generation > wanted.generation and newest.undone != wanted.generation:
        raise DeployError(
            f"generation {wanted.generation} was overtaken by generation {newest.generation}: somebody else applied",
            cure="orchestrator status",
        )


def _taken_back(generation: int, why: str, now: str) -> TakenBack:
    return TakenBack(
        f"generation {generation} was taken back, and {now}: {why}", cure="mend what the message names, and apply again"
    )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    try:
        return Blueprint.from_json(one).digest == Blueprint.from_json(other).digest
    except (ValueError, KeyError, TypeError):  # of another version: it is written anew
        return False


def _event(name: str, rollout: Rollout) -> Event:
    return Event("mesh.rollout", time.time(), name, fields=rollout.as_json())
