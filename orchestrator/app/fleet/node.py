"""This runtime as a node of its fleet: the servers, the bus, and one mesh for each deployment that the fleet has."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from orchestrator.app.fleet.elsewhere import FleetElsewhere
from orchestrator.app.fleet.endings import Endings
from orchestrator.app.fleet.identity import FleetFolder, Membership
from orchestrator.app.fleet.joining import PUT_OUT, PUT_OUT_CURE, is_put_out
from orchestrator.app.fleet.keeping import FilesKept, sole_life
from orchestrator.app.fleet.keys import OperatorKey, check_signature
from orchestrator.app.fleet.leases import Leases
from orchestrator.app.fleet.ledger import Member
from orchestrator.app.fleet.mesh import joined
from orchestrator.app.fleet.posting import Post, PostedBoard
from orchestrator.app.fleet.receipts import Receipts
from orchestrator.app.fleet.seen import load_told, named
from orchestrator.app.fleet.wanting import Wanting
from orchestrator.app.fleet.worker import EngineWorker, lacking
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import BusDown, DeployError, OrchestratorError, UsageError
from orchestrator.core.event import Event
from orchestrator.core.fleet_errors import FleetError
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.node.desired import Desired, Observed
from orchestrator.node.logbook import Lines, Logbook
from orchestrator.node.mesh import Mesh, Site
from orchestrator.node.subjects import Subjects, name_of
from orchestrator.plan.placement import why_of
from orchestrator.plugins.buses.nats import NatsBus
from orchestrator.ports.bus import Board
from orchestrator.ports.effects import EffectStore
from orchestrator.ports.elsewhere import Elsewhere
from orchestrator.ports.host import Processes
from orchestrator.ports.store import RunStore
from orchestrator.serve.engine import EngineTable

LOOK_SECONDS: Final = 1.0
"""How often new deployments are looked for on the board."""
AGAIN_SECONDS: Final = 5.0
"""Until the servers are tried again, where they could not be started; and until a hub that is not linked is asked again why."""
_MANIFEST: Final = ".manifest"


class Log(Protocol):
    """Where a runtime writes what happens."""

    def info(self, event: str, **fields: Any) -> object:
        """What went as it should."""

    def warning(self, event: str, **fields: Any) -> object:
        """What did not."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What the node serves with. ``wake``: a node has come back, for which something may wait. ``ended``: a run has ended on
    another node, for which one of this node may wait."""

    reconciler: Reconciler
    engines: EngineTable
    events: Lines
    wake: Callable[[], None] = lambda: None
    ended: Callable[[str], None] = lambda run: None


@dataclass(slots=True)
class FleetNode:
    """A node. ``run`` is its life; ``want`` and ``unwant`` change what the whole fleet serves."""

    folder: FleetFolder
    processes: Processes
    log: Log
    effects: EffectStore
    runs: RunStore
    membership: Membership = field(init=False)
    _meshes: dict[str, Mesh] = field(default_factory=dict, init=False)
    _books: dict[str, Logbook] = field(default_factory=dict, init=False)
    _leases: dict[str, Leases] = field(default_factory=dict, init=False)
    _workers: dict[str, EngineWorker] = field(default_factory=dict, init=False)
    _line: NatsBus | None = field(default=None, init=False)
    _life: str = field(default="", init=False)
    _stopping: bool = field(default=False, init=False)
    _put_out: bool = field(default=False, init=False)
    _why: str = field(default="its servers have not started yet", init=False)

    def __post_init__(self) -> None:
        self.membership = self.folder.member()

    @property
    def node(self) -> str:
        """Its id."""
        return self.membership.node

    def elsewhere(self, name: str) -> Elsewhere:
        """The other nodes, for the runs of a deployment."""
        return FleetElsewhere(self.node, lambda: self._meshes.get(name), self.effects)

    def hear(self, event: Event) -> None:
        """Of a run of this runtime that has ended: a manifest that does worse than the one before is taken back."""
        worker = self._workers.get(event.deployment)
        if worker is not None and event.kind == "run.finished":
            worker.note(event.fields["result"])

    async def run(self, serving: Serving) -> None:
        """Be a node until cancelled. Where its servers cannot run it is told and tried again; what it holds is served meanwhile."""
        await serving.reconciler.restored.wait()
        with sole_life(self.folder.path) as self._life:
            await self._take_part(serving)

    async def _take_part(self, serving: Serving) -> None:
        while True:
            try:
                async with joined(self.folder, self.processes) as link:
                    self._line, self._why = link.bus, ""
                    await self._live(serving, link.bus)
            except OrchestratorError as error:
                self.log.warning("fleet", error=error.line)
                self._why = error.line
            finally:
                self._line = None
                self._meshes.clear()
                self._books.clear()
            await anyio.sleep(AGAIN_SECONDS)

    async def _live(self, serving: Serving, bus: NatsBus) -> None:
        async with anyio.create_task_group() as group:
            if self.membership.hub:
                group.start_soon(Post(bus, bus, self._accepts).run)
            else:
                group.start_soon(self._mind_place, bus)
            for name in self._known():
                await self._start(name, serving, bus, group)
            while True:
                for name in await self._on_board(bus):
                    await self._start(name, serving, bus, group)
                self._mind_work()
                await anyio.sleep(LOOK_SECONDS)

    async def _start(self, name: str, serving: Serving, bus: NatsBus, group: TaskGroup) -> None:
        if name in self._meshes:
            return
        worker = EngineWorker(name, self.node, serving.reconciler, serving.engines)
        worker.receipts = Receipts(self.effects, self.runs)
        worker.lacking = lambda: lacking(serving.reconciler.table.get(name))
        endings = Endings(bus, Subjects(name), serving.ended)
        worker.ended = endings.note
        self._workers[name] = worker
        site = Site(
            deployment=name,
            bus=bus,
            board=bus,
            worker=worker,
            kept=FilesKept(self._kept / name),
            tell=partial(self._tell, name, serving.wake),
            draw=random.randrange,
            accepts=self._accepts,
            leads=self.membership.hub,
            sign=self._taking_back,
            life=self._life,
        )
        self._meshes[name] = mesh = Mesh(site)
        self._books[name] = book = Logbook(bus, name, serving.events)
        leases = self._leases.setdefault(name, Leases(Subjects(name)))
        await group.start(self._run_one, name, mesh, (book.serve, endings.run, partial(leases.watch, bus)))

    async def _mind_place(self, bus: NatsBus) -> None:
        """One that was put out finds its link refused, as if the hub were away: it asks."""
        while True:
            before = self._put_out
            self._put_out = not await bus.linked() and await anyio.to_thread.run_sync(is_put_out, self.folder)
            if self._put_out and not before:
                self.log.warning("fleet", error=f"{PUT_OUT}: {PUT_OUT_CURE}")
            await anyio.sleep(AGAIN_SECONDS)

    def _mind_work(self) -> None:
        """``orchestrator node drain`` and ``cordon`` write it into the membership."""
        if self._stopping:
            return
        found = self.folder.read()
        for mesh in self._meshes.values():
            mesh.takes(found.work if found is not None else "shared")

    def _tell(self, name: str, wake: Callable[[], None], kind: str, fields: Mapping[str, Any]) -> None:
        self.log.info(kind, deployment=name, **fields)
        if kind == "mesh.node" and fields["state"] == "alive":
            wake()

    async def _run_one(
        self,
        name: str,
        mesh: Mesh,
        beside: Iterable[Callable[[], Coroutine[Any, Any, None]]],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """A mesh that fails takes no other with it, and is started anew."""
        begun = False
        try:
            async with anyio.create_task_group() as group:
                await group.start(mesh.run)
                for task in beside:
                    group.start_soon(task)
                begun = True
                task_status.started()
        except Exception as error:  # noqa: BLE001 - of any part of it: told, and begun anew by the next look
            self.log.warning("fleet", deployment=name, error=f"{type(error).__name__}: {error}")
            if not begun:
                task_status.started()
        finally:
            self._meshes.pop(name, None)
            self._books.pop(name, None)

    @property
    def _kept(self) -> Path:
        return self.folder.path / "deployments"

    def _known(self) -> list[str]:
        """The deployments that it was part of before it stopped."""
        return sorted(found.name for found in self._kept.glob("*") if (found / "manifest").is_file())

    async def _on_board(self, board: Board) -> list[str]:
        try:
            entries = await board.entries("desired")
        except BusDown:
            return []
        return [name_of(each.key.removesuffix(_MANIFEST)) for each in entries if each.key.endswith(_MANIFEST)]

    def _accepts(self, desired: Desired) -> bool:
        try:
            check_signature(self.membership.operator, desired.signed, desired.signature)
        except OrchestratorError as error:
            self.log.warning("fleet", error=error.line)
            return False
        return True

    # ---- what the whole fleet is to serve --------------------------------------------------------------------------

    async def want(self, blueprint: Blueprint, tell: Callable[[Event], None]) -> dict[str, Any]:
        """Make it what the fleet serves, and wait until it does; ``tell`` hears how it goes over the nodes. Gives its generation,
        whether it is a new one, and who holds what. Raises ``DeployError``, and ``TakenBack`` where it did not do well."""
        wanting = self._wanting(blueprint.name)
        wanted, new = await wanting.write(blueprint.as_json())
        seen = await wanting.settled(wanted, tell)
        mesh = self._meshes[blueprint.name]
        return {"name": blueprint.name, "generation": wanted.generation, "new": new, **self._view(mesh, seen)}

    async def unwant(self, name: str) -> None:
        """Have the fleet serve it no more: what is wanted then has no part. Raises ``DeployError``."""
        wanting, mesh = self._wanting(name), self._meshes.get(name)
        before = mesh.member.desired if mesh is not None else None
        if before is None:
            raise DeployError(f"{name} is not of this fleet", cure="orchestrator status")
        await wanting.write({**before.blueprint, "elements": [], "nodes": []})

    def _wanting(self, name: str) -> Wanting:
        if self._put_out:
            raise FleetError(PUT_OUT, cure=PUT_OUT_CURE)
        if self._line is None:
            raise DeployError(f"{self.node} is not linked to its fleet: {self._why}", cure="orchestrator node status")
        line: Board = self._line if self.membership.hub else PostedBoard(self._line, self._line, name)
        return Wanting(name, line, lambda: self._meshes.get(name), self._signed)

    def _signed(self, desired: Desired) -> Desired:
        if not self.folder.operator_key.is_file():
            raise DeployError(
                f"{self.node} may not change what the fleet serves: the operator's key is not here",
                cure="apply it where the key is, on the first node; or bring it here: orchestrator node operator, there, says how",
            )
        return replace(desired, signature=OperatorKey.read(self.folder.operator_key).sign(desired.signed))

    def _taking_back(self, desired: Desired) -> Desired | None:
        """Signed, where this node can: it is what the operator has applied before."""
        return self._signed(desired) if self.folder.operator_key.is_file() else None

    async def _seen(self, board: Board, name: str) -> list[Observed]:
        try:
            return [Observed.read(each.value) for each in await board.entries("observed", Subjects(name).prefix)]
        except (BusDown, OrchestratorError):
            return []

    # ---- looking ---------------------------------------------------------------------------------------------------

    async def view(self) -> dict[str, Any]:
        """The fleet as this node sees it."""
        found: list[dict[str, Any]] = []
        for name, mesh in sorted(self._meshes.items()):
            if not mesh.member.desired or not mesh.member.desired.blueprint.get("elements"):
                continue
            seen = await self._seen(self._line, name) if self._line else []
            view = self._view(mesh, {each.node: each for each in seen})
            leases = await self._leases_of(name, mesh)
            found.append({"name": name, "generation": mesh.member.desired.generation, **view, "leases": leases})
        linked = self._line is not None and await self._line.linked()
        own = {"node": self.node, "fleet": self.membership.fleet, "linked": linked, "put_out": self._put_out}
        return {**own, "deployments": found}

    async def _leases_of(self, name: str, mesh: Mesh) -> list[dict[str, Any]]:
        leases = self._leases[name]
        fresh = self._line is not None and await leases.look(self._line)
        return leases.told(mesh.member.exclusive, None if fresh else mesh)

    def logs(
        self, name: str, count: int, *, follows: bool, node: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, Any]]] | None:
        """The events of a deployment on all of its nodes, or on one; ``None`` where it is not of this fleet. Raises ``UsageError``
        for a ``node`` that is not there."""
        mesh, book = self._meshes.get(name), self._books.get(name)
        if mesh is None or book is None:
            return None
        known = {*mesh.table.nodes, *named(mesh), self.node}
        if node and node not in known:
            raise UsageError(f'{name} has no node "{node}"', cure=f"its nodes are {', '.join(sorted(known))}")
        return book.read(count, follows=follows, nodes=partial(self._others, mesh), only=node)

    def _others(self, mesh: Mesh) -> dict[str, bool]:
        """The other nodes, and whether each lives."""
        now = anyio.current_time()
        found = {*mesh.table.nodes, *named(mesh)} - {self.node}
        return {node: mesh.table.health(node, now) == "alive" for node in found}

    def _view(self, mesh: Mesh, seen: Mapping[str, Observed]) -> dict[str, Any]:
        now, seen = anyio.current_time(), {**self._heard(mesh), **seen}
        assigned = mesh.member.assigned.assignment if mesh.member.assigned else None
        nodes = {node: mesh.table.health(node, now) for node in sorted({*mesh.table.nodes, *named(mesh)})}
        agents = {
            agent: {
                "nodes": [place.node for place in places],
                "why": why_of(places),
            }
            for agent, places in (assigned.places.items() if assigned is not None else ())
        }
        agents |= {agent: {"nodes": [], "why": why} for agent, why in (assigned.nowhere.items() if assigned else ())}
        desired, rollout = mesh.member.desired, mesh.member.rollout
        members = self.folder.ledger.members() if self.membership.hub else None
        return {
            "leads": mesh.leading.epoch is not None,
            "rollout": rollout.as_json() if rollout is not None and rollout.state != "done" else None,
            "taken_back": {"generation": desired.undone, "why": desired.why} if desired and desired.undone else None,
            "nodes": {
                node: {
                    "health": health,
                    "generation": seen[node].generation if node in seen else None,
                    "agents": list(seen[node].agents) if node in seen else [],
                    "fault": seen[node].fault if node in seen else "",
                    "lacking": [each.as_json() for each in seen[node].lacking] if node in seen else [],
                    "absent": self._absent(mesh, node, members),
                    "work": beat.state if health == "alive" and (beat := mesh.table.beat(node)) else "",
                    "load": load_told(mesh.table.beat(node)) if health == "alive" else None,
                }
                for node, health in nodes.items()
            },
            "agents": agents,
        }

    def _heard(self, mesh: Mesh) -> dict[str, Observed]:
        """What nodes said in their heartbeats, and this one knows of itself, for where the board cannot be read."""
        beats = [beat for node in mesh.table.nodes if (beat := mesh.table.beat(node)) is not None]
        heard = {each.node: Observed(each.node, each.epoch, each.gen, tuple(sorted(each.agents))) for each in beats}
        if own := heard.get(self.node):
            lacking = mesh.site.worker.load().lacking
            heard[self.node] = replace(own, fault=mesh.member.fault, lacking=lacking)
        return heard

    def _absent(self, mesh: Mesh, node: str, members: Mapping[str, Member] | None) -> str:
        """Why a node that the manifest names cannot be there, as far as the ``members`` of a hub's ledger and its silence tell, and
        what brings it; empty where nothing speaks for that."""
        member = members.get(node) if members is not None else None
        if members is not None and (member is None or member.left):
            why = "it has left the fleet" if member is not None else "no machine has joined the fleet by that name"
            return f"{why}: orchestrator node invite, here, then there orchestrator node join TOKEN --name {node}"
        if mesh.table.beat(node) is not None or node == self.node:
            return ""
        return f"{self.node} has not heard it since it started: orchestrator node status, there"

    async def drain(self, seconds: float) -> None:
        """Take nothing new from others; what is in work ends."""
        self._stopping = True
        async with anyio.create_task_group() as group:
            for mesh in list(self._meshes.values()):
                group.start_soon(mesh.drain, seconds)
