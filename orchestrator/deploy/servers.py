"""Servers that we started, as they live: carries out what the supervisor decides, and tells it what happens."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from orchestrator.core.errors import DeployError
from orchestrator.core.event import Event
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.deploy.backoff import Jitter
from orchestrator.deploy.first_token import first_token
from orchestrator.deploy.free_port import port_of
from orchestrator.deploy.server_effects import Answer, Ask, Became, Effect, Gone, Kill, Spawn, Terminate
from orchestrator.deploy.server_logs import ServerLogs
from orchestrator.deploy.server_records import ServerRecord, ServerRecords, ServerWant, known
from orchestrator.deploy.server_start import begin, prepare, why_not
from orchestrator.deploy.supervisor import AT_REST, Supervisor
from orchestrator.deploy.supervisor_rules import END_SECONDS, SupervisorRules
from orchestrator.deploy.turns import Shares
from orchestrator.deploy.ward import seen
from orchestrator.deploy.yard import Yard, end_strays, still_there
from orchestrator.plan.generations import server_of
from orchestrator.plan.observed import StartedServer
from orchestrator.plan.started_words import LISTENS
from orchestrator.ports.host import ProcessIdentity

declare("server.wanted", "server.ready", "server.resting", "server.asked-to-end", "server.gone")

POLL: Final = 0.2
"""Seconds between two looks whether processes still run."""
KILLED: Final = "killed by SIGKILL"
TRIM_EVERY: Final = 30.0
NOT_NEEDED: Final = "nobody needs it now"
_SETTLED: Final = frozenset(("ready", "empty", "failed", "resting"))
RULES: Final = SupervisorRules()


class Servers:
    """The owner of all processes of servers. Methods are called from tasks of the loop; :meth:`run` does the work.

    ``on_change`` hears that a server became ready or was given up; one that is only started again keeps its place. ``works``
    tells whether the server at a root URL works on something.
    """

    works: Callable[[str], bool] = staticmethod(lambda _: False)

    def __init__(
        self,
        yard: Yard | None,
        emit: Callable[[Event], None],
        on_change: Callable[[str], None],
        rules: SupervisorRules = RULES,
        jitter: Jitter = random.random,
    ) -> None:
        self._yard_or_none = yard
        self._records = ServerRecords(yard.records) if yard else None
        self._emit = emit
        self._on_change = on_change
        self.supervisor = Supervisor(rules, jitter)
        self._wants: dict[str, ServerWant] = {}
        self._running: dict[str, ServerRecord] = {}
        self._ports: dict[str, int] = {}
        self._seats: dict[str, ServerRecord] = {}
        """Each as it was last ready."""
        self._logs = ServerLogs(yard.logs if yard else Path())
        self._buried: set[str] = set()
        self._wake = anyio.Event()
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._late: list[Effect] = []
        self._closed = False

    # -- for other tasks --------------------------------------------------------------------------------------------

    def want(self, want: ServerWant) -> None:
        """It shall run like this."""
        failpoint("server.wanted")
        self._see_work()
        self._wants[want.name] = want
        self._do(self.supervisor.on_want(want.name, want.digest, want.start_timeout, anyio.current_time(), want.memory))

    def rest(self, name: str) -> None:
        """Nobody needs it now: end its process where it is ready, until somebody does (``need``)."""
        self._do(self.supervisor.on_rest(name, NOT_NEEDED, anyio.current_time()))

    def need(self, name: str) -> None:
        """Somebody needs it: it is started where it rests, or is about to."""
        self._do(self.supervisor.on_needed(name, anyio.current_time()))

    def wake(self, names: Collection[str]) -> None:
        """These must not rest: those that do are started."""
        for name in names:
            self.need(name)

    def doubt(self, name: str) -> None:
        """Calls to it make no progress: it must prove itself by a token again."""
        self._do(self.supervisor.on_doubt(name, anyio.current_time()))

    def keep(self, names: set[str]) -> None:
        """Only these shall run; the others are ended."""
        self.unwant([name for name, ward in self.supervisor.wards.items() if ward.wanted and name not in names])

    def unwant(self, names: Collection[str]) -> None:
        """These shall not run any more."""
        self._see_work()
        for name in names:
            self._do(self.supervisor.on_unwant(name, anyio.current_time()))

    def crowd(self, names: Collection[str]) -> None:
        """These have no room now: where they were given up, they are not tried once more."""
        self.supervisor.on_room(names)

    def share(self, shares: Shares, turning: Collection[str]) -> None:
        """What all may take together; by the plan servers of these names take turns, and no others."""
        for name, want in self._wants.items():
            self._wants[name] = replace(want, turns=server_of(name) in turning)
        self._do(self.supervisor.on_shares(shares, anyio.current_time()))

    async def settled(self, name: str) -> StartedServer | None:
        """Wait until it is ready, lacks only its model, is given up, or rests; ``None`` where nobody wants it any more."""
        while (ward := self.supervisor.wards.get(name)) is not None and ward.state not in _SETTLED:
            await self.change()
        return self.observed().get(name)

    async def change(self) -> None:
        """Wait until one of them is in another state."""
        await self._changed.wait()

    async def ended(self, names: set[str]) -> None:
        """Wait until nothing is left of these."""
        while any(name in self.supervisor.wards for name in names):
            await self.change()

    def observed(self) -> dict[str, StartedServer]:
        """Every server as the planner sees it, by name."""
        return {name: self._seen(name) for name in self.supervisor.wards}

    def wants(self) -> list[ServerWant]:
        """What each process that is there was wanted as."""
        return list(self._wants.values())

    def addresses(self) -> list[str]:
        """Where those listen that are ready, or have no model yet."""
        wards = self.supervisor.wards
        return [each.url for name, each in self._running.items() if name in wards and wards[name].state in LISTENS]

    def kept_addresses(self) -> list[str]:
        """Where those listened that rest, or come back from it or from an exit: what was seen there holds."""
        return [self._seats[name].url for name, ward in self.supervisor.wards.items() if ward.kept or ward.returns]

    def take_back(self, want: ServerWant) -> None:
        """Where this one only finishes, and runs as it is wanted, it shall go on."""
        ward = self.supervisor.wards.get(want.name)
        if ward is not None and ward.finishes and ward.runs == want.digest:
            self.want(want)

    def loaded(self) -> dict[str, bool]:
        """Which have their model in memory, of those of which that is plain."""
        return {name: there for name, each in self.supervisor.wards.items() if (there := each.loaded) is not None}

    async def restore(self) -> None:
        """Take over what an earlier runtime started and left running; end what is half gone."""
        if self._yard_or_none is None or self._records is None:
            return
        await anyio.to_thread.run_sync(end_strays, self._yard)
        for record in await anyio.to_thread.run_sync(self._records.all):
            process = await anyio.to_thread.run_sync(still_there, self._yard, record)
            if process is None:
                self._records.remove(record.want.name)
                continue
            name = record.want.name
            self._running[name] = known(record, process)
            if record.process is None:
                with suppress(OSError):  # a full disk: the mark finds it once more
                    self._records.write(self._running[name])
            self._wants[name] = record.want
            self._ports[name] = port_of(record.url)
            want, now = record.want, anyio.current_time()
            self._do(self.supervisor.on_adopted(name, want.digest, want.start_timeout, now, want.memory))

    async def close(self) -> None:
        """End all of them, and wait for it."""
        if self._yard_or_none is not None:
            self._yard_or_none.leave()
        self.works = lambda _: False
        self.keep(set())
        with anyio.move_on_after(END_SECONDS):
            await self.ended(set(self.supervisor.wards))
        self._closed = True
        self._wake.set()
        if self._records is not None:
            with suppress(OSError):  # it is not empty, or was never made
                self._records.folder.rmdir()

    async def kill(self) -> None:
        """End at once what :meth:`close` had no time for."""
        for name, record in list(self._running.items()):
            if record.process is not None:
                await self._killed(record)
                ServerRecords(self._yard.records).remove(name)

    # -- the owner --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch over them until :meth:`close`. Where it is cancelled instead, they go on, and a later life takes them over."""
        trimmed = 0.0
        async with anyio.create_task_group() as self._tasks:
            waiting, self._late = self._late, []
            self._do(waiting)
            while not self._closed:
                await self._pause()
                self._look_for_exits()
                if any(ward.finishes for ward in self.supervisor.wards.values()):
                    self._see_work()
                self._carry_out(self.supervisor.on_tick(anyio.current_time()))
                if self._running and anyio.current_time() - trimmed > TRIM_EVERY:
                    trimmed = anyio.current_time()
                    await anyio.to_thread.run_sync(self._logs.cut, list(self._running))
                    for name in list(self._running):
                        await self._count_members(name)
            self._tasks.cancel_scope.cancel()

    async def _pause(self) -> None:
        now = anyio.current_time()
        due = min(self.supervisor.due, now + POLL if self._running else self.supervisor.due)
        with anyio.move_on_after(max(0.0, due - now)):
            await self._wake.wait()
        self._wake = anyio.Event()

    def _look_for_exits(self) -> None:
        for name, record in list(self._running.items()):
            if record.process is None or name in self._buried or self._yard.processes.alive(record.process):
                continue
            self._buried.add(name)
            self.start_soon(self._bury, name, record)

    def _see_work(self) -> None:
        there = [name for name, each in self._running.items() if self.works(each.url)]
        if effects := self.supervisor.on_work(there, anyio.current_time()):  # else nothing that the owner need wake for
            self._do(effects)

    def _do(self, effects: list[Effect]) -> None:
        if self._tasks is None:
            self._late = [*self._late, *effects]
            return
        self._carry_out(effects)
        self._wake.set()  # when something is due may have changed

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            _HANDLERS[type(effect)](self, effect)

    # -- effects ----------------------------------------------------------------------------------------------------

    def _spawn(self, effect: Spawn) -> None:
        self.start_soon(self._start, self._wants[effect.name])

    async def _start(self, want: ServerWant) -> None:
        try:
            record = await anyio.to_thread.run_sync(self._started, want)
        except Exception as error:  # noqa: BLE001 - whatever it is, a full disk too: it is told as the reason, and tried again
            self._do(self.supervisor.on_not_spawned(want.name, why_not(error), anyio.current_time()))
            return
        self._running[want.name] = record
        self._do(self.supervisor.on_spawned(want.name, anyio.current_time()))

    def _started(self, want: ServerWant) -> ServerRecord:
        prepared = prepare(want, self._yard, self._ports.get(want.name, 0), self._running)
        record = begin(prepared, self._yard, self._logs.begin(want.name))
        self._ports[want.name] = port_of(record.url)
        return record

    def _ask(self, effect: Ask) -> None:
        self.start_soon(self._asked, effect, self._running[effect.name])

    async def _asked(self, ask: Ask, record: ServerRecord) -> None:
        try:
            provider = self._yard.provider(record.want.kind)
            wish = self._wants[ask.name].wish if ask.name in self._wants else record.want.wish
            answer = await first_token(provider, record.url, record.serves, record.want.order.kind, wish)
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it is told as the reason
            answer = Answer(False, f"{type(error).__name__}: {error}")
        await self._count_members(ask.name)
        self._do(self.supervisor.on_asked(ask, answer, anyio.current_time()))

    async def _count_members(self, name: str) -> None:
        """Write down what its process has begun: nobody can tell so any more once that is gone."""
        record = self._running.get(name)
        if record is None or record.process is None:
            return
        members = await anyio.to_thread.run_sync(self._yard.processes.members, record.process)
        if members and members != record.members and self._running.get(name) is record:
            self._running[name] = record = replace(record, members=members)
            with suppress(OSError):  # a full disk: this life knows it, and the next look writes it once more
                await anyio.to_thread.run_sync(ServerRecords(self._yard.records).write, record)

    def _terminate(self, effect: Terminate) -> None:
        failpoint("server.asked-to-end")
        process = self._running[effect.name].process
        if process is not None:
            self._yard.processes.terminate(process)

    def _kill(self, effect: Kill) -> None:
        self.start_soon(self._killed, self._running[effect.name])

    async def _killed(self, record: ServerRecord) -> None:
        process = record.process or ProcessIdentity(0, 0.0)
        await anyio.to_thread.run_sync(self._yard.processes.kill, process, record.marker, record.members)

    async def _bury(self, name: str, record: ServerRecord) -> None:
        """Its first process ended: nothing that it began may stay."""
        process = record.process
        if process is None:
            return
        await self._killed(self._running.get(name, record))
        said = await anyio.to_thread.run_sync(self._logs.last_words, name)
        how = self._yard.processes.ended(process) or "it ended"
        self._running.pop(name, None)
        self._buried.discard(name)
        ServerRecords(self._yard.records).remove(name)
        if how == KILLED:  # it had no time for last words
            how, said = f"{KILLED}, by somebody or by the system for want of memory", ""
        self._do(self.supervisor.on_exit(name, f"{how}: {said}" if said else how, anyio.current_time()))

    def _became(self, effect: Became) -> None:
        if effect.state == "ready":
            self._seats[effect.name] = self._running[effect.name]
            failpoint("server.ready")
        elif effect.state == "resting":
            failpoint("server.resting")
        deployment, _, alias = effect.name.partition("/")
        fields = {"server": alias, "state": effect.state, "why": effect.why}
        self._emit(Event("server.state", time.time(), deployment, fields=fields))
        ward = self.supervisor.wards.get(effect.name)
        moved = ward is not None and (ward.crowded or (effect.state == "resting" and effect.why != AT_REST))
        self._tell(effect.name, loudly=moved or effect.state in ("ready", "empty", "failed"))

    def _gone(self, effect: Gone) -> None:
        failpoint("server.gone")
        deployment, _, alias = effect.name.partition("/")
        gone = self._wants.pop(effect.name, None)
        self._seats.pop(effect.name, None)
        ServerRecords(self._yard.records).remove(effect.name)
        self._emit(Event("server.state", time.time(), deployment, fields={"server": alias, "state": "gone", "why": ""}))
        self._tell(effect.name, loudly=False)
        port = gone.order.port if gone else 0
        for want in [each for each in self._wants.values() if port and each.order.port == port]:
            self.want(want)  # it may have been given up for that

    def _tell(self, name: str, *, loudly: bool) -> None:
        self._changed.set()
        self._changed = anyio.Event()
        if loudly:
            self._on_change(name)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _yard(self) -> Yard:
        if self._yard_or_none is None:
            raise DeployError("servers cannot be started here")
        return self._yard_or_none

    def start_soon(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Do something beside, until :meth:`close`."""
        if self._tasks is not None:  # effects wait until the owner runs
            self._tasks.start_soon(work, *arguments)

    def _seen(self, name: str) -> StartedServer:
        ward, record = self.supervisor.wards[name], self._running.get(name)
        log = str(self._logs.path(name)) if name in self._ports or self._logs.has(name) else ""
        return seen(ward, self._wants[name], record, self._seats[name] if ward.kept or ward.returns else record, log)


_HANDLERS: Final[dict[type[Any], Callable[[Servers, Any], None]]] = {
    Spawn: Servers._spawn,
    Ask: Servers._ask,
    Terminate: Servers._terminate,
    Kill: Servers._kill,
    Became: Servers._became,
    Gone: Servers._gone,
}
