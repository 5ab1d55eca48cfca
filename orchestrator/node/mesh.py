"""One node of a fleet, tied together: it says that it lives, hears the others, takes requests, and gives requests to others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from orchestrator.core.errors import BusDown, NotUnderstood
from orchestrator.core.request import Request
from orchestrator.node.answering import STALL_AFTER, Answering, Tell
from orchestrator.node.asking import Answer, Asking, PassPiece
from orchestrator.node.call import Waits
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Draw, Health, Patience, Table
from orchestrator.node.wire import Heartbeat, Reply, State, heartbeat_letter, read_heartbeat
from orchestrator.node.worker import Kept, Worker
from orchestrator.ports.bus import Board, Bus
from orchestrator.serve.clock import current_time

INCARNATION: Final = "incarnation"
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Site:
    """What a node stands on. ``draw`` is where its chance comes from, ``sleep`` how it waits."""

    deployment: str
    bus: Bus
    board: Board
    worker: Worker
    kept: Kept
    tell: Tell
    draw: Draw
    sleep: Sleep = anyio.sleep
    patience: Patience = field(default_factory=Patience)
    waits: Waits = field(default_factory=Waits)
    stall_after: float = STALL_AFTER


class Mesh:
    """A node among others. ``run`` is its life; ``ask`` has a request answered by whoever holds the agent."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = site.bus.node
        self.epoch = _next_incarnation(site.kept)
        self.state: State = "starting"
        self.table = Table(self.node, site.patience, current_time())
        self._subjects = Subjects(site.deployment)
        self._seq = 0
        self._news = anyio.Event()
        self._health: dict[str, Health] = {}
        self._group: TaskGroup | None = None
        self._answering = Answering(
            site.bus, self._subjects, site.worker, self, self.epoch, site.tell, self._hear_reply, site.stall_after
        )
        self._asking = Asking(
            site.bus,
            self._subjects,
            self.table,
            self._answering,
            self.epoch,
            site.draw,
            site.tell,
            lambda: 0,
            site.waits,
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Live until cancelled. It is started once its requests can be asked."""
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._hear_heartbeats)
            group.start_soon(self._answering.listen, group)
            group.start_soon(self._answering.listen_for_cancels)
            group.start_soon(self._asking.listen)
            self.state = "ready"
            group.start_soon(self._beat)
            task_status.started()

    async def ask(self, request: Request, agent: str, pass_on: PassPiece | None = None, hop: int = 0) -> Answer:
        """Have a request answered by a holder of ``agent``, here first: see ``Asking.ask``."""
        if self._group is None:
            raise BusDown(f"{self.node} has not started")
        return await self._asking.ask(request, agent, self._group, pass_on=pass_on, hop=hop)

    # ---- what the answers depend on ------------------------------------------------------------------------------

    def epoch_of(self, agent: str) -> int | None:
        """The epoch under which this node may answer for an agent now."""
        return 0 if agent in self.site.worker.load().agents else None

    def draining(self) -> bool:
        """Whether it takes nothing new."""
        return self.state == "draining"

    def gone(self, caller: str, epoch: int) -> bool:
        """Whether that incarnation of a node does not live any more."""
        beat = self.table.beat(caller)
        if beat is None or caller == self.node:
            return False
        return beat.epoch > epoch or self.table.health(caller, current_time()) == "dead"

    # ---- heartbeats ----------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Say that it lives, twice a second and when something has changed."""
        while True:
            self._news = anyio.Event()
            beat = self._heartbeat()
            self.table.hear(beat, current_time())
            with suppress(BusDown):  # who hears nothing knows what it means
                await self.site.bus.send(heartbeat_letter(self._subjects.heartbeat(self.node), beat))
            await self._answering.tick()
            self._tell_of_health()
            with anyio.move_on_after(self.site.patience.beat):
                await self._news.wait()

    def _heartbeat(self) -> Heartbeat:
        self._seq += 1
        load = self.site.worker.load()
        return Heartbeat(
            node=self.node,
            epoch=self.epoch,
            seq=self._seq,
            gen=0,
            state=self.state,
            agents=load.agents,
            slots=load.slots,
            inflight=load.inflight,
            queued=load.queued,
            room=load.room,
            service_ms=load.service_ms,
        )

    async def _hear_heartbeats(self) -> None:
        async with self.site.bus.listen(self._subjects.heartbeat("*")) as letters:
            async for letter in letters:
                try:
                    beat = read_heartbeat(letter)
                except NotUnderstood as error:
                    self.site.tell("mesh.refused", {"error": error.message})
                    continue
                if beat.node != self.node:
                    self.table.hear(beat, current_time())

    def _tell_of_health(self) -> None:
        now = current_time()
        for node in self.table.nodes:
            health = self.table.health(node, now)
            if self._health.get(node) != health:
                self._health[node] = health
                self.site.tell("mesh.node", {"node": node, "state": health})

    def _hear_reply(self, subject: str, reply: Reply) -> None:
        self._asking.hear(subject, reply)


def _next_incarnation(kept: Kept) -> int:
    """Counts the starts of a node, also over a lost clock."""
    last = kept.load(INCARNATION)
    epoch = int(last) + 1 if last else 1
    kept.save(INCARNATION, str(epoch).encode())
    return epoch
