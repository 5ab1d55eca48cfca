"""The forwarder: the one owner of what waits for targets that are away. It keeps what runs leave, tries it again, and ends it.

A lane is what waits for one agent of one deployment. While its target is away only the oldest of a lane is tried, at growing
intervals; once one is answered, the others follow, a few at once, in the order in which they came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import random
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from orchestrator.core.delivery import Delivery
from orchestrator.core.errors import (
    DeliveryCancelled,
    DeliveryClosed,
    DeliveryExpired,
    HeldRunLost,
    OrchestratorError,
    RunCancelled,
    RunError,
    in_one_line,
)
from orchestrator.core.event import Event, EventKind
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.forwarded import sign_of
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.rules import EndpointRules
from orchestrator.ports.outbox import AuditEntry, Deferring, OutboxStore
from orchestrator.serve.clock import current_time
from orchestrator.serve.disk import Disk
from orchestrator.serve.ends import Ends
from orchestrator.serve.engine import EngineTable
from orchestrator.serve.held import going_on, waited
from orchestrator.serve.lanes import Lane, Place, Work, due, next_tries, place_of
from orchestrator.serve.later import FORWARDED
from orchestrator.serve.steps.there import ASKED_AGAIN

declare("outbox.answered")

AGAIN: Final = 5.0
"""Seconds before what failed for the moment is tried again, the first time."""
LONGEST_REST: Final = 60.0
"""The longest pause between two tries, and between two looks: the device may have slept."""
LONGEST_PAUSE: Final = EndpointRules().hold_at_most
"""The longest pause that a server may ask for: it is asked again after that, whatever it says."""
LONGEST_UNWRITTEN: Final = 600.0
"""Seconds by which what waits on another node may wait longer than is written down."""
_TRIES: Final = Backoff(AGAIN, LONGEST_REST)


@dataclass(frozen=True, slots=True)
class ForwarderWays:
    """How the forwarder reaches others: ``emit`` hears events, ``report`` hears of trouble, ``now`` is the wall clock in seconds
    since 1970."""

    emit: Callable[[Event], None]
    report: Callable[[str], None]
    now: Callable[[], float] = time.time


class Forwarder:
    """Fits the port ``Outbox`` for runs; the looks, :meth:`cancel` and :meth:`retry` are for people; :meth:`run` is its life."""

    def __init__(self, store: OutboxStore, ends: Ends, engines: EngineTable, ways: ForwarderWays) -> None:
        self._store = store
        self._ends = ends
        self._engines = engines
        self._ways = ways
        self._on_disk = Disk().do
        self._woken = anyio.Event()
        self._work = Work()

    # -- for runs ---------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The wall clock."""
        return self._ways.now()

    async def defer(self, deferring: Deferring) -> None:
        """Keep it; what was said in the session is with it. Call it while holding the session's turn."""

        async def store(said: tuple[Message, ...], restricted: bool) -> None:
            await self._on_disk(self._store.defer, replace(deferring, said=said, restricted=restricted))

        await self._ends.keep_start(deferring.delivery, deferring.said, store)
        if deferring.delivery.settles:
            self._ends.tell_change()
        lane = self._work.lanes.setdefault(place_of(deferring.delivery), Lane())
        if lane.until <= current_time():  # its target was away a moment ago
            lane.open = False
            self._rest(deferring.delivery)
            self._woken.set()

    # -- for people -------------------------------------------------------------------------------------------------

    async def find(self, delivery: str) -> tuple[Delivery, Sequence[AuditEntry]]:
        """By its id or a unique beginning, with all that was done with it."""
        found = await self._on_disk(self._store.find, delivery)
        (shown,) = self._timed([found], await self._on_disk(self._store.waiting))
        return shown, await self._on_disk(self._store.audit, found.id)

    async def keeps(self, run: str) -> bool:
        """Whether a run waits here, by its whole id."""
        return any(each.run == run for each in await self._on_disk(self._store.waiting))

    async def newest(self, deployment: str, count: int, *, closed: bool) -> Sequence[Delivery]:
        """The newest first."""
        found = await self._on_disk(lambda: self._store.newest(deployment, count, closed=closed))
        return self._timed(found, await self._on_disk(self._store.waiting))

    async def trouble(self) -> Any:
        """For each deployment with something that waits: ``waiting``, ``again``, ``error``."""
        found = dict(await self._on_disk(self._store.trouble))
        waiting = await self._on_disk(self._store.waiting) if found else ()
        soonest: dict[str, float | None] = {}
        for each in self._timed(waiting, waiting):
            known = soonest.get(each.deployment)
            soonest[each.deployment] = each.again if known is None or each.again is None else min(known, each.again)
        return {name: {**told, "again": soonest.get(name)} for name, told in found.items()}

    def _timed(self, found: Sequence[Delivery], waiting: Sequence[Delivery]) -> Sequence[Delivery]:
        """With when they are really tried: their lanes know that, and the store does not."""
        tries, served, now = next_tries(waiting, self._work, current_time()), self._engines.names(), self._ways.now()

        def timed(each: Delivery) -> Delivery:
            if each.id not in tries:
                return each
            if each.deployment not in served:
                return replace(each, again=None)
            rest, behind = tries[each.id]
            return replace(each, again=now + rest, behind=behind)

        return [timed(each) for each in found]

    async def cancel(self, delivery: str, by: str) -> Delivery:
        """Take it back: its run fails, and says so. Raises ``NoSuchDelivery`` and ``DeliveryClosed``."""
        found = await self._on_disk(self._store.find, delivery)
        who = f" by {by}" if by else ""
        error = DeliveryCancelled(f"the request was taken back{who} while it waited ({found.id})", cure="Ask again.")
        if not await self._end(found, _failed(found, error), by):
            found = await self._on_disk(self._store.find, found.id)
            raise DeliveryClosed(f"{found.id} is {found.state} already", cure=f"orchestrator outbox show {found.id}")
        return await self._on_disk(self._store.find, found.id)

    async def retry(self, deployment: str, delivery: str) -> int:
        """Try at once what waits: one (by its whole id), the lanes of a deployment, or all; gives how many. Their models are asked
        even where they asked for a pause: a person knows better, and it is one call."""
        found = await self._on_disk(self._store.hurry, deployment, delivery)
        for name, agent in set(map(place_of, found)):
            if name in self._engines.names():
                self._engines.get(name).hurry(agent)
        if delivery:
            self._work.named.update(each.id for each in found)
        else:
            self._open_now(map(place_of, found))
        self._woken.set()
        return len(found)

    # -- its life ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed: look at once, also at targets that were away."""
        self._open_now(self._work.lanes)
        self._woken.set()

    def _open_now(self, places: Iterable[Place]) -> None:
        for place in places:
            if place in self._work.lanes:
                self._work.lanes[place].until = 0.0

    def hear_end(self, run: str) -> None:
        """A run has ended on another node, by the sign of its id there: who waits for it asks at once."""
        self._work.heard.add(run)
        self._woken.set()

    async def run(self) -> None:
        """Try what waits, and let expire what is due, until cancelled."""
        self._work = Work()
        async with anyio.create_task_group() as tasks:
            while True:
                self._woken = anyio.Event()
                rest = await self._look(tasks)
                with anyio.move_on_after(rest):
                    await self._woken.wait()

    async def _look(self, tasks: TaskGroup) -> float:
        """Begin what is due; gives the seconds until the next look."""
        heard, self._work.heard = self._work.heard, set()
        try:
            found = await self._on_disk(self._store.waiting)
        except OrchestratorError as error:
            self._ways.report(f"what waits for targets cannot be read: {error.message}")
            return AGAIN
        now, work, served = self._ways.now(), self._work, self._engines.names()
        work.named.update(each.id for each in found if heard and sign_of(each.part) in heard)
        over = [each for each in found if each.expires <= now and each.id not in work.ids]
        there = [each for each in found if each.expires > now and each.deployment in served]
        for each in [*over, *due(there, work, current_time())]:
            work.ids.add(each.id)
            work.named.discard(each.id)
            tasks.start_soon(self._take, each, each.expires <= now)
        ends = [each.expires - now for each in found if each.id not in work.ids]
        rests = [lane.until - current_time() for lane in work.lanes.values() if lane.until > current_time()]
        return max(0.01, min([LONGEST_REST, *ends, *rests]))

    async def _take(self, delivery: Delivery, over: bool) -> None:
        try:
            asks = not over or (delivery.there and delivery.deployment in self._engines.names())
            if asks:  # also what is over, on another node: it may have ended there while this device slept
                await self._try(delivery)
            if over and not (asks and await self._goes_on(delivery)):
                await self._expire(delivery)
        except OrchestratorError as error:
            self._ways.report(f"{delivery.id} cannot be forwarded now: {error.message}")
            self._rest(delivery)
        except Exception as error:  # noqa: BLE001 - one that cannot go on must not keep back the others
            self._ways.report(f"{delivery.id} cannot be forwarded: {type(error).__name__}: {error}")
            self._rest(delivery)
        finally:
            self._work.ids.discard(delivery.id)
            self._woken.set()

    async def _goes_on(self, delivery: Delivery) -> bool:
        """Whether it has ended, or got more time, since it was read."""
        found = await self._on_disk(self._store.find, delivery.id)
        return found.delivered is not None or found.expires > self._ways.now()

    async def _expire(self, delivery: Delivery) -> None:
        why = f"{delivery.agent} could not be reached in time ({delivery.id})"
        last = f": {delivery.error or delivery.away}" if delivery.error or delivery.away else ""
        full = await self._on_disk(self._store.find, delivery.id)
        await self._end(full, _failed(full, DeliveryExpired(why + last, cure="Ask again.")))

    async def _try(self, delivery: Delivery) -> None:
        full = await self._on_disk(self._store.find, delivery.id)
        if full.delivered is not None:
            return
        if full.there:
            await self._look_there(full)
            return
        if not await self._on_disk(self._store.begin, full.id):
            return
        sent = full.sent is not None and bool(full.held.get("consents"))  # nobody saw the end of a try under a leave
        try:
            going = going_on(replace(full, tries=full.tries + 1), sent=sent)
            result = await self._engines.get(full.deployment).resume(going)
        except HeldRunLost as lost:
            result = _failed(full, lost)
        failpoint("outbox.answered")
        fault = result.error or {}
        if fault.get("kind") in FORWARDED:
            await self._put_off(full, fault, unknown=sent or fault.get("kind") == RunCancelled.__name__)
            return
        lane = self._work.lanes.setdefault(place_of(full), Lane())
        lane.tries, lane.open, lane.until = 0, True, 0.0
        if result.status != "waiting":  # else what it waits for now has settled this
            await self._end(full, result)

    async def _look_there(self, delivery: Delivery) -> None:
        """Ask the node on which it waits for a person, and end it as it has ended there."""
        try:
            result = await self._engines.get(delivery.deployment).resume(going_on(delivery))
        except HeldRunLost as lost:
            result = _failed(delivery, lost)
        fault = result.error or {}
        if fault.get("kind") in ASKED_AGAIN:
            await self._put_off_there(delivery, fault, heard=result.node == delivery.there)
            return
        if result.status != "waiting":
            await self._end(delivery, result)
        else:
            self._work.lanes.pop(place_of(delivery), None)

    async def _put_off_there(self, delivery: Delivery, error: Any, *, heard: bool) -> None:
        """It waits still. Whoever says so is waited for on; one that is not heard, until the delivery expires. A person may take
        days: nothing is written down that is known already."""
        pause = self._rest(delivery)
        message = in_one_line(str(error.get("message", "")), str(error.get("cure") or ""))
        now, until = self._ways.now(), None
        if heard:
            until = max(delivery.expires, now + float(delivery.held["at"]["there"]["patience"]))
        if message != delivery.error or (until is not None and until > delivery.expires + LONGEST_UNWRITTEN):
            put_off = partial(self._store.put_off, expires=until)
            await self._on_disk(put_off, delivery.id, message, now + pause)
        if message != delivery.error and not heard:
            self._emit("delivery.tried", delivery, {"error": message})

    async def _put_off(self, delivery: Delivery, error: Any, *, unknown: bool) -> None:
        again = error.get("again")  # a budget tells when there will be a new one
        asked = min(error.get("retry_after") or 0.0, LONGEST_PAUSE)
        pause = self._rest(delivery, again - self._ways.now() if again else asked)
        self._work.lanes[place_of(delivery)].open = False
        message = in_one_line(str(error.get("message", "")), str(error.get("cure") or ""))
        put_off = partial(self._store.put_off, unknown=unknown)
        await self._on_disk(put_off, delivery.id, message, self._ways.now() + pause)
        self._emit("delivery.tried", delivery, {"error": message})

    def _rest(self, delivery: Delivery, pause: float = 0.0) -> float:
        """Leave its target alone for a while, at least ``pause`` seconds where it said so."""
        lane = self._work.lanes.setdefault(place_of(delivery), Lane())
        lane.tries += 1
        rest = max(_TRIES.delay(lane.tries - 1, random), pause)
        lane.until = current_time() + rest
        return rest

    async def _end(self, delivery: Delivery, result: Result, by: str = "") -> bool:
        async def store(waiting: str, ended: Result, typed: str, said: Sequence[Message]) -> bool:
            return await self._on_disk(self._store.settle, waiting, ended, typed, said, by)

        kept = await self._ends.settle(delivery, result, store)
        if delivery.there:
            self._work.lanes.pop(place_of(delivery), None)
        if kept:
            self._emit("delivery.ended", delivery, {"status": result.status})
        return kept

    def _emit(self, kind: EventKind, delivery: Delivery, fields: dict[str, Any]) -> None:
        fields = {"delivery": delivery.id, "agent": delivery.agent, **fields}
        now = self._ways.now()
        self._ways.emit(Event(kind, now, delivery.deployment, delivery.revision, delivery.run, fields))


def _failed(delivery: Delivery, error: RunError) -> Result:
    """The run as it waited, with why it has no answer."""
    try:
        result = waited(delivery)
    except HeldRunLost:
        result = Result(delivery.run, delivery.deployment, delivery.revision, "waiting", "", agent=delivery.agent)
    return replace(result, status="failed", text="", error=error.as_json(), finish_reason="error", approval=delivery.id)
