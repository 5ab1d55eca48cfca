"""One node of a fleet, tied together: it says that it lives, hears the others, takes requests, and gives requests to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from orchestrator.core.errors import BusDown, NoHolder, NotUnderstood
from orchestrator.core.request import Request
from orchestrator.node.answering import Answering, Tell
from orchestrator.node.asking import FIRST_WAY, Answer, Asking, PassPiece, Way
from orchestrator.node.bell import Bell, Sleep
from orchestrator.node.call import Waits
from orchestrator.node.controller import Controller
from orchestrator.node.desired import Desired
from orchestrator.node.lease import Lease, Terms
from orchestrator.node.leasing import Fences, Leasing, Lives
from orchestrator.node.member import Member
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Draw, Health, Patience, Table
from orchestrator.node.wire import Heartbeat, Reply, State, heartbeat_letter, read_heartbeat
from orchestrator.node.worker import Held, Kept, Work, Worker
from orchestrator.ports.bus import Board, Bus
from orchestrator.serve.clock import current_time

INCARNATION: Final = "incarnation"
SOONER: Final = 0.1
"""Seconds by which a heartbeat may come before its time: turns of the loop are a little late, and a turn later is half a second."""
_STATE_OF: Final[Mapping[Work, State]] = {"shared": "ready", "cordoned": "cordoned", "drained": "draining"}
PAUSED: Final = 1.0
"""Seconds without a turn of its own loop after which a process must have stood still."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a node stands on. ``draw`` is where its chance comes from, ``sleep`` how it waits, ``accepts`` whether a manifest
    is signed by who may apply one. ``leads``: it may place agents, as the hub lets it write who holds what; ``sign`` gives the
    operator's signature to a manifest that takes another one back, or ``None`` where the key is not here. ``life``: see
    ``Lives``."""

    deployment: str
    bus: Bus
    board: Board
    worker: Worker
    kept: Kept
    tell: Tell
    draw: Draw
    sleep: Sleep = anyio.sleep
    accepts: Callable[[Desired], bool] = lambda desired: True
    leads: bool = True
    sign: Callable[[Desired], Desired | None] = lambda desired: desired
    patience: Patience = field(default_factory=Patience)
    waits: Waits = field(default_factory=Waits)
    terms: Terms = field(default_factory=Terms)
    life: str = ""


class Mesh:
    """A node among others. ``run`` is its life; ``ask`` has a request answered by whoever holds the agent."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = site.bus.node
        self.epoch = _next_incarnation(site.kept)
        self.state: State = "starting"
        self.table = Table(self.node, site.patience, since=current_time())
        self.fences, self._lives = Fences(site.kept), Lives(site.kept, site.life)
        self._subjects = subjects = Subjects(site.deployment)
        self._seq, self._told = 0, float("-inf")  # heartbeats, and when it said last how long answers take
        self._beats = Bell(site.sleep)
        self._health: dict[str, Health] = {}
        self._turned = self._stopped_at = current_time()
        self._doubts_until = float("-inf")
        self._group: TaskGroup | None = None
        self._exclusive: dict[str, tuple[Leasing, anyio.CancelScope]] = {}
        self._ending: dict[
            str, tuple[Leasing, anyio.CancelScope]
        ] = {}  # agents that it holds no more, with work that it began
        self._using: Counter[str] = Counter()
        self._terms = site.terms
        self.leading = self._leasing(subjects.leader, self._lead)
        self.controller = Controller(
            site.board, subjects, self.table, self.leading, Bell(site.sleep), site.tell, site.sign,
            lambda: self.member.rollout,
        )  # fmt: skip
        self.member = Member(
            self.node, self.epoch, site.board, subjects, self.table, site.worker, site.kept, self.fences,
            Bell(site.sleep), site.tell, self._settle, site.accepts, site.leads,
        )  # fmt: skip
        self._answering = Answering(site.bus, subjects, site.worker, self, self.epoch, site.tell, self._hear_reply)
        self._asking = Asking(
            site.bus, subjects, self.table, self._answering, self.epoch, site.draw, site.tell,
            lambda: self.member.generation, self._hope, site.waits,
        )  # fmt: skip

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Live until cancelled. It has started once requests can be asked."""
        try:
            await self._run(task_status)
        finally:
            self._group = None

    async def _run(self, task_status: TaskStatus[None]) -> None:
        async with anyio.create_task_group() as group:
            self._group = group
            await self.member.start()
            group.start_soon(self._hear_heartbeats)
            group.start_soon(self._answering.listen, group)
            group.start_soon(self._answering.listen_for_cancels)
            group.start_soon(self._asking.listen)
            self.state = "ready"
            leading = (self.leading.run, self.controller.run) if self.site.leads else ()
            for task in (self._beat, self.member.run, self.member.watch, *leading):
                group.start_soon(task)
            task_status.started()

    @property
    def started(self) -> bool:
        """Whether requests can be asked."""
        return self._group is not None and self.state != "starting"

    def takes(self, work: Work) -> None:
        """What it takes from now on: its share, nothing that it does not hold, or nothing new, so that others take over."""
        wanted: State = _STATE_OF[work]
        if self.state not in ("starting", wanted):
            self.state = wanted
            self._beats.ring()

    async def drain(self, seconds: float) -> None:
        """Take nothing new; return once all work is done, or was ended after so long. What moves to others does so by itself."""
        self.state = "draining"
        self._beats.ring()
        until = current_time() + seconds
        while (self._answering.running or self._using.total()) and current_time() < until:
            await self.site.sleep(self.site.patience.beat / 5)
        await self._answering.stop()
        for leasing in self._leasings():
            await leasing.give_back()

    # ---- leases --------------------------------------------------------------------------------------------------

    def _leasing(self, key: str, changed: Callable[[], None]) -> Leasing:
        site = self.site
        lease = Lease(self.node, self.epoch, self._terms)
        return Leasing(lease, key, site.board, self.fences, site.tell, site.sleep, changed, self._lives)

    def _leasings(self) -> list[Leasing]:
        return [self.leading, *(one for table in (self._exclusive, self._ending) for one, _ in table.values())]

    def _lead(self) -> None:
        self.controller.bell.ring()

    def _settle(self, held: Mapping[str, Held]) -> None:
        """The node holds something else: it needs the leases of its exclusive agents, and no others, in the terms of its
        manifest."""
        group, self._terms = self._group, Terms.of(self.member.lease)
        for leasing in self._leasings():
            leasing.lease.terms = self._terms  # each entry says its own term: one that stands is not cut short
        wanted = {agent for agent, one in held.items() if one.exclusive}
        for agent in sorted(self._exclusive.keys() - wanted):
            self._ending[agent] = self._exclusive.pop(agent)
            if group is not None:
                group.start_soon(self._hand_over, agent, *self._ending[agent])
        for agent in self._ending.keys() & wanted:  # it comes back before its work here has ended
            self._exclusive[agent] = self._ending.pop(agent)
        for agent in sorted(wanted - self._exclusive.keys()):
            leasing, scope = self._leasing(self._subjects.exclusive(agent), self._beats.ring), anyio.CancelScope()
            self._exclusive[agent] = (leasing, scope)
            if group is not None:
                group.start_soon(_within, scope, leasing.run)
        self._beats.ring()

    async def _hand_over(self, agent: str, leasing: Leasing, scope: anyio.CancelScope) -> None:
        """Give a lease to whoever holds the agent now, once what was begun under it has ended; after its time to drain in any
        case."""
        until = current_time() + self.member.drain
        while self._using[agent] and leasing.epoch and current_time() < until and agent in self._ending:
            await self.site.sleep(self.site.patience.beat / 5)
        if self._ending.get(agent, (None, None))[0] is leasing:
            del self._ending[agent]
            scope.cancel()
            await leasing.give_back()

    async def ask(self, request: Request, agent: str, pass_on: PassPiece | None = None, way: Way = FIRST_WAY) -> Answer:
        """Have a request answered by a holder of ``agent``, here first: see ``Asking.ask``."""
        if self._group is None:
            raise NoHolder(
                f"{self.node} does not take part in its fleet now, so that no holder of {agent} can be asked"
            )
        try:
            return await self._asking.ask(request, agent, self._group, pass_on=pass_on, way=way)
        except NoHolder as fault:
            known = self._why_nobody(agent, fault)
            if known is None:
                raise
            raise known from fault

    def _why_nobody(self, agent: str, fault: NoHolder) -> NoHolder | None:
        """The same with the reason that this node knows, and the cure for that."""
        if self.member.is_cut_off and self.member.is_exclusive(agent):
            return NoHolder(
                f"{agent} is exclusive, and answers under a lease alone, which is kept at the hub: {self.node} does not"
                " reach the hub now",
                cure="bring the hub back, or the link to it; without the hub an exclusive agent does not act on any node",
            )
        if self.member.is_cut_off:
            return NoHolder(
                f"{self.node} does not reach its hub now, and with it no other node that may hold {agent}",
                cure=f"bring back the link of {self.node} to its hub, or the hub: orchestrator node status",
            )
        drained = self.table.drained(agent, current_time())
        if not drained:
            return None
        names = ", ".join(drained)
        others = "" if self.table.told_to_hold(agent) <= {*drained} else f"; of the others: {fault.message}"
        return NoHolder(
            f"no node takes requests for {agent} now: {names}, which {'holds' if len(drained) == 1 else 'hold'} it,"
            f" {'is' if len(drained) == 1 else 'are'} drained{others}",
            cure=f"orchestrator node uncordon, on {names}",
        )

    def _hope(self, agent: str, until: float, kept: bool) -> float:
        """Until when a request waits for a holder: ``until``, and longer where others stand in once its node counts as dead, or
        where an exclusive agent's lease has to be waited for; not at all where nobody will come."""
        patience, member, now = self.site.waits.patience, self.member, current_time()
        nobody = member.coming.is_hopeless(agent, now, patience)
        may_move = member.may_move(agent)
        if (kept and nobody) or (not may_move and member.coming.is_alone(agent, now)):
            return float("-inf")
        if may_move and not nobody:
            until += self.table.patience.dead
        if not member.is_exclusive(agent):  # the next holder of another one does not wait for the former one
            return until
        return max(until + member.lease, member.coming.until(agent, member.drain) + patience)

    def sooner(self, agent: str) -> bool:
        """Whether another node would answer for an agent clearly sooner than this one, or this one is full."""
        chosen = self.table.choose(agent, current_time(), self.site.draw, gen=self.member.generation)
        return chosen is not None and chosen != self.node

    # ---- what the answers depend on ------------------------------------------------------------------------------

    def epoch_of(self, agent: str) -> int | None:
        """The epoch under which this node may answer for an agent now."""
        if agent not in self.site.worker.load().agents or self.state == "starting":
            return None
        if agent in self._exclusive:
            return self._exclusive[agent][0].epoch
        held = self.member.held.get(agent)
        needs_lease = held.exclusive if held is not None else self.member.is_exclusive(agent)
        return None if needs_lease else 0  # what takes it over now may serve it before its lease is asked for

    def begin(self, agent: str) -> int | None:
        """As :meth:`epoch_of`; its lease is kept for what begins now until it has ended."""
        epoch = self.epoch_of(agent)
        if epoch:
            self._using[agent] += 1
        return epoch

    def end(self, agent: str, epoch: int) -> None:
        """What began under that epoch has ended."""
        if epoch:
            self._using[agent] -= 1

    def holds(self, agent: str, epoch: int) -> bool:
        """Whether what began under that epoch may go on: the lease is this node's still, though it may be on its way to another."""
        if not epoch:
            return self.epoch_of(agent) == 0
        found = self._exclusive.get(agent) or self._ending.get(agent)
        return found is not None and found[0].epoch == epoch

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
        """Say that it lives, twice a second (less often in a very large fleet) and when something has changed."""
        due = float("-inf")
        while True:
            now = current_time()
            self._heard_at(now)
            self._turned = now
            if now >= due:
                due = now + self.table.patience.beat - SOONER
                await self._say_that_it_lives(now)
            await self._answering.tick()
            self._tell_of_health()
            self.member.coming.look(now)
            if await self._beats.wait(self.site.patience.beat):
                due = float("-inf")

    async def _say_that_it_lives(self, now: float) -> None:
        beat = self._heartbeat()
        self.table.hear(beat, now)
        try:
            await self.site.bus.send(heartbeat_letter(self._subjects.heartbeat(self.node), beat))
        except BusDown as error:  # who hears nothing knows what it means
            self.site.tell("mesh.unsent", {"error": error.message})

    def _heartbeat(self) -> Heartbeat:
        self._seq += 1
        load = self.site.worker.load()
        told, self._told = self._told, current_time()
        return Heartbeat(
            node=self.node,
            epoch=self.epoch,
            seq=self._seq,
            gen=self.member.generation,
            state=self.state,
            agents={agent: warm for agent, warm in load.agents.items() if self.epoch_of(agent) is not None},
            slots=load.slots,
            inflight=load.inflight,
            queued=load.queued,
            room=load.room,
            service_ms=load.service_ms,
            fence=self.fences.highest,
            took={agent: round(took.ms, 3) for agent, took in load.took.items() if took.at >= told},
        )

    async def _hear_heartbeats(self) -> None:
        async with self.site.bus.listen(self._subjects.heartbeat("*")) as letters:
            async for letter in letters:
                try:
                    beat = read_heartbeat(letter)
                except NotUnderstood as error:
                    self.site.tell("mesh.refused", {"error": error.message})
                    continue
                if beat.node != self.node and self.table.hear(beat, self._heard_at(current_time())):
                    self.fences.note(beat.fence)
                    for leasing in self._leasings():
                        if leasing.overtaken:
                            leasing.bell.ring()

    def _heard_at(self, now: float) -> float:
        """When a heartbeat that is read now was heard. A process that stood still finds old ones in its buffers: for as long as one
        beat they say no more than that their nodes lived when it stopped."""
        if now - self._turned > PAUSED:
            self._stopped_at, self._turned = self._turned, now
            self._doubts_until = now + self.site.patience.beat
        return self._stopped_at if now < self._doubts_until else now

    def _tell_of_health(self) -> None:
        now = current_time()
        for node in self.table.nodes:
            health = self.table.health(node, now)
            if self._health.get(node) != health:
                self._health[node] = health
                self.site.tell("mesh.node", {"node": node, "state": health})
                self.controller.bell.ring()

    def _hear_reply(self, subject: str, reply: Reply) -> None:
        self._asking.hear(subject, reply)


async def _within(scope: anyio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await work()


def _next_incarnation(kept: Kept) -> int:
    """Counts the starts of a node, also over a lost clock."""
    last = kept.load(INCARNATION)
    epoch = int(last) + 1 if last else 1
    kept.save(INCARNATION, str(epoch).encode())
    return epoch
