"""Requests that come from other nodes: taken on or refused, answered, and told of while they are worked on.

A letter may come twice, and a caller that heard nothing may ask again. The id of a request says whether it is worked on or was
answered already: then it is not worked on again, and what there is of the answer is told from its beginning to whoever asked last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import anyio
from anyio.abc import TaskGroup

from orchestrator.core.errors import BusDown, LetterTooLarge, NotUnderstood
from orchestrator.core.event import EventKind
from orchestrator.core.request import Request
from orchestrator.node.ended import found_no_place
from orchestrator.node.subjects import Subjects, may_hear
from orchestrator.node.wire import (
    MOST_HOPS,
    Ack,
    Busy,
    Call,
    Cancel,
    Err,
    Fin,
    Ka,
    Reply,
    Said,
    Tok,
    digest_of_answer,
    read_call,
    read_cancel,
    reply_letter,
)
from orchestrator.node.worker import Asked, Load, Worker
from orchestrator.ports.bus import Bus, Letter
from orchestrator.serve.clock import current_time

MOST_KEPT: Final = 1024
"""Answers that are remembered, for callers that ask again."""
LONGEST_KEPT: Final = 600.0
SOON: Final = 0.25
SOONEST: Final = 0.02
"""Seconds after which a full node may be asked again: where it knows no better, and at least."""
AT_ONCE: Final = 0.2
"""Seconds within which an engine says that its line is full. Who had a place in it and waited in vain has had its turn."""


Tell = Callable[[EventKind, Mapping[str, Any]], None]
"""Where what happened is told: the kind of the event, and its fields."""


class Around(Protocol):
    """What the answers depend on beside the request."""

    def epoch_of(self, agent: str) -> int | None:
        """The epoch under which this node may answer for an agent now: 0 where no lease is needed, ``None``: it may not."""

    def holds(self, agent: str, epoch: int) -> bool:
        """Whether what began under that epoch may go on, also while nothing new is taken on."""

    def draining(self) -> bool:
        """Whether it takes nothing new."""

    def gone(self, caller: str, epoch: int) -> bool:
        """Whether that incarnation of a node does not live any more."""


@dataclass(slots=True)
class _Work:
    """A request that is worked on, or was. ``reply``: where its answer goes now."""

    call: Call
    reply: str
    scope: anyio.CancelScope
    run: int
    pieces: list[str] = field(default_factory=list)
    told: int = 0
    epoch: int = 0  # of the lease that it is done under
    fin: Fin | None = None
    ended_at: float = 0.0


@dataclass(slots=True)
class Answering:
    """The side of a node that answers. Its owner starts ``listen`` and calls ``tick`` twice a second. ``here`` takes the replies to
    requests of this node itself: they need no bus."""

    bus: Bus
    subjects: Subjects
    worker: Worker
    around: Around
    epoch: int
    tell: Tell
    here: Callable[[str, Reply], None]
    _works: OrderedDict[str, _Work] = field(default_factory=OrderedDict)
    _runs: int = 0

    @property
    def running(self) -> int:
        """Requests that are worked on."""
        return sum(work.fin is None for work in self._works.values())

    async def listen(self, group: TaskGroup) -> None:
        """Take requests for as long as it runs; each is worked on in ``group``."""
        async with self.bus.listen(self.subjects.calls(self.bus.node)) as letters:
            async for letter in letters:
                try:
                    await self.take(_call_of(letter), letter.reply, group)
                except NotUnderstood as error:
                    self.tell("mesh.refused", {"error": error.message})

    async def listen_for_cancels(self) -> None:
        """Stop what nobody waits for any more."""
        async with self.bus.listen(self.subjects.cancels(self.bus.node)) as letters:
            async for letter in letters:
                self._cancel(letter)

    async def tick(self) -> None:
        """Say of all work that it is here still, be it that it waits for its turn or for a model's first word: when that takes too
        long is for the engine to say. End what is asked for by nobody; forget old answers."""
        now = current_time()
        for work in list(self._works.values()):
            if work.fin is not None:
                continue
            if self.around.gone(work.call.caller, work.call.epoch):
                work.scope.cancel()
            elif work.epoch and not self.around.holds(work.call.agent, work.epoch):
                await self._stop(work, Err("stopped", f"{self.bus.node} may not answer for {work.call.agent} any more"))
            else:
                await self._say(work, Ka())
        self._forget(now)

    async def stop(self) -> None:
        """End all work: the callers are told to go elsewhere."""
        for work in list(self._works.values()):
            if work.fin is None:
                await self._stop(work, Err("draining", f"{self.bus.node} stops"))

    async def _stop(self, work: _Work, err: Err) -> None:
        work.scope.cancel()
        await self._say(work, err)

    # ---- taking on ---------------------------------------------------------------------------------------------

    async def take(self, call: Call, reply: str, group: TaskGroup) -> None:
        """Take a request on, or say why not; what is to be said goes to the subject ``reply``."""
        if call.looks:
            group.start_soon(self._look, call, reply)
            return
        work = self._works.get(call.req)
        if work is not None:
            if work.call.caller == call.caller:
                await self._again(work, call, reply)
            else:  # it is told to nobody else
                await self._send(reply, call, Err("failed", f"{call.req} is a request of another node"))
            return
        refusal = self._refusal(call)
        if refusal is not None:
            await self._send(reply, call, refusal)
            return
        self._runs += 1
        work = _Work(call, reply, anyio.CancelScope(), self._runs)
        self._works[call.req] = work
        await self._say(work, Ack())
        group.start_soon(self._answer, work)

    async def _again(self, work: _Work, call: Call, reply: str) -> None:
        """A caller asks for what is worked on or was answered."""
        if work.reply == reply:
            return  # the letter came twice
        work.call, work.reply, work.told = call, reply, 0
        await self._say(work, Ack())
        await self._catch_up(work)

    async def _look(self, call: Call, reply: str) -> None:
        """What has become of a request that waits or waited here: also where its agent has moved, or nothing new is taken on."""
        self._runs += 1
        run = self._runs
        await self._send(reply, call, Ack(), run)
        try:
            asked = Asked(Request.from_json(call.body), call.agent, call.caller, looks=True)
            result = (await self.worker.answer(asked, _Silent())).as_kept()
            said = Fin(0, digest_of_answer((), result), result)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller asks again later, and this node lives on
            await self._send(reply, call, Err("failed", f"{type(error).__name__}: {error}"), run)
            return
        await self._send(reply, call, said, run)

    def _refusal(self, call: Call) -> Said | None:
        if call.data_class == "restricted" and call.caller != self.bus.node:
            return Err("restricted", "restricted data may not come from another node")
        if call.hop >= MOST_HOPS:
            return Err("hops", f"the request was handed on {call.hop} times")
        if self.around.draining():
            return Err("draining", f"{self.bus.node} takes nothing new")
        if self.around.epoch_of(call.agent) is None:
            return Err("not_here", f"{self.bus.node} does not hold {call.agent}")
        load = self.worker.load()
        return _busy(load) if load.room <= 0 else None

    def _cancel(self, letter: Letter) -> None:
        try:
            self.cancel(read_cancel(letter))
        except NotUnderstood as error:
            self.tell("mesh.refused", {"error": error.message})

    def cancel(self, cancel: Cancel) -> None:
        """Stop what nobody waits for, unless somebody else has asked for it meanwhile."""
        work = self._works.get(cancel.req)
        if work is not None and work.fin is None and work.reply == cancel.reply:
            work.scope.cancel()

    # ---- working -----------------------------------------------------------------------------------------------

    async def _answer(self, work: _Work) -> None:
        said: Said = Err("deadline", "the time was over")
        with work.scope:
            with anyio.move_on_after(work.call.deadline_ms / 1000):
                said = await self._worked(work)
            if isinstance(said, Fin):
                work.fin, work.ended_at = said, current_time()
                await self._catch_up(work)
                if not _may_end_otherwise(work.call, said.body):
                    return
            else:
                await self._say(work, said)
        if self._works.get(work.call.req) is work:  # it may be asked for again, and is worked on anew then
            del self._works[work.call.req]

    async def _worked(self, work: _Work) -> Said:
        call = work.call
        epoch = self.around.epoch_of(call.agent)
        if epoch is None:
            return Err("not_here", f"{self.bus.node} does not hold {call.agent} any more")
        work.epoch = epoch
        try:
            asked = Asked(
                *(Request.from_json(call.body), call.agent, call.caller, call.hop, epoch, self._valid(call, epoch)),
                kept=call.kept,
                handed=call.handed,
            )
            began = current_time()
            result = (await self.worker.answer(asked, _Emit(self, work))).as_kept()
            if found_no_place(result) and current_time() - began < AT_ONCE:
                return _busy(self.worker.load())
            return Fin(len(work.pieces), digest_of_answer(work.pieces, result), result)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it, and this node lives on
            why = f"{type(error).__name__}: {error}"
            self.tell("mesh.failed", {"request": call.req, "agent": call.agent, "error": why})
            return Err("failed", why)

    def _valid(self, call: Call, epoch: int) -> Callable[[], bool]:
        return lambda: self.around.holds(call.agent, epoch)

    async def _catch_up(self, work: _Work) -> None:
        """Tell what was not told yet. Whoever is asked for may change while a letter goes out: then it begins anew."""
        while work.told < len(work.pieces):
            seq = work.told
            work.told += 1
            await self._say(work, Tok(seq, work.pieces[seq]))
        if work.fin is not None:
            await self._say(work, work.fin)

    async def piece(self, work: _Work, text: str) -> None:
        """A piece of an answer is there."""
        work.pieces.append(text)
        await self._catch_up(work)

    async def _say(self, work: _Work, said: Said) -> None:
        await self._send(work.reply, work.call, said, work.run)

    async def _send(self, subject: str, call: Call, said: Said, run: int = 0) -> None:
        reply = Reply(call.req, self.bus.node, self.epoch, said, run)
        if call.caller == self.bus.node:
            self.here(subject, reply)
            return
        try:
            await self.bus.send(reply_letter(subject, reply))
        except LetterTooLarge:
            await self._send(
                subject, call, Err("too_large", f"the answer of {call.agent} is too large to come from {self.bus.node}")
            )
        except BusDown as error:  # the caller hears nothing and goes elsewhere
            self.tell("mesh.unsent", {"request": call.req, "error": error.message})

    def _forget(self, now: float) -> None:
        ended = [req for req, work in self._works.items() if work.fin is not None]
        surplus = len(ended) - MOST_KEPT
        for at, req in enumerate(ended):
            if at < surplus or now - self._works[req].ended_at > LONGEST_KEPT:
                del self._works[req]


@dataclass(frozen=True, slots=True)
class _Emit:
    """Where the pieces of one answer go."""

    answering: Answering
    work: _Work

    async def piece(self, text: str) -> None:
        """A piece of it."""
        await self.answering.piece(self.work, text)


class _Silent:
    """Nobody hears pieces."""

    async def piece(self, text: str) -> None:
        """There are none."""


def _call_of(letter: Letter) -> Call:
    """The request that a letter is. Raises ``NotUnderstood``, also where the node that it names would not get the answer: each
    node may write any name, and is told by the bus only what goes to inboxes of its own."""
    call = read_call(letter)
    if not may_hear(call.caller, letter.reply):
        why = f"it names {call.caller}, and its answer is to go to {letter.reply}"
        raise NotUnderstood(f"a letter to {letter.subject} was left aside: {why}")
    return call


def _may_end_otherwise(call: Call, result: Mapping[str, Any]) -> bool:
    """Whether it may be asked again, and answered then: what is kept for later, and what found no place in the engine's line."""
    kept = call.kept and bool(result.get("error") or result.get("status") == "waiting")
    return kept or found_no_place(result)


def _busy(load: Load) -> Busy:
    """That there is no room, and when there may be."""
    known = (load.queued + 1) * load.service_ms / 1000 / max(load.slots, 1)
    return Busy(max(SOONEST, known) if known else SOON)
