"""Requests that this node gives to a holder of their agent, itself or another one: the hands of :class:`RemoteCall`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from orchestrator.core.errors import BusDown, LetterTooLarge, NotUnderstood, RemoteFailed, StaysHere, TooLargeToSend
from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.core.request import Request, Result
from orchestrator.node.answering import Answering, Tell
from orchestrator.node.call import (
    Abandon,
    Choose,
    Delivered,
    Effect,
    Failed,
    Judge,
    PassOn,
    RemoteCall,
    Repeats,
    Send,
    Waits,
)
from orchestrator.node.subjects import Subjects
from orchestrator.node.table import Draw, Table
from orchestrator.node.wire import Call, Cancel, Reply, call_letter, cancel_letter, read_reply
from orchestrator.ports.bus import Bus
from orchestrator.serve.clock import current_time

PassPiece = Callable[[str], Awaitable[None]]
USUAL_TIMEOUT: Final = 120.0
LOOKS: Final = 2.0
"""Seconds in which a node is to say what has become of a request: who asks that asks again later."""
_PARTS: Final = 1024
"""Of a pause: between half of it and all are waited."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A result, and the node (with its incarnation) that it is of."""

    node: str
    epoch: int
    result: Result


@dataclass(frozen=True, slots=True)
class Way:
    """How a request came: ``hop`` nodes have handed it on before; ``kept``: it is asked until it is answered, under the same id.
    ``handed``: what it brings along. ``looks_at``: nothing is to be done; this node is asked what has become of the request."""

    hop: int = 0
    kept: bool = False
    handed: Handed = NOTHING_HANDED
    looks_at: str = ""


FIRST_WAY: Final = Way()


@dataclass(slots=True)
class _Open:
    """A request that waits for its answer."""

    machine: RemoteCall
    call: Call
    pass_on: PassPiece | None
    heard: MemoryObjectSendStream[tuple[int, Reply]]
    seats: dict[int, tuple[str, str]] = field(default_factory=dict)  # attempt -> its subject for replies, its node


@dataclass(slots=True)
class Asking:
    """The side of a node that asks. Its owner starts ``listen``, and gives ``gen``, the generation that the node serves, and
    ``hope``: until when a request for an agent waits for a holder, from the usual moment and whether it can be kept for later."""

    bus: Bus
    subjects: Subjects
    table: Table
    answering: Answering
    epoch: int
    draw: Draw
    tell: Tell
    gen: Callable[[], int]
    hope: Callable[[str, float, bool], float]
    waits: Waits = field(default_factory=Waits)
    repeats: Repeats = field(default_factory=Repeats)
    _open: dict[str, tuple[_Open, int]] = field(default_factory=dict)

    async def listen(self) -> None:
        """Take replies for as long as it runs."""
        async with self.bus.listen(self.bus.inbox("*")) as letters:
            async for letter in letters:
                if letter.subject not in self._open:
                    continue  # of an attempt that was given up
                try:
                    self.hear(letter.subject, read_reply(letter))
                except NotUnderstood as error:
                    self.tell("mesh.refused", {"error": error.message})

    def hear(self, subject: str, reply: Reply) -> None:
        """A reply to a subject of this node's inbox."""
        seat = self._open.get(subject)
        if seat is not None and reply.req == seat[0].call.req:
            seat[0].heard.send_nowait((seat[1], reply))

    async def ask(
        self,
        request: Request,
        agent: str,
        group: TaskGroup,
        *,
        pass_on: PassPiece | None = None,
        way: Way = FIRST_WAY,
    ) -> Answer:
        """Have a request answered by a holder of ``agent``; ``pass_on`` gets the answer's pieces as they come. Raises a
        ``RunError`` of ``core/mesh_errors.py``, or ``DeadlinePassed``."""
        begun = current_time()
        timeout = request.timeout or USUAL_TIMEOUT
        self.repeats.earn()
        call = self._call(request, agent, way)
        machine = RemoteCall(
            agent,
            begun + timeout,
            self._choose(request, agent, way),
            pass_on is not None,
            self.repeats.take,
            self.waits,
            lambda until: begun + LOOKS if way.looks_at else self.hope(agent, until, way.kept),
            lambda: 0.5 + self.draw(_PARTS) / _PARTS / 2,
        )
        send, receive = anyio.create_memory_object_stream[tuple[int, Reply]](inf)
        opened = _Open(machine, call, pass_on, send)
        with send, receive:
            try:
                effects = machine.begin(begun)
                while (answer := await self._carry_out(opened, effects, group)) is None:
                    effects = []
                    with anyio.move_on_after(machine.wake_at - current_time()):
                        attempt, reply = await receive.receive()
                        effects = machine.hear(attempt, reply, current_time())
                    effects = effects or machine.tick(current_time())
                return answer
            finally:
                await self._close(opened)

    def _call(self, request: Request, agent: str, way: Way) -> Call:
        return Call(
            req=request.id,
            agent=agent,
            caller=self.bus.node,
            epoch=self.epoch,
            gen=self.gen(),
            deadline_ms=0,
            data_class=request.data_class,
            hop=way.hop,
            body=request.as_json(),
            kept=way.kept,
            handed=way.handed,
            looks=bool(way.looks_at),
        )

    def _choose(self, request: Request, agent: str, way: Way) -> Choose:
        if way.looks_at:
            return lambda tried: None if way.looks_at in tried else way.looks_at
        if request.data_class != "restricted":
            return lambda tried: self.table.choose(agent, current_time(), self.draw, gen=self.gen(), without=tried)
        if agent not in self.answering.worker.load().agents:
            cure = "send the request to the node that holds the agent"
            raise StaysHere(f"restricted data may not leave {self.bus.node}, which does not hold {agent}", cure=cure)
        return lambda tried: None if self.bus.node in tried else self.bus.node

    # ---- effects -----------------------------------------------------------------------------------------------

    async def _carry_out(self, opened: _Open, effects: list[Effect], group: TaskGroup) -> Answer | None:
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            if isinstance(effect, Send):
                waiting += await self._send(opened, effect, group)
            elif isinstance(effect, Abandon):
                await self._abandon(opened, effect.attempt)
            elif isinstance(effect, PassOn):
                if opened.pass_on is not None:
                    await opened.pass_on(effect.text)
            elif isinstance(effect, Judge):
                self._judge(opened, effect)
            elif isinstance(effect, Failed):
                raise effect.error
            else:
                return _answer_of(effect)
        return None

    async def _send(self, opened: _Open, effect: Send, group: TaskGroup) -> list[Effect]:
        for earlier in opened.seats:
            self._leave(opened, earlier)
        subject = self.bus.inbox(f"{self.draw(1 << 62):x}")
        opened.seats[effect.attempt] = (subject, effect.node)
        self._open[subject] = (opened, effect.attempt)
        self.table.sent(effect.node)
        call = replace(opened.call, deadline_ms=int(effect.remaining * 1000))
        if effect.node == self.bus.node:
            await self.answering.take(call, subject, group)
            return []
        try:
            await self.bus.send(call_letter(self.subjects.call(effect.node, call.agent), call, subject))
        except LetterTooLarge as error:
            raise TooLargeToSend(
                f"the request for {call.agent}, with its history, is too large to go to {effect.node}",
                cure="send less at once, begin a new session, or ask that node itself",
            ) from error
        except BusDown as error:
            return opened.machine.undeliverable(effect.attempt, error.message, current_time())
        return []

    async def _abandon(self, opened: _Open, attempt: int) -> None:
        subject, node = opened.seats[attempt]
        self._leave(opened, attempt)
        cancel = Cancel(opened.call.req, self.bus.node, subject)
        if node == self.bus.node:
            self.answering.cancel(cancel)
            return
        try:
            await self.bus.send(cancel_letter(self.subjects.cancel(node, cancel.req), cancel))
        except BusDown as error:  # it works on in vain, until its time is over
            self.tell("mesh.unsent", {"request": cancel.req, "error": error.message})

    def _leave(self, opened: _Open, attempt: int) -> None:
        subject, node = opened.seats[attempt]
        if self._open.pop(subject, None) is not None:
            self.table.ended(node)

    def _judge(self, opened: _Open, judged: Judge) -> None:
        if judged.why:
            if not opened.call.looks:  # an older version answers none, and works well
                self.table.failed(judged.node, current_time())
            fields = {"request": opened.call.req, "agent": opened.call.agent, "node": judged.node, "error": judged.why}
            self.tell("mesh.lost", fields)
        elif not opened.call.looks:  # which says nothing of how long an answer takes there
            self.table.succeeded(judged.node, opened.call.agent, judged.seconds, current_time())

    async def _close(self, opened: _Open) -> None:
        """Nothing is heard any more; where the caller went away, whoever works for it is told."""
        left = opened.machine.cancel(current_time())
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            for effect in left:
                if isinstance(effect, Abandon):
                    await self._abandon(opened, effect.attempt)
        for attempt in opened.seats:
            self._leave(opened, attempt)


def _answer_of(delivered: Delivered) -> Answer:
    try:
        return Answer(delivered.node, delivered.epoch, Result.from_json(delivered.fin.body))
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteFailed(
            f"what {delivered.node} sent is no result", cure="run the same version on all nodes"
        ) from error
