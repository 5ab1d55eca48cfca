"""Where calls go: they start, wait, are sent on, or fail. The part of the scheduler that all its events share."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count
from math import inf

from orchestrator.core.errors import (
    ContextTooLong,
    ModelError,
    ModelNotFound,
    RunCancelled,
    RunError,
    Stalled,
    Unreachable,
)
from orchestrator.deploy.backoff import Jitter
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.serve.effect import Effect, Fail, Relist, RetryAt, Start, StartKind, StateChanged
from orchestrator.serve.fallback import after_load_failure, onward, told_of
from orchestrator.serve.places import Places
from orchestrator.serve.scheduler_affinity import Affinity
from orchestrator.serve.scheduler_choice import least_bad, left, passed_over, soon_usable, usable
from orchestrator.serve.scheduler_faults import (
    misses_deadline,
    queue_full,
    too_late,
    why_none,
)
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.serve.scheduler_queue import Call, Lane
from orchestrator.serve.scheduler_stalls import blamed_after, first_look, silent_since


class Dispatch:
    """Calls and lanes, and what happens to them. ``due`` is when the scheduler wants its next tick."""

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
        self._freed: dict[Places, None] = {}  # to be given away before the event ends
        self._models = Affinity(limits.affinity, limits.backoff, jitter, self)

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Every endpoint with its line, those that drain too. To be read, not changed."""
        return self._lanes

    # -- where a call goes ------------------------------------------------------------------------------------------

    def _place(self, call: Call, now: float) -> None:
        """Start it, let it wait, or fail it."""
        lanes: tuple[Lane, ...] = ()
        if now >= call.new.deadline:
            self._fail(call, too_late(call))
            return
        if len(call.given_up) < self.limits.candidates:
            lanes = usable(call, self._lanes, now) or soon_usable(call, self._lanes) or self._forced(call, now)
        if not lanes:
            self._fail(call, why_none(call, self._lanes, now))
            return
        free = [lane for lane in lanes if not lane.waiting and lane.endpoint.has_room] if call.may_begin else []
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
        if call.place is not None and call.place.begin():
            self._freed[call.place.places] = None  # its other calls may begin too, wherever they wait
        kind: StartKind = "first"
        for_model = 0.0
        if lane.resident is not None:
            for_model = max(0.0, lane.resident.open_since - call.waits_since)
            self._models.began(lane.resident, now)
        if call.began_once:
            kind = "retry" if call.lane is lane else "fallback"
        if call.lane is not lane:
            call.failures, call.stale_before = 0, False
        call.phase, call.lane, call.epoch = "running", lane, endpoint.epoch
        call.began_once, call.stopped, call.got_token = True, False, False
        call.streams = call.new.streaming or (call.new.in_pieces and endpoint.spec.shows_progress)
        call.waits_since = inf
        call.started = call.last_progress = now
        endpoint.unheard.resume(now, endpoint.rules.stall_after)
        begins = now if endpoint.unheard else now + first_look(self.limits.endpoint)
        self._look_at(endpoint, min(call.new.deadline, begins))
        window = endpoint.window
        passed = () if endpoint.spec.id == call.new.candidates[0] else passed_over(call, lane, self._lanes)
        asks = lane.resident is None and endpoint.hides_window
        beside = call.joined.get(endpoint.spec.id, "")
        start = Start(
            call.new.call, endpoint.spec, kind, endpoint.called, for_model, window, passed, call.streams, asks, beside
        )
        self._effects.append(start)

    def _wait(self, call: Call, lanes: tuple[Lane, ...], now: float) -> None:
        with_room = tuple(lane for lane in lanes if lane.room_for(call)) if self._may_wait(call) else ()
        if not with_room:
            self._fail(call, queue_full(lanes))
            return
        if self._closed:
            self._fail(call, RunCancelled("the runtime stops"))
            return
        if len(with_room) > 1:  # of equals, nothing is loaded for a call that one serves whose model is there
            with_room = tuple(lane for lane in with_room if lane.endpoint.away is None) or with_room
        hopeless = misses_deadline(call, now, with_room, next_in_line=False)
        if hopeless is not None:
            self._models.wish(with_room)
            self._fail(call, hopeless)
            return
        call.phase, call.lanes = "waiting", with_room
        call.waits_since = min(call.waits_since, now)
        call.ticket += 1
        for lane in with_room:
            lane.add(call)
            if lane.resident is not None:
                self._models.touch(lane.resident)
        self._set_timer(call, min(call.new.deadline, self._patience_ends(call)))
        if call.place is not None:
            call.place.queue(call.rank)
        for lane in with_room:
            self._dispatch(lane, now)
        if call.phase == "waiting":
            self._rest(call)

    def _may_wait(self, call: Call) -> bool:
        """Of a class no more wait than may, in all lines together, where the requests of its deployment are limited."""
        place = call.place
        if place is None or place.places.limit is None or call.let_in:
            return True
        length = call.new.length if call.new.length is not None else self.limits.classes[call.new.priority].length
        return place.places.waits[call.rank] < length

    def _rest(self, call: Call) -> None:
        """It waits: its request needs no place meanwhile."""
        if call.place is not None and call.place.rest() and call.place.places.limit is not None:
            self._freed[call.place.places] = None

    def _share(self, places: Places, now: float) -> None:
        """Give away what is free: to the most urgent whose model can answer now, or of those as urgent to a function first, which
        is done soon. What nobody can use waits for whoever's model comes. Whose request came in meanwhile needs none."""
        while True:
            heads = [
                (head, lane)
                for lane in self._lanes.values()
                if lane.waiting and lane.endpoint.has_room and (head := lane.head(now)) is not None
            ]
            (urgency, call), lane = min(heads, key=lambda each: each[0][0], default=((None, None), None))
            function = places.most_urgent(now) if places.free else None
            if function is not None and (urgency is None or function <= urgency[0]):
                places.let_one_in(now)
            elif call is not None and lane is not None:
                self._begin(call, lane, now)
            else:
                break
        for lane in self._lanes.values():
            if lane.waiting and lane.resident is not None:
                self._models.touch(lane.resident)

    def _dispatch(self, lane: Lane, now: float) -> None:
        """Start whoever's turn it is, as long as there is room."""
        while lane.waiting and lane.endpoint.has_room:
            head = lane.head(now)
            if head is None:
                break  # who waits has no place
            self._begin(head[1], lane, now)
        if lane.endpoint.removed:
            self._forget_gone()

    def _begin(self, call: Call, lane: Lane, now: float) -> None:
        """It is its turn."""
        self._leave_lanes(call)
        late = too_late(call) if now >= call.new.deadline else None
        late_soon = late or misses_deadline(call, now, (lane,), next_in_line=True)
        if late_soon is not None:
            self._fail(call, late_soon)
        else:
            self._start(call, lane, now)

    def _leave_lanes(self, call: Call) -> None:
        if call.lanes and call.place is not None:
            call.place.unqueue(call.rank)
        for lane in call.lanes:
            lane.discard(call)
            if lane.resident is not None:
                self._models.touch(lane.resident)
        call.lanes = ()
        call.ticket += 1

    def _fail(self, call: Call, error: RunError) -> None:
        self._leave_lanes(call)
        self._calls.pop(call.new.call, None)
        self._effects.append(Fail(call.new.call, error))

    def _end_attempt(self, call: Call, lane: Lane, now: float) -> None:
        """It runs there no more."""
        lane.endpoint.in_flight -= 1
        if call.place is not None and call.place.pause():
            self._freed[call.place.places] = None
        if lane.resident is not None:
            self._models.ended(lane.resident, now)

    # -- what the end of an attempt means ---------------------------------------------------------------------------

    def _judge_success(self, call: Call, lane: Lane, now: float, wrote: int) -> None:
        endpoint = lane.endpoint
        if call.epoch == endpoint.epoch:
            endpoint.succeeded(now - call.started, now, wrote)
            if endpoint.state != "ready" or endpoint.capacity != endpoint.most:
                self._settle(lane, now)
        elif endpoint.breaker.stalled and call.epoch == endpoint.epoch - 1:
            endpoint.woke(now)
            self._settle(lane, now)

    def _judge_silence(self, call: Call, lane: Lane, now: float) -> None:
        """The deadline passed. If nothing came for very long the server is to blame, else the deadline was short."""
        endpoint, since = lane.endpoint, silent_since(call, lane)
        if call.epoch != endpoint.epoch or now - since < blamed_after(call, endpoint):
            return
        fault = Stalled(f"no sign of life for {now - since:.0f} s")
        if endpoint.watch.says(since) in (
            "hangs",
            "silent",
        ):  # who looked saw none either: the next call would hang as long
            endpoint.stalled(fault, now, self._jitter, call.new.prompt)
            self._settle(lane, now)
        else:
            self._judge_fault(call, lane, fault, now)

    def _judge_fault(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        if call.epoch == lane.endpoint.epoch:
            lane.endpoint.failed(error, now, self._jitter)
            self._tell_missing(lane, error)
            self._settle(lane, now)

    def _tell_missing(self, lane: Lane, error: ModelError | None) -> None:
        """What a server lists was wrong, where it has not the model; the cloud lists nothing that anybody looks at."""
        if isinstance(error, ModelNotFound) and lane.endpoint.spec.target.zone != "cloud":
            self._effects.append(Relist(lane.endpoint.spec.id))

    def _after_fault(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        what = onward(error, call.facts(self._retries(call, lane, error, now)))
        call.error = error
        if what == "again":  # free, and not counted; where it has no room meanwhile, the call waits for its turn
            call.stale_before = True
            if lane.endpoint.has_room:
                self._start(call, lane, now)
            else:
                self._place(call, now)
            return
        self._judge_fault(call, lane, error, now)
        if what == "stop":
            self._fail(call, error)
        elif what == "wait":
            self._place(call, now)
        elif what == "retry" or (what == "elsewhere" and not self._others(call, lane)):
            self._back_off(call, lane, error, now)
        else:
            self._give_up(call, lane, now)

    def _retries(self, call: Call, lane: Lane, error: ModelError, now: float) -> int:
        """How often it may be tried again there. A server that we start is started again when it dies: for a while it is waited
        for, where nobody else can answer."""
        comes_back = lane.endpoint.spec.started and isinstance(error, Unreachable)
        soon = comes_back and now - call.submitted < self.limits.restart
        return max(self.limits.retries, call.failures + 1) if soon else self.limits.retries

    def _others(self, call: Call, lane: Lane) -> bool:
        others = (other.endpoint for other in left(call, self._lanes) if other is not lane)
        return any(other.serves_before(call.waits_until(other)) for other in others)

    def _back_off(self, call: Call, lane: Lane, error: ModelError, now: float) -> None:
        at = now + self.limits.backoff.delay(call.failures, self._jitter)
        if at >= call.new.deadline or self._closed:
            self._give_up(call, lane, now)
            return
        call.failures += 1
        call.phase = "backoff"
        call.ticket += 1
        self._set_timer(call, at)
        self._rest(call)
        self._effects.append(RetryAt(call.new.call, lane.endpoint.spec.id, at, error))

    def _give_up(self, call: Call, lane: Lane, now: float) -> None:
        """Never again on this endpoint; on to the next one."""
        context = lane.endpoint.window or lane.endpoint.spec.context or 0
        if isinstance(call.error, ContextTooLong):
            call.needs_context = max(call.needs_context or 0, context)
        if call.error is not None and call.lane is not lane:
            call.unasked = (*call.unasked, (lane.endpoint.spec.id, call.error.message))
        call.given_up = (*call.given_up, lane.endpoint.spec.id)
        self._place(call, now)

    def blame(self, lane: Lane, error: ModelError, now: float) -> None:
        """Its model could not be loaded: judge the endpoint once, and send on every call that waits in vain."""
        lane.endpoint.failed(error, now, self._jitter)
        self._tell_missing(lane, error)
        self.settle(lane, now)
        for call in lane.everyone():
            if lane not in call.lanes:
                continue  # sending another one on has let it start
            call.error = told_of(error)
            call.failures += 1
            others = self._others(call, lane)
            if others or after_load_failure(error, call.facts(self.limits.retries)) == "next":
                self._leave_lanes(call)
                self._give_up(call, lane, now)

    def send_on(self, lane: Lane, error: ModelError, now: float) -> None:
        """Every call that waits here and can go elsewhere does; nothing failed."""
        for call in lane.everyone():
            if lane in call.lanes and self._others(call, lane):
                call.error = told_of(error)
                self._leave_lanes(call)
                self._give_up(call, lane, now)

    # -- effects ---------------------------------------------------------------------------------------------------

    def _set_timer(self, call: Call, at: float) -> None:
        if len(self._timers) > 2 * len(self._calls) + 64:  # most are of calls that did not wait so long
            self._timers = [timer for timer in self._timers if timer[2] == timer[3].ticket]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (at, next(self._order), call.ticket, call))
        self.due = min(self.due, at)

    def _patience_ends(self, call: Call) -> float:
        """When it has waited longer than its class may. A call that was let in once waits until its deadline."""
        if call.let_in:
            return inf
        patience = call.new.patience
        return call.submitted + (self.limits.classes[call.new.priority].timeout if patience is None else patience)

    def _look_at(self, endpoint: Endpoint, at: float) -> None:
        if at < endpoint.look_at:
            endpoint.look_at = at
            self.due = min(self.due, at)

    def emit(self, effect: Effect) -> None:
        """Ask the loop for something."""
        self._effects.append(effect)

    def settle(self, lane: Lane, now: float) -> None:
        """Bring an endpoint's state up to date, and start who can start."""
        self._settle(lane, now)
        self._dispatch(lane, now)

    def _settle(self, lane: Lane, now: float) -> None:
        """Bring an endpoint's state up to date, tell of a change, and send away who waits there in vain."""
        endpoint = lane.endpoint
        if endpoint.settle():
            self._effects.append(StateChanged(endpoint.spec.id, endpoint.state, endpoint.trouble))
        self.due = min(self.due, endpoint.changes_at)
        if lane.waiting and (endpoint.hold is not None or not endpoint.takes_calls):
            for call in lane.everyone():
                in_vain = not endpoint.serves_before(call.waits_until(endpoint))
                if in_vain and lane in call.lanes:  # those before it may have let it start elsewhere
                    self._leave_lanes(call)
                    self._place(call, now)

    def _forget_gone(self) -> None:
        for name, lane in list(self._lanes.items()):
            if lane.endpoint.removed and not lane.endpoint.in_flight:
                del self._lanes[name]
                self._models.leave(lane)
                if lane.endpoint.settle():
                    self._effects.append(StateChanged(name, lane.endpoint.state))

    def _take(self, now: float) -> list[Effect]:
        """End an event: what is to be loaded now follows from all of it."""
        while self._freed or (self._models.dirty and not self._closed):
            if self._freed:
                self._share(self._freed.popitem()[0], now)
                continue
            self._models.settle(now)
            self.due = min(self.due, self._models.look_at)
        return self._emitted()

    def _emitted(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
