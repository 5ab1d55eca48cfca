"""The scheduler: a state machine that decides which call goes to which endpoint, and when. Events in, effects out.

It is the one owner of all endpoint state. It never waits, and knows no clock, log or I/O: every event brings the time
(seconds of one monotonic clock), and the ``loop`` carries out what it returns. Between a ``Start`` and the ``on_finish``
or ``on_cancel`` of that call, the call holds one slot of its endpoint.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import count
from math import inf

from orchestrator.core.errors import ContextTooLong, ModelError, RunCancelled, RunError, Stalled
from orchestrator.deploy.backoff import Jitter
from orchestrator.deploy.endpoint import Endpoint, EndpointSpec
from orchestrator.serve.effect import Cancel, Effect, Fail, Probe, RetryAt, Start, StartKind, StateChanged
from orchestrator.serve.fallback import verdict
from orchestrator.serve.scheduler_choice import least_bad, left, soon_usable, usable
from orchestrator.serve.scheduler_faults import (
    misses_deadline,
    no_progress,
    out_of_time,
    queue_full,
    silent_since,
    stalls_at,
    too_late,
    waited_too_long,
    why_none,
)
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.serve.scheduler_queue import Call, Lane, Submission


class Scheduler:
    """Calls, lanes and endpoints. ``due`` is when ``on_tick`` is wanted next (it may be early, never late)."""

    def __init__(self, limits: SchedulerLimits, jitter: Jitter) -> None:
        self.limits = limits
        self.due = inf
        self._jitter = jitter
        self._lanes: dict[str, Lane] = {}
        self._calls: dict[int, Call] = {}
        self._timers: list[tuple[float, int, int, Call]] = []  # (at, order, the call's ticket, call)
        self._order = count()
        self._effects: list[Effect] = []
        self._closed = False

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Every endpoint with its line, those that drain too. To be read, not changed."""
        return self._lanes

    # -- events -----------------------------------------------------------------------------------------------------

    def on_endpoints(self, specs: Mapping[str, EndpointSpec], now: float) -> list[Effect]:
        """These are the endpoints from now on. Calls on removed ones finish; calls that wait for them go elsewhere."""
        for name, spec in specs.items():
            lane = self._lanes.get(name)
            if lane is None:
                self._lanes[name] = Lane(Endpoint(spec, self.limits.endpoint, now), self.limits)
            elif lane.endpoint.removed or lane.endpoint.spec != spec:
                lane.endpoint.respec(spec, now)
                self._settle(lane, now)
                self._dispatch(lane, now)
        for name, lane in list(self._lanes.items()):
            if name not in specs and not lane.endpoint.removed:
                lane.endpoint.removed = True
                self._settle(lane, now)
        self._forget_gone()
        self.due = min(self.due, now)
        return self._take()

    def on_mended(self, names: Iterable[str], now: float) -> list[Effect]:
        """Somebody says that these endpoints may be well again: those that rest get a call as a trial."""
        for name in names:
            lane = self._lanes.get(name)
            if lane is not None and not lane.endpoint.removed:
                lane.endpoint.try_now()
                self._settle(lane, now)
                self._dispatch(lane, now)
        return self._take()

    def on_submit(self, new: Submission, now: float) -> list[Effect]:
        """A call wants an endpoint. Numbers of calls go up; the number is its place in line."""
        call = Call(new, now)
        self._calls[new.call] = call
        self._place(call, now)
        return self._take()

    def on_progress(self, number: int, now: float) -> None:
        """A piece of a stream has come. Until ``on_wait`` its consumer has the turn, so that silence means nothing."""
        call = self._calls[number]
        endpoint = call.running_on().endpoint
        if not call.got_token:
            call.got_token = True
            endpoint.first_tokens.add(now - call.started)
        endpoint.last_progress = now
        call.last_progress = inf

    def on_wait(self, number: int, now: float) -> None:
        """The consumer of a stream wants the next piece."""
        self._calls[number].last_progress = now

    def on_commit(self, number: int) -> None:
        """A part of the answer has reached the caller: from now on the call can only end, not move."""
        self._calls[number].committed = True

    def on_finish(self, number: int, now: float, error: RunError | None = None) -> list[Effect]:
        """An attempt ended: well, or with a fault of the server, or because the deadline passed."""
        call = self._calls[number]
        lane = call.running_on()
        lane.endpoint.in_flight -= 1
        if error is None:
            del self._calls[number]
            self._judge_success(call, lane, now)
        elif isinstance(error, ModelError):
            self._after_fault(call, lane, error, now)
        else:
            self._judge_silence(call, lane, now)
            self._fail(call, error)
        if lane.waiting or lane.endpoint.removed:
            self._dispatch(lane, now)
        return self._take()

    def on_cancel(self, number: int, now: float) -> list[Effect]:
        """The caller went away; a running attempt has been cancelled. Says nothing about the endpoint."""
        call = self._calls.pop(number)
        if call.phase == "waiting":
            self._leave_lanes(call)
        elif call.phase == "running":
            lane = call.running_on()
            lane.endpoint.in_flight -= 1
            self._dispatch(lane, now)
        return self._take()

    def on_probe(self, name: str, ok: bool, now: float) -> list[Effect]:
        """A probe ended: ``ok`` if the right make of server answered."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.endpoint.probed(ok, now, self._jitter)
            self._settle(lane, now)
            self._dispatch(lane, now)
            self.due = min(self.due, lane.endpoint.probe_due)
        return self._take()

    def on_tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        self._closed = False
        for lane in list(self._lanes.values()):
            self._tick_lane(lane, now)
        while self._timers and self._timers[0][0] <= now:
            _, _, ticket, call = heapq.heappop(self._timers)
            if call.ticket == ticket and self._calls.get(call.new.call) is call:
                self._on_timer(call, now)
        for lane in self._lanes.values():
            if lane.endpoint.probe_due <= now:
                lane.endpoint.health.probing = True
                self._effects.append(Probe(lane.endpoint.spec))
        self.due = self._next_due()
        return self._take()

    def on_close(self) -> list[Effect]:
        """No more ticks will come: calls that wait, or would have to, are told so."""
        self._closed = True
        for call in [call for call in self._calls.values() if call.phase != "running"]:
            self._fail(call, RunCancelled("the runtime stops"))
        return self._take()

    # -- where a call goes ------------------------------------------------------------------------------------------

    def _place(self, call: Call, now: float) -> None:
        """Start it, let it wait, or fail it."""
        lanes: tuple[Lane, ...] = ()
        if now >= call.new.deadline:
            self._fail(call, too_late(call))
            return
        if len(call.given_up) < self.limits.candidates:
            lanes = usable(call, self._lanes) or soon_usable(call, self._lanes) or self._forced(call, now)
        if not lanes:
            self._fail(call, why_none(call, self._lanes, now))
            return
        free = [lane for lane in lanes if not lane.waiting and lane.endpoint.has_room]
        if free:
            self._start(call, min(free, key=Lane.load) if len(free) > 1 else free[0], now)
        else:
            self._wait(call, lanes, now)

    def _forced(self, call: Call, now: float) -> tuple[Lane, ...]:
        lane = least_bad(call, self._lanes)
        if lane is None:
            return ()
        lane.endpoint.force()
        self._settle(lane, now)
        return (lane,)

    def _start(self, call: Call, lane: Lane, now: float) -> None:
        endpoint = lane.endpoint
        endpoint.in_flight += 1
        kind: StartKind = "first"
        if call.began_once:
            kind = "retry" if call.lane is lane else "fallback"
        if call.lane is not lane:
            call.failures, call.stale_before = 0, False
        call.phase, call.lane, call.epoch = "running", lane, endpoint.epoch
        call.began_once, call.stopped, call.got_token = True, False, False
        call.started = call.last_progress = now
        self._look_at(endpoint, min(call.new.deadline, now + self.limits.endpoint.stall_after))
        self._effects.append(Start(call.new.call, endpoint.spec, kind))

    def _wait(self, call: Call, lanes: tuple[Lane, ...], now: float) -> None:
        with_room = tuple(lane for lane in lanes if lane.room_for(call))
        if not with_room:
            self._fail(call, queue_full(lanes))
            return
        if self._closed:
            self._fail(call, RunCancelled("the runtime stops"))
            return
        hopeless = misses_deadline(call, now, with_room, next_in_line=False)
        if hopeless is not None:
            self._fail(call, hopeless)
            return
        call.phase, call.lanes = "waiting", with_room
        call.ticket += 1
        for lane in with_room:
            lane.add(call)
        self._set_timer(call, min(call.new.deadline, self._patience_ends(call)))
        for lane in with_room:
            self._dispatch(lane, now)

    def _dispatch(self, lane: Lane, now: float) -> None:
        """Start whoever's turn it is, as long as there is room."""
        while lane.waiting and lane.endpoint.has_room:
            call = lane.first(now)
            self._leave_lanes(call)
            late = too_late(call) if now >= call.new.deadline else None
            late_soon = late or misses_deadline(call, now, (lane,), next_in_line=True)
            if late_soon is not None:
                self._fail(call, late_soon)
            else:
                self._start(call, lane, now)
        if lane.endpoint.removed:
            self._forget_gone()

    def _leave_lanes(self, call: Call) -> None:
        for lane in call.lanes:
            lane.discard(call)
        call.lanes = ()
        call.ticket += 1

    def _fail(self, call: Call, error: RunError) -> None:
        self._leave_lanes(call)
        self._calls.pop(call.new.call, None)
        self._effects.append(Fail(call.new.call, error))

    # -- what the end of an attempt means ---------------------------------------------------------------------------

    def _judge_success(self, call: Call, lane: Lane, now: float) -> None:
        endpoint = lane.endpoint
        if call.epoch == endpoint.epoch:
            endpoint.succeeded(now - call.started, now)
            if endpoint.state != "ready" or endpoint.capacity != endpoint.spec.slots:
                self._settle(lane, now)

    def _judge_silence(self, call: Call, lane: Lane, now: float) -> None:
        """The deadline passed. If nothing came for very long the server is to blame, else the deadline was short."""
        silent = now - silent_since(call, lane)
        if call.epoch == lane.endpoint.epoch and silent >= self.limits.endpoint.stall_after:
            self._judge_fault(call, lane, Stalled(f"no sign of life for {silent:.0f} s"), now)

    def _judge_fault(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        if call.epoch == lane.endpoint.epoch:
            lane.endpoint.failed(error, now, self._jitter)
            self._settle(lane, now)

    def _after_fault(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        what = verdict(error, call.facts(self.limits.retries))
        call.error = error
        if what == "again" and lane.endpoint.has_room:
            call.stale_before = True
            self._start(call, lane, now)
            return
        self._judge_fault(call, lane, error, now)
        if what == "stop":
            self._fail(call, error)
        elif what in ("wait", "again"):
            self._place(call, now)
        elif what == "retry" or (what == "elsewhere" and not self._others(call, lane)):
            self._back_off(call, lane, error, now)
        else:
            self._give_up(call, lane, now)

    def _others(self, call: Call, lane: Lane) -> bool:
        return any(other is not lane and other.endpoint.takes_calls for other in left(call, self._lanes))

    def _back_off(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        at = now + self.limits.backoff.delay(call.failures, self._jitter)
        if at >= call.new.deadline or self._closed:
            self._give_up(call, lane, now)
            return
        call.failures += 1
        call.phase = "backoff"
        call.ticket += 1
        self._set_timer(call, at)
        self._effects.append(RetryAt(call.new.call, lane.endpoint.spec.id, at, error))

    def _give_up(self, call: Call, lane: Lane, now: float) -> None:
        """Never again on this endpoint; on to the next one."""
        context = lane.endpoint.spec.context or 0
        if isinstance(call.error, ContextTooLong):
            call.needs_context = max(call.needs_context or 0, context)
        call.given_up = (*call.given_up, lane.endpoint.spec.id)
        self._place(call, now)

    # -- time -------------------------------------------------------------------------------------------------------

    def _set_timer(self, call: Call, at: float) -> None:
        if len(self._timers) > 2 * len(self._calls) + 64:  # most are of calls that did not wait so long
            self._timers = [timer for timer in self._timers if timer[2] == timer[3].ticket]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (at, next(self._order), call.ticket, call))
        self.due = min(self.due, at)

    def _patience_ends(self, call: Call) -> float:
        """When it has waited longer than its class may. A call that was let in once waits until its deadline."""
        if call.began_once:
            return inf
        patience = call.new.patience
        return call.submitted + (self.limits.classes[call.new.priority].timeout if patience is None else patience)

    def _on_timer(self, call: Call, now: float) -> None:
        if call.phase == "backoff":
            self._place(call, now)
        elif now >= call.new.deadline:
            self._fail(call, too_late(call))
        elif any(lane.endpoint.capacity < lane.endpoint.spec.slots for lane in call.lanes):
            # The server loads its model or comes back from trouble: no overload, so only the deadline ends the wait.
            self._set_timer(call, call.new.deadline)
        else:
            self._fail(call, waited_too_long(call, now))

    def _tick_lane(self, lane: Lane, now: float) -> None:
        endpoint = lane.endpoint
        if endpoint.changes_at <= now:
            endpoint.advance(now)
            self._settle(lane, now)
            self._dispatch(lane, now)
        if endpoint.look_at <= now:
            self._look_after(lane, now)

    def _look_after(self, lane: Lane, now: float) -> None:
        """Stop the calls on an endpoint that have no time left, or make no progress."""
        endpoint = lane.endpoint
        endpoint.look_at = inf
        for call in self._calls.values():
            if call.lane is not lane or call.phase != "running" or call.stopped:
                continue
            fault = out_of_time(call, now) or no_progress(call, now, lane)
            if fault is None:
                again = now + self.limits.endpoint.stall_after
                self._look_at(endpoint, min(call.new.deadline, stalls_at(call, lane), again))
                continue
            call.stopped = True
            if isinstance(fault, Stalled) and call.epoch == endpoint.epoch:
                endpoint.stalled(fault, now, self._jitter)
            self._effects.append(Cancel(call.new.call, fault))
        self._settle(lane, now)

    def _look_at(self, endpoint: Endpoint, at: float) -> None:
        if at < endpoint.look_at:
            endpoint.look_at = at
            self.due = min(self.due, at)

    def _next_due(self) -> float:
        due = self._timers[0][0] if self._timers else inf
        return min(due, min((lane.due for lane in self._lanes.values()), default=inf))

    def _settle(self, lane: Lane, now: float) -> None:
        """Bring an endpoint's state up to date, tell of a change, and send away who waits where no call is taken."""
        endpoint = lane.endpoint
        if endpoint.settle():
            self._effects.append(StateChanged(endpoint.spec.id, endpoint.state, endpoint.trouble))
        self.due = min(self.due, endpoint.changes_at)
        if lane.waiting and not endpoint.takes_calls:
            for call in lane.everyone():
                if lane in call.lanes:  # those before it may have let it start elsewhere
                    self._leave_lanes(call)
                    self._place(call, now)

    def _forget_gone(self) -> None:
        for name, lane in list(self._lanes.items()):
            if lane.endpoint.removed and not lane.endpoint.in_flight:
                del self._lanes[name]
                if lane.endpoint.settle():
                    self._effects.append(StateChanged(name, lane.endpoint.state))

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
