"""The desk: the one owner of what waits for people. It keeps what runs ask, takes verdicts, lets runs go on, and tells people.

Everything is in the store before it is acted on, so that a desk which opens after a power cut finds what the last one left:
verdicts whose runs do not know them, calls that had begun, notices that never arrived.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import random
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from orchestrator.core.approval import SENDING, Approval, Verdict
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.event import Event, EventKind
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.deploy.backoff import Backoff
from orchestrator.ports.people import Asking, Notice, PeopleStore
from orchestrator.serve.clock import current_time
from orchestrator.serve.disk import Disk
from orchestrator.serve.ends import Ends
from orchestrator.serve.engine import EngineTable
from orchestrator.serve.held import going_on
from orchestrator.serve.later import DECIDED as LATER
from orchestrator.serve.verdict import end_of, lost, never_served

PATIENCE: Final = 600.0
"""Seconds in which a run waits for a model or its deployment to be there, before it fails; from the verdict, or from the start."""
AGAIN: Final = 5.0
"""Seconds before what failed for the moment is tried again."""
LONGEST_REST: Final = 60.0
"""The longest time without a look: the device may have slept, and its clock may have been set."""
_DELIVERY: Final = Backoff(AGAIN, LONGEST_REST)
_NOTICE: Final = Backoff(10.0, 3_600.0)
Emit = Callable[[Event], None]
Report = Callable[[str], None]
Tell = Callable[[Notice], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DeskWays:
    """How the desk reaches others: ``emit`` hears events, ``report`` hears of trouble, ``tell`` tells people, ``applied`` says
    whether a deployment is or may be wanted, ``restored`` whether all that was applied before the start was looked after once,
    ``now`` is the wall clock in seconds since 1970."""

    emit: Emit
    report: Report
    tell: Tell
    applied: Callable[[str], bool]
    restored: Callable[[], bool]
    now: Callable[[], float] = time.time


class PeopleDesk:
    """Fits the port ``Desk`` for runs; :meth:`decide` and the looks are for people; :meth:`run` is its life."""

    def __init__(self, store: PeopleStore, ends: Ends, engines: EngineTable, ways: DeskWays) -> None:
        self._store = store
        self.ends = ends
        self._engines = engines
        self._ways = ways
        self._on_disk = Disk().do
        self._woken = anyio.Event()
        self._news = anyio.Event()
        self._in_work: set[str] = set()
        self._tries: dict[str, int] = {}
        self._tried_since: dict[str, float] = {}  # of the loop's clock, which no clock that is set and no sleep moves
        self._sent: set[tuple[str, str]] = set()  # notices that arrived, which the store could not note yet
        self._sends: set[str] = set()  # approvals under which this life sends to the cloud: another one may not
        self._rest: dict[str, float] = {}  # of the loop's clock: not before then

    # -- for runs ---------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The wall clock."""
        return self._ways.now()

    async def check_room(self, deployment: str, most: int) -> None:
        """Raise ``DeskFull`` where ``most`` wait already."""
        await self._on_disk(self._store.check_room, deployment, most)

    async def ask(self, asking: Asking) -> None:
        """Keep it; what was said in the session is with it. Call it while holding the session's turn."""
        approval = asking.approval

        async def store(said: tuple[Message, ...], restricted: bool) -> None:
            await self._on_disk(self._store.ask, replace(asking, said=said, restricted=restricted))

        await self.ends.keep_start(approval, asking.said, store)
        if approval.settles:
            self.ends.tell_change()
        self.wake()

    async def begin(self, approval: str) -> None:
        """Its call is made now, or ``ApprovalClosed`` is raised."""
        await self._on_disk(self._store.begin, approval)

    async def record(self, approval: str, outcome: Mapping[str, Any]) -> None:
        """What its call gave: kept even where the run is being cancelled, as the call was made."""
        with anyio.CancelScope(shield=True):
            await self._on_disk(self._store.record, approval, outcome)

    async def spend(self, approval: str) -> bool:
        """The run that goes on with it sends something to the cloud now, or ``ApprovalClosed`` is raised. Gives whether something
        was sent under it in this life before, by an earlier try of the run too."""
        again = approval in self._sends
        await self._on_disk(partial(self._store.spend, again=again), approval)
        self._sends.add(approval)
        return again

    async def give_back(self, approval: str) -> None:
        """Nothing was done of what it was spent for."""
        await self._on_disk(self._store.give_back, approval)
        self._sends.discard(approval)

    # -- for people -------------------------------------------------------------------------------------------------

    async def decide(self, approval: str, verdict: Verdict) -> Approval:
        """Note a verdict; the run goes on by itself. Raises ``NoSuchApproval``, ``ApprovalClosed``, ``UsageError``."""
        found = await self.find(approval)
        try:
            decided = await self._on_disk(self._store.decide, found.id, verdict)
        finally:
            self.wake()
        self._emit_decided(decided)
        return decided

    async def find(self, approval: str) -> Approval:
        """By its id or a unique beginning."""
        return await self._on_disk(self._store.find, approval)

    async def newest(self, deployment: str, count: int, *, closed: bool) -> Sequence[Approval]:
        """The newest first."""
        return await self._on_disk(partial(self._store.newest, closed=closed), deployment, count)

    def is_applied(self, deployment: str) -> bool:
        """Whether it is applied, so that a run of it can go on; so may every one be before the store was read."""
        return self._ways.applied(deployment)

    async def result_of(self, run: str) -> Mapping[str, Any] | None:
        """The stored form of a run that waits or waited, by its whole id."""
        return await self._on_disk(self._store.result_of, run)

    async def trouble(self) -> Mapping[str, Mapping[str, Any]]:
        """For each deployment with something that waits: ``pending``, ``untold``, ``error``."""
        return await self._on_disk(self._store.trouble)

    # -- its life ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed: look at once, also at what rests."""
        self._rest.clear()
        self._woken.set()
        self._news.set()

    async def run(self) -> None:
        """Let runs go on, let approvals expire and tell people, until cancelled."""
        self._in_work.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell_people)
            while True:
                self._woken = anyio.Event()
                rest = await self._look(tasks)
                with anyio.move_on_after(rest):
                    await self._woken.wait()

    async def _look(self, tasks: TaskGroup) -> float:
        """Start what can go on; gives the seconds until the next look."""
        try:
            expires = await self._on_disk(self._store.expire)
            for approval in await self._on_disk(self._store.undelivered):
                if approval.id not in self._in_work and self._rest.get(approval.id, 0.0) <= current_time():
                    self._in_work.add(approval.id)
                    self._rest.pop(approval.id, None)
                    tasks.start_soon(self._deliver, approval)
        except OrchestratorError as error:
            self._ways.report(f"what waits for people cannot be read: {error.message}")
            return AGAIN
        due = [at - current_time() for at in self._rest.values()]
        due += [expires - self._ways.now()] if expires is not None else []
        return max(0.01, min([*due, LONGEST_REST]))

    async def _deliver(self, approval: Approval) -> None:
        try:
            await self._go_on(approval)
        except OrchestratorError as error:
            self._ways.report(f"{approval.id} cannot be delivered now: {error.message}")
            self._put_off(approval)
        except Exception as error:  # noqa: BLE001 - one run that cannot go on must not keep back the others
            self._ways.report(f"{approval.id} cannot be delivered: {type(error).__name__}: {error}")
            self._put_off(approval)
        finally:
            self._in_work.discard(approval.id)
            self._woken.set()

    def _put_off(self, approval: Approval) -> None:
        tries = self._tries[approval.id] = self._tries.get(approval.id, 0) + 1
        self._rest[approval.id] = current_time() + _DELIVERY.delay(tries - 1, random)

    async def _go_on(self, approval: Approval) -> None:
        if approval.state == "expired" and approval.id not in self._tries:
            self._emit_decided(approval)
        result = end_of(approval) or await self._resumed(approval)
        if result is None:
            self._put_off(approval)
            return
        if result.status != "waiting":  # else a new approval has settled this one
            await self._settle(approval, result)
        self._sends.discard(approval.id)
        self._tries.pop(approval.id, None)
        self._tried_since.pop(approval.id, None)

    async def _resumed(self, approval: Approval) -> Result | None:
        """What came of it; nothing where it must be tried again later."""
        name, late = approval.deployment, self._is_late(approval)
        if name not in self._engines.names():
            if not self._ways.applied(name):
                return lost(approval, f"{name} is not applied any more")
            return never_served(approval, PATIENCE) if late else None
        sent = SENDING in approval.held and approval.id not in self._sends
        result = await self._engines.get(name).resume(going_on(approval, sent=sent))
        kind = str((result.error or {}).get("kind", ""))
        cut_off = kind == "RunCancelled"  # by a stop, or by the end of its revision: it goes on with the next
        return None if cut_off or (kind in LATER and not late) else result

    def _is_late(self, approval: Approval) -> bool:
        """Whether it was tried for long enough. After a start that counts from when what is applied was brought back."""
        if not self._ways.restored():
            return False
        return current_time() > self._tried_since.setdefault(approval.id, current_time()) + PATIENCE

    async def _settle(self, approval: Approval, result: Result) -> None:
        async def store(waiting: str, ended: Result, typed: str, said: Sequence[Message]) -> bool:
            return await self._on_disk(self._store.settle, waiting, ended, typed, said)

        await self.ends.settle(approval, result, store)

    def _emit_decided(self, approval: Approval) -> None:
        fields = {"approval": approval.id, "waits": approval.kind, "state": approval.state, "by": approval.by}
        self._emit("approval.decided", approval, fields)

    # -- telling people ---------------------------------------------------------------------------------------------

    async def _tell_people(self) -> None:
        while True:
            self._news = anyio.Event()
            rest = await self._tell_due()
            with anyio.move_on_after(rest):
                await self._news.wait()

    async def _tell_due(self) -> float:
        """Tell what is due, all at once, so that a channel which does not answer holds up no other; gives the seconds until the
        next is due."""
        failed: list[str] = []
        due: float | None = None
        try:
            notices = await self._on_disk(self._store.due)
            async with anyio.create_task_group() as tasks:
                for notice in notices:
                    tasks.start_soon(self._tell, notice, failed)
            due = await self._on_disk(self._store.next_due)
        except OrchestratorError as error:
            failed.append(error.message)
        if failed:
            self._ways.report(f"notices to people cannot be kept: {failed[0]}")
            return AGAIN
        return LONGEST_REST if due is None else max(0.01, min(due - self._ways.now(), LONGEST_REST))

    async def _tell(self, notice: Notice, failed: list[str]) -> None:
        """Tell it, and note what came of it; where that cannot be noted, it is not sent again for that."""
        key = (notice.approval.id, notice.channel)
        error = "" if key in self._sent else await self._send(notice)
        try:
            if error:
                again = self._ways.now() + _NOTICE.delay(notice.tries, random)
                await self._on_disk(self._store.put_off, notice, error, again)
            else:
                self._sent.add(key)
                await self._on_disk(self._store.told, notice)
                self._sent.discard(key)
        except OrchestratorError as fault:
            failed.append(fault.message)
            return
        fields = {"approval": notice.approval.id, "channel": notice.channel, **({"error": error} if error else {})}
        self._emit("approval.notified", notice.approval, fields)

    async def _send(self, notice: Notice) -> str:
        """Why it did not arrive; empty where it did."""
        try:
            await self._ways.tell(notice)
        except OrchestratorError as fault:
            return fault.message
        except Exception as fault:  # noqa: BLE001 - a library's fault is told like any other
            return f"{type(fault).__name__}: {fault}"
        return ""

    def _emit(self, kind: EventKind, approval: Approval, fields: Mapping[str, Any]) -> None:
        now, revision = self._ways.now(), approval.revision
        self._ways.emit(Event(kind, now, approval.deployment, revision, approval.run, fields))
