"""The scheduler: a state machine that decides which call goes to which endpoint, and when. Events in, effects out.

It is the one owner of all endpoint state. It never waits, and knows no clock, log or I/O: every event brings the time
(seconds of one monotonic clock), and the ``loop`` carries out what it returns. Between a ``Start`` and the ``on_finish``
or ``on_cancel`` of that call, the call holds one slot of its endpoint.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from math import inf
from types import MappingProxyType
from typing import Final

from orchestrator.core.errors import ModelError, RunCancelled, RunError, Stalled
from orchestrator.deploy.endpoint import Endpoint, EndpointSpec
from orchestrator.deploy.residence import PoolLimits
from orchestrator.deploy.watch import Word
from orchestrator.ports.lifecycle import Loaded
from orchestrator.serve.effect import Cancel, Check, Effect, Look, Probe
from orchestrator.serve.places import Places
from orchestrator.serve.scheduler_choice import usable
from orchestrator.serve.scheduler_doubt import Doubts
from orchestrator.serve.scheduler_faults import (
    out_of_time,
    too_late,
    waited_too_long,
)
from orchestrator.serve.scheduler_queue import Call, Lane, Submission
from orchestrator.serve.scheduler_stalls import Silence, Verdict

LATE: Final = 5.0
"""Seconds that a tick comes late only where nobody could listen to servers either."""
NO_EPOCH: Final = -1
"""Of a call whose end says nothing about its endpoint."""
NO_POOLS: Final[Mapping[str, PoolLimits]] = MappingProxyType({})


class Scheduler(Doubts):
    """Calls, lanes and endpoints. ``due`` is when ``on_tick`` is wanted next (it may be early, never late)."""

    # -- events -----------------------------------------------------------------------------------------------------

    def on_endpoints(
        self, specs: Mapping[str, EndpointSpec], now: float, pools: Mapping[str, PoolLimits] = NO_POOLS
    ) -> list[Effect]:
        """These are the endpoints from now on, and the memories that their models share. Calls on removed ones finish; calls
        that wait for them go elsewhere."""
        others = self._models.limit(pools, {spec.residence.model for spec in specs.values() if spec.residence})
        fresh: list[Lane] = []
        for name, spec in specs.items():
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane(Endpoint(spec, self.limits.endpoint, now), self.limits)
                fresh.append(lane)
            elif lane.endpoint.removed or lane.endpoint.spec != spec:
                lane.endpoint.respec(spec, now)
            elif not others:
                continue
            lane.endpoint.save(saving=self._models.saving)
            self._models.join(lane, now)
            self.settle(lane, now)
        for name, lane in list(self._lanes.items()):
            if name not in specs and not lane.endpoint.removed:
                lane.endpoint.removed = True
                self._settle(lane, now)
        for lane in fresh:
            self._share_line(lane, now)
        self._forget_gone()
        self.due = min(self.due, now)
        return self._take(now)

    def on_mended(self, names: Iterable[str], now: float, *, asked: bool = False) -> list[Effect]:
        """Somebody says that these endpoints may be well again, or has ``asked`` for a try of them: those that rest get a call as
        a trial."""
        for name in names:
            lane = self._lanes.get(name)
            if lane is not None and not lane.endpoint.removed:
                lane.endpoint.try_now(asked=asked)
                self.settle(lane, now)
        return self._take(now)

    def on_loaded(self, model: str, outcome: Loaded | ModelError, now: float) -> list[Effect]:
        """A ``Load`` ended."""
        self._models.loaded(model, outcome, now)
        return self._take(now)

    def on_told(self, name: str, window: int) -> None:
        """A server told the window of an endpoint, whose model it had loaded for a call."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.endpoint.window = window

    def on_unloaded(self, model: str, error: ModelError | None, now: float) -> list[Effect]:
        """An ``Unload`` ended."""
        self._models.unloaded(model, error, now)
        return self._take(now)

    def on_seen(self, loaded: Mapping[str, bool], since: float, now: float) -> list[Effect]:
        """Somebody looked, from ``since`` on, which models are loaded: what servers and users did by themselves."""
        for name, lane in self._lanes.items():
            there = loaded.get(name.partition("#")[0])  # without its key: what is loaded is there for all
            if there is not None and lane.resident is None:
                lane.endpoint.seen(loaded=there, now=now)
                self.due = min(self.due, lane.endpoint.check_due)
        self._models.seen(loaded, since, now)
        return self._take(now)

    def on_foresee(self, run: str, names: Iterable[str], now: float) -> list[Effect]:
        """A run tells which endpoints it is likely to call next; this replaces what it told before. Nothing, when it ends."""
        self._models.expect(run, [lane for name in names if (lane := self._lanes.get(name)) is not None])
        return self._take(now)

    def on_power(self, now: float, *, saving: bool) -> list[Effect]:
        """The device runs on its battery, or on mains again: take fewer calls where the specs say so, load nothing ahead."""
        self._models.save(saving=saving)
        for lane in list(self._lanes.values()):
            lane.endpoint.save(saving=saving)
            self.settle(lane, now)
            self.due = min(self.due, lane.endpoint.check_due)
        return self._take(now)

    def on_measured(self, free: int | None, now: float) -> list[Effect]:
        """So much of the device's memory is free, in bytes: nothing is loaded ahead that does not fit there."""
        self._models.measure(free, now)
        return self._take(now)

    def on_freed(self, places: Places, now: float) -> list[Effect]:
        """Requests of a deployment have left their places, or it has more of them."""
        self._freed[places] = None
        return self._take(now)

    def on_submit(self, new: Submission, now: float) -> list[Effect]:
        """A call wants an endpoint. Numbers of calls go up; the number is its place in line."""
        call = Call(new, now)
        self._calls[new.call] = call
        self._place(call, now)
        return self._take(now)

    def on_progress(self, number: int, now: float, *, reading: bool = False) -> None:
        """A piece of a stream has come, or word that the server is ``reading`` the prompt. Until ``on_wait`` its consumer has
        the turn, so that silence means nothing."""
        call = self._calls[number]
        endpoint = call.running_on().endpoint
        if not (call.got_token or reading):
            call.got_token = True
            endpoint.first_token(now - call.started, call.new.prompt)
        endpoint.moved(now)
        call.last_progress = inf

    def on_wait(self, number: int, now: float) -> None:
        """The consumer of a stream wants the next piece."""
        self._calls[number].last_progress = now

    def on_commit(self, number: int) -> None:
        """A part of the answer has reached the caller: from now on the call can only end, not move."""
        self._calls[number].committed = True

    def on_finish(self, number: int, now: float, error: RunError | None = None, wrote: int = 0) -> list[Effect]:
        """An attempt ended: well, having written so many tokens, or with a fault of the server, or because the deadline
        passed."""
        call = self._calls[number]
        lane = call.running_on()
        self._end_attempt(call, lane, now)
        if error is None:
            del self._calls[number]
            self._judge_success(call, lane, now, wrote)
        elif isinstance(error, ModelError):
            self._answered(call, lane, error, now)
            self._after_fault(call, lane, error, now)
        else:
            self._judge_silence(call, lane, now)
            self._fail(call, error)
            self._given_up(call, lane, now)
        if lane.waiting or lane.endpoint.removed:
            self._dispatch(lane, now)
        return self._take(now)

    def on_cancel(self, number: int, now: float) -> list[Effect]:
        """The caller went away; a running attempt has been cancelled. Says nothing about the endpoint, but that it was silent."""
        call = self._calls.pop(number)
        if call.phase == "waiting":
            self._leave_lanes(call)
        elif call.phase == "running":
            lane = call.running_on()
            self._end_attempt(call, lane, now)
            self._given_up(call, lane, now)
            self._dispatch(lane, now)
        return self._take(now)

    def on_probe(self, name: str, ok: bool, now: float) -> list[Effect]:
        """A probe ended: ``ok`` if the right make of server answered."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.endpoint.probed(ok, now, self._jitter)
            self.settle(lane, now)
            self.due = min(self.due, lane.endpoint.probe_due)
        return self._take(now)

    def on_check(self, name: str, epoch: int, error: ModelError | None, began: float, now: float) -> list[Effect]:
        """A ``Check`` that ``began`` then ended: with a token, or with a fault."""
        lane = self._lanes.get(name)
        if lane is not None and lane.endpoint.epoch == epoch and lane.endpoint.health.checking:
            lane.endpoint.checked(error, began, now, self._jitter)
            self._tell_missing(lane, error)
            self.settle(lane, now)
            self.due = min(self.due, lane.endpoint.check_due)
        return self._take(now)

    def on_look(self, name: str, epoch: int, word: Word, now: float) -> list[Effect]:
        """A ``Look`` ended: what the server is seen to do."""
        lane = self._lanes.get(name)
        if lane is not None:
            word = word if lane.endpoint.epoch == epoch else ""
            lane.endpoint.watch.ended(word)
            self._looked(lane, word, now)
            self._look_at(lane.endpoint, now)
        return self._take(now)

    def on_tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        self._closed = False
        if now - self.due > LATE:
            self._begin_to_listen(now)
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
            if lane.endpoint.check_due <= now:
                lane.endpoint.health.checking = True
                timeout = self.limits.endpoint.health.check_timeout
                self._effects.append(Check(lane.endpoint.spec, lane.endpoint.epoch, timeout))
        if self._models.any:
            self._models.tick(now)
        self.due = self._next_due()
        return self._take(now)

    def on_close(self) -> list[Effect]:
        """No more ticks will come: calls that wait, or would have to, are told so."""
        self._closed = True
        self._models.close()
        for call in [call for call in self._calls.values() if call.phase != "running"]:
            self._fail(call, RunCancelled("the runtime stops"))
        return self._emitted()

    # -- time -------------------------------------------------------------------------------------------------------

    def _on_timer(self, call: Call, now: float) -> None:
        if call.phase == "backoff":
            self._place(call, now)
        elif now >= call.new.deadline:
            self._fail(call, too_late(call))
        elif any(lane.endpoint.capacity < lane.endpoint.most for lane in call.lanes):
            # The server loads its model or comes back from trouble: no overload, so only the deadline ends the wait.
            self._set_timer(call, call.new.deadline)
        else:
            self._fail(call, waited_too_long(call, now))

    def _begin_to_listen(self, now: float) -> None:
        """Nobody listened for a while: the process was stopped, or something held its event loop up. What servers said
        meanwhile is still unread, so that silence counts from now on only."""
        for call in self._calls.values():
            if call.phase == "running":
                call.started, call.last_progress = now, max(call.last_progress, now)
                call.running_on().endpoint.last_progress = now
        for lane in self._lanes.values():
            lane.endpoint.unheard.heard(now)

    def _tick_lane(self, lane: Lane, now: float) -> None:
        endpoint = lane.endpoint
        if endpoint.changes_at <= now:
            endpoint.advance(now)
            self.settle(lane, now)
        if endpoint.look_at <= now:
            self._look_after(lane, now)

    def _look_after(self, lane: Lane, now: float) -> None:
        """Stop the calls on an endpoint that have no time left, or make no progress."""
        endpoint = lane.endpoint
        endpoint.look_at = inf
        running = [
            call for call in self._calls.values() if call.lane is lane and call.phase == "running" and not call.stopped
        ]
        silence = Silence(lane, running)
        judged = [(call, silence.verdict(call, now)) for call in running]  # all of them, before any is acted on
        for call, verdict in judged:
            late = out_of_time(call, now)
            if late is None and not self._ends(call, lane, verdict):
                self._watch(call, lane, silence, now)
                continue
            call.stopped = True
            self._effects.append(Cancel(call.new.call, late or self._judged(call, verdict, silence, now)))
        self._settle(lane, now)
        self._doubt(lane, now)

    def _ends(self, call: Call, lane: Lane, verdict: Verdict) -> bool:
        """Whether its silence ends a call; not where its server is only busy or in doubt, and nobody else can take it."""
        elsewhere = verdict in ("busy", "doubted") and call.new.idempotent and self._others(call, lane)
        return verdict in ("lost", "hung") or elsewhere

    def _watch(self, call: Call, lane: Lane, silence: Silence, now: float) -> None:
        """Have its server looked at in time, and come back."""
        endpoint = lane.endpoint
        if silence.look_due(call) <= now:
            self._effects.append(Look(endpoint.spec, endpoint.epoch, silence.look_time(call, now)))
            endpoint.watch.begin(now)
        again = now + self.limits.endpoint.stall_after
        self._look_at(endpoint, min(call.new.deadline, silence.changes_at(call, now), again))

    def _judged(self, call: Call, verdict: Verdict, silence: Silence, now: float) -> Stalled:
        """What is told of a call that its silence ends, and what that says about its server."""
        endpoint, fault = call.running_on().endpoint, silence.fault(call, now, verdict)
        if verdict == "hung" and call.epoch == endpoint.epoch:
            endpoint.stalled(fault, now, self._jitter, silence.longest)
        elif verdict == "lost" and not call.got_token:
            endpoint.speed.waited_in_vain(silence.longest)
        elif verdict in ("busy", "doubted"):
            call.epoch = NO_EPOCH
        return fault

    def _share_line(self, lane: Lane, now: float) -> None:
        """Calls that came before this process of a server, and may be asked at another one of it, may be asked here: those that
        wait are next, by their age, and none that comes later overtakes them."""
        name, crew = lane.endpoint.spec.id, lane.endpoint.spec.crew
        same = {each for each, other in self._lanes.items() if crew and other.endpoint.spec.crew == crew} - {name}
        for call in self._calls.values() if same else ():
            beside = next((each for each in call.new.candidates if each in same), None)
            if beside is None or name in call.new.candidates:
                continue
            call.join(name, beside)
            if call.phase == "waiting" and lane in usable(call, self._lanes, now) and lane.room_for(call):
                call.lanes = (*call.lanes, lane)
                lane.add(call)
        self._dispatch(lane, now)

    def _next_due(self) -> float:
        due = self._timers[0][0] if self._timers else inf
        return min(due, self._models.look_at, min((lane.due for lane in self._lanes.values()), default=inf))
