"""The loop: carries out what the scheduler decides. It decides nothing itself.

A call is made in its caller's own task: no task, stream or limiter stands between, so that a call which need not wait
costs little, and cancelling the caller cancels the call to the model server. One more task (``Loop.run``) turns the
passing of time into ticks, and carries out probes. Everything runs in one thread; needs only anyio.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from itertools import count
from math import inf
from types import MappingProxyType
from typing import Any, Final, cast

import anyio
from anyio.abc import TaskStatus

from orchestrator.core.errors import BrokenReply, DeadlinePassed, ModelError, RunError
from orchestrator.core.event import Event, EventKind
from orchestrator.deploy.backoff import Jitter
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Provider
from orchestrator.serve.ask import (
    Ask,
    CallAttempt,
    CallTrace,
    EndpointView,
    call_for,
    may_come_in_pieces,
    provider_for,
    size_of,
)
from orchestrator.serve.attempt import Caller, close, cut_short, run_out, whole
from orchestrator.serve.clock import current_time
from orchestrator.serve.effect import (
    Cancel,
    Check,
    Effect,
    Fail,
    Load,
    Look,
    Probe,
    Relist,
    RetryAt,
    Start,
    StateChanged,
    Unload,
)
from orchestrator.serve.errands import Errands
from orchestrator.serve.hold_back import HeldBack
from orchestrator.serve.places import Places
from orchestrator.serve.scheduler import NO_POOLS, Scheduler
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.serve.scheduler_queue import Submission
from orchestrator.serve.thinking import AfterThoughts
from orchestrator.serve.unheld import Refusals

__all__ = ["Ask", "CallAttempt", "CallTrace", "EndpointView", "Loop"]

NO_QUEUE: Final[Mapping[str, Any]] = MappingProxyType({})


class Loop:
    """Sends calls to endpoints as the scheduler decides. ``run`` must be running for anything that takes time.

    ``on_event`` gets ``endpoint.state``, ``model.*``, ``run.retry`` and ``run.fallback`` events; it must return at once and
    not raise; ``on_missing`` the id of an endpoint whose server says that it has not the model that it listed.
    """

    def __init__(
        self,
        limits: SchedulerLimits | None = None,
        jitter: Jitter = random.random,
        on_event: Callable[[Event], None] | None = None,
        on_missing: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._limits = limits or SchedulerLimits()
        self._scheduler = Scheduler(self._limits, jitter)
        self._callers: dict[int, Caller] = {}
        self._numbers = count(1)
        self._on_event = on_event
        self._on_missing = on_missing
        self._alarm: anyio.Event | None = None
        self._sleeps_until = -inf  # it does not sleep
        self._errands = Errands(self._scheduler, self._tell, self._carry_out)
        self._refusals = Refusals()

    @property
    def limits(self) -> SchedulerLimits:
        """The numbers that it goes by."""
        return self._limits

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Let time pass for the scheduler, and probe, until cancelled. Then calls that wait end with ``RunCancelled``."""
        try:
            async with anyio.create_task_group() as group:
                task_status.started()
                while True:
                    self._alarm = anyio.Event()
                    self._sleeps_until = -inf
                    self._carry_out(self._scheduler.on_tick(current_time()))
                    self._errands.send_out(group)
                    self._sleeps_until = self._scheduler.due
                    with anyio.CancelScope(deadline=self._sleeps_until):
                        await self._alarm.wait()
        finally:
            self._alarm = None
            self._carry_out(self._scheduler.on_close())

    def set_endpoints(self, endpoints: Mapping[str, EndpointSpec], pools: Mapping[str, PoolLimits] = NO_POOLS) -> None:
        """These are all endpoints from now on, and the memories (``pools``) that their models share. Calls on removed ones
        finish; no new call starts there, so keep those of a draining revision until it has drained."""
        self._carry_out(self._scheduler.on_endpoints(endpoints, current_time(), pools))

    def foresee(self, run: str, endpoints: Iterable[str]) -> None:
        """A run tells which endpoints it is likely to call next; this replaces what it told before. None, when it ends."""
        self._carry_out(self._scheduler.on_foresee(run, endpoints, current_time()))

    def share(self, places: Places) -> None:
        """Places of a deployment are free: who waits for one may have it."""
        self._carry_out(self._scheduler.on_freed(places, current_time()))

    def set_loaded(self, loaded: Mapping[str, bool], since: float) -> None:
        """Which models are loaded, as somebody saw it who began to look at ``since`` (``anyio.current_time``)."""
        self._carry_out(self._scheduler.on_seen(loaded, since, current_time()))

    def set_free(self, free: int | None) -> None:
        """So many bytes of the device's memory are free; ``None``: nobody knows."""
        self._carry_out(self._scheduler.on_measured(free, current_time()))

    def set_power(self, *, saving: bool) -> None:
        """The device runs on its battery, or on mains again."""
        self._carry_out(self._scheduler.on_power(current_time(), saving=saving))

    def try_now(self, names: Iterable[str], *, asked: bool = False) -> None:
        """Ask these endpoints again even where they rest from a fault: somebody may have mended them. Where a person has ``asked``
        for it, also where they asked for a pause."""
        self._carry_out(self._scheduler.on_mended(names, current_time(), asked=asked))

    async def chat(self, ask: Ask) -> ChatReply:
        """One whole answer. Raises a ``RunError``: the last ``ModelError``, or why no endpoint was asked."""
        caller = self._submit(ask, streaming=False)
        try:
            while True:
                start = caller.start or await self._turn(caller)
                began = caller.asked_at
                carrier, call = self._carrier(ask, start), call_for(ask, start, began)
                reply = await (self._gathered(caller, carrier, call) if start.streams else whole(caller, carrier, call))
                if not isinstance(reply, RunError):
                    self._finish(caller, start, began, None, reply)
                    return reply
                self._finish(caller, start, began, reply)
        except BaseException:
            self._abandon(caller)
            raise

    async def stream(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        """The answer in pieces; the last one carries the whole reply. Raises like ``chat``.

        Until the first text is passed on, faults are retried and fallen back from as in ``chat``. After that the answer
        cannot be taken back: a fault is raised, with the text so far in ``partial``. Close it (``contextlib.aclosing``)
        if it is left early, so that the server stops at once.
        """
        caller = self._submit(ask, streaming=True)
        try:
            while True:
                start = caller.start or await self._turn(caller)
                began = caller.asked_at
                source = self._carrier(ask, start).stream(call_for(ask, start, began))
                held = HeldBack(self._limits.hold_back)
                try:
                    while isinstance(delta := await self._next(caller, source), Delta):
                        ready = held.add(delta, self._moved(caller, delta))
                        if delta.reply is not None:
                            self._finish(caller, start, began, None, delta.reply)
                        elif ready:
                            self._scheduler.on_commit(caller.number)
                        for piece in ready:
                            yield piece
                        if caller.over:
                            await run_out(source)
                            return
                finally:
                    await close(source)
                self._finish(caller, start, began, held.with_partial(delta))
        except BaseException:
            self._abandon(caller)
            raise

    def told(self, name: str) -> int | None:
        """The window of an endpoint, where its server told it when it loaded the model and no look has come since."""
        return lane.endpoint.window if (lane := self._scheduler.lanes.get(name)) is not None else None

    def snapshot(self) -> tuple[EndpointView, ...]:
        """Every endpoint as it is now."""
        now = current_time()
        return tuple(
            EndpointView(
                id=name,
                state=lane.endpoint.state,
                in_flight=lane.endpoint.in_flight,
                slots=lane.endpoint.most,
                waiting=lane.waiting,
                failures=lane.endpoint.breaker.failures,
                breaker=lane.endpoint.breaker.state,
                last_error=lane.endpoint.last_error.message if lane.endpoint.last_error else "",
                again_in=round(max(0.0, at - now), 1) if (at := lane.endpoint.changes_at) < inf else None,
            )
            for name, lane in self._scheduler.lanes.items()
        )

    # -- a caller's task --------------------------------------------------------------------------------------------

    def _submit(self, ask: Ask, *, streaming: bool) -> Caller:
        now = current_time()
        caller = Caller(next(self._numbers), ask, now)
        self._callers[caller.number] = caller
        queue = ask.queue or NO_QUEUE
        new = Submission(
            call=caller.number,
            candidates=ask.candidates,
            deadline=ask.deadline,
            priority=ask.priority,
            idempotent=ask.idempotent,
            equals=ask.equals,
            streaming=streaming,
            in_pieces=streaming or may_come_in_pieces(ask.call),
            length=queue.get("length"),
            patience=queue.get("timeout"),
            prompt=size_of(ask.call),
            most=ask.call.max_tokens,
            pause=ask.pause,
            place=ask.place,
        )
        self._carry_out(self._scheduler.on_submit(new, now))
        if ask.next is not None:  # after the call itself: what it needs now comes first
            self.foresee(ask.call.request_id, ask.next)
        return caller

    async def _turn(self, caller: Caller) -> Start:
        """Wait until the scheduler starts the call, or fails it."""
        if caller.start is None and caller.error is None:
            caller.turn = anyio.Event()
            await caller.turn.wait()
        now = current_time()
        caller.ask.trace.queue_ms += (now - caller.asked_at) * 1e3
        caller.asked_at = now
        if caller.start is None:
            raise caller.error or DeadlinePassed("the call ended without an answer")
        caller.ask.trace.load_ms += caller.start.for_model * 1e3
        return caller.start

    def _carrier(self, ask: Ask, start: Start) -> Provider:
        carrier = provider_for(ask, start, self._scheduler.on_told, self._refusals)
        # What chooses one of several names reads them with their thoughts, and says so where there is no more than those.
        return carrier if ask.call.choice is not None else cast(Provider, AfterThoughts(carrier))

    async def _gathered(self, caller: Caller, provider: Provider, call: ChatCall) -> ChatReply | RunError:
        """The whole answer, asked for in pieces so that its server shows whether it works; or why there is none."""
        source = provider.stream(call)
        try:
            while isinstance(delta := await self._next(caller, source), Delta):
                self._moved(caller, delta)
                if delta.reply is not None:
                    await run_out(source)
                    return delta.reply
        finally:
            await close(source)
        if isinstance(delta, ModelError):
            delta.partial = ""  # of which nobody has seen anything
        return delta

    async def _next(self, caller: Caller, source: AsyncIterator[Delta]) -> Delta | RunError:
        """The next piece; or why there is none. The scope is not held open while the consumer has the turn."""
        self._scheduler.on_wait(caller.number, current_time())
        if caller.stopped_by is None:
            with anyio.CancelScope() as caller.scope:
                try:
                    return await anext(source)
                except StopAsyncIteration:
                    return BrokenReply("the stream ended without a reply")
                except ModelError as fault:
                    return fault
        return cut_short(caller)

    def _moved(self, caller: Caller, delta: Delta) -> float:
        """A piece has come; gives the time."""
        now = current_time()
        self._scheduler.on_progress(caller.number, now, reading=delta.sign == "reading")
        return now

    def _finish(
        self, caller: Caller, start: Start, began: float, error: RunError | None, reply: ChatReply | None = None
    ) -> None:
        """Report the end of an attempt, and learn what comes next for the call."""
        now = current_time()
        outcome, message = ("ok", "") if error is None else (type(error).__name__, error.message)
        caller.ask.trace.add(CallAttempt(start.spec.id, outcome, (now - began) * 1e3, start.kind, message))
        caller.start = None
        caller.asked_at = now
        if error is None:
            self._forget(caller)
        wrote = reply.usage.completion_tokens if reply is not None else 0
        self._carry_out(self._scheduler.on_finish(caller.number, now, error, wrote))

    def _abandon(self, caller: Caller) -> None:
        """The caller's task is cancelled or has failed: nobody waits for this call any more."""
        if caller.over:
            return
        now = current_time()
        took, start, trace = (now - caller.asked_at) * 1e3, caller.start, caller.ask.trace
        if start is None:
            trace.queue_ms += took
        else:
            trace.add(CallAttempt(start.spec.id, "cancelled", took, start.kind))
        self._forget(caller)
        self._carry_out(self._scheduler.on_cancel(caller.number, now))

    def _forget(self, caller: Caller) -> None:
        caller.over = True
        del self._callers[caller.number]

    # -- effects ----------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start():
                    self._let_start(effect)
                case Fail():
                    self._let_fail(effect)
                case Cancel():
                    self._stop(effect)
                case RetryAt():
                    self._tell_retry(effect)
                case Probe() | Check() | Look() | Load() | Unload():
                    self._errands.waiting.append(effect)
                case StateChanged():
                    self._tell_state(effect)
                case Relist():
                    self._on_missing(effect.endpoint)
        if (self._errands.waiting or self._scheduler.due < self._sleeps_until) and self._alarm is not None:
            self._sleeps_until = -inf  # it is awake already
            self._alarm.set()

    def _let_start(self, effect: Start) -> None:
        caller = self._callers[effect.call]
        caller.start = effect
        caller.ask.trace.passed = effect.passed or caller.ask.trace.passed
        caller.scope = caller.stopped_by = None  # a stop is of one attempt, also where that ended before it was heard
        if caller.turn is not None:
            caller.turn.set()
            caller.turn = None
        if effect.kind == "fallback":
            self._tell("run.fallback", {"endpoint": effect.spec.id}, caller.ask.call.request_id)

    def _let_fail(self, effect: Fail) -> None:
        caller = self._callers[effect.call]
        self._forget(caller)
        caller.error = effect.error
        if caller.turn is not None:
            caller.turn.set()
            caller.turn = None

    def _stop(self, effect: Cancel) -> None:
        caller = self._callers[effect.call]
        caller.stopped_by = effect.error
        if caller.scope is not None:
            caller.scope.cancel()

    def _tell_retry(self, effect: RetryAt) -> None:
        caller = self._callers[effect.call]
        fields = {
            "endpoint": effect.endpoint,
            "error": type(effect.error).__name__,
            "message": effect.error.message,
            "in_s": round(effect.at - caller.asked_at, 3),
        }
        self._tell("run.retry", fields, caller.ask.call.request_id)

    def _tell_state(self, effect: StateChanged) -> None:
        self._tell("endpoint.state", {"endpoint": effect.endpoint, "state": effect.state, "reason": effect.reason})

    def _tell(self, kind: EventKind, fields: Mapping[str, object], run: str = "") -> None:
        if self._on_event is not None:
            self._on_event(Event(kind, time.time(), run=run, fields=fields))
