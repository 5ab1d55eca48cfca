"""The scheduler driven at random: whatever happens in whatever order, its promises hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import cast, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import (
    BadRequest,
    BrokenReply,
    ContextTooLong,
    DeadlinePassed,
    ModelError,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Stalled,
    Unreachable,
)
from orchestrator.deploy.breaker import BreakerRules
from orchestrator.deploy.endpoint import EndpointSpec, EndpointState
from orchestrator.deploy.rules import EndpointRules
from orchestrator.deploy.watch import Word
from orchestrator.ports.provider import Capability, Support, Zone
from orchestrator.serve.effect import Cancel, Check, Effect, Fail, Look, Probe, RetryAt, Start, StateChanged
from orchestrator.serve.scheduler import Scheduler
from orchestrator.serve.scheduler_limits import PRIORITIES, ClassLimits, SchedulerLimits
from orchestrator.serve.scheduler_queue import Submission
from tests.serve.scheduler.machine import spec

NAMES = ("a", "b", "c", "d")
ERRORS: tuple[type[ModelError], ...] = (
    BadRequest,
    BrokenReply,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    Refused,
    ServerBusy,
    ServerFailed,
    StaleConnection,
    Stalled,
    Unreachable,
)
TIMES = {"system": 5.0, "interactive": 5.0, "default": 30.0, "bulk": 120.0}
# A nervous breaker, so that few steps are enough to see it open.
LIMITS = SchedulerLimits(
    classes={name: ClassLimits(3, 30.0, TIMES[name]) for name in PRIORITIES},
    endpoint=EndpointRules(breaker=BreakerRules(consecutive=2)),
)
STATES = set(get_args(EndpointState))

names = st.sampled_from(NAMES)
specs = st.builds(
    lambda one, support: replace(one, capabilities={Capability.LOAD: support}),
    st.builds(
        spec,
        names,
        st.integers(1, 3),
        st.sampled_from(cast("tuple[Zone, ...]", get_args(Zone))),
        st.sampled_from([None, 2048, 8192]),
    ),
    st.sampled_from([Support.NO, Support.YES]),
)


def _endpoints(listed: Sequence[EndpointSpec]) -> dict[str, EndpointSpec]:
    return {one.id: one for one in listed}


class SchedulerMachine(RuleBasedStateMachine):
    """A careful driver: it does what the effects say, and keeps books of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(LIMITS, Random(0).random)
        self.now = 0.0
        self.calls = 0
        self.known: dict[int, Submission] = {}
        self.waiting: set[int] = set()
        self.running: dict[int, str] = {}
        self.ended: set[int] = set()
        self.committed: set[int] = set()
        self.asked_to_stop: dict[int, ModelError | DeadlinePassed] = {}
        self.probing: list[str] = []
        self.checking: list[tuple[Check, float]] = []
        self.looking: list[Look] = []
        self.loaded: dict[str, bool] = {}
        self.specs: dict[str, EndpointSpec] = {}
        self.tried: dict[int, set[str]] = {}
        self.states: dict[str, EndpointState] = {}

    @initialize(listed=st.lists(specs, min_size=1, max_size=4), seed=st.integers(0, 9))
    def begin(self, listed: list[EndpointSpec], seed: int) -> None:
        self.scheduler = Scheduler(LIMITS, Random(seed).random)
        self._replace(listed)

    @rule(listed=st.lists(specs, max_size=4))
    def replace(self, listed: list[EndpointSpec]) -> None:
        self._replace(listed)

    @rule(
        candidates=st.lists(names, min_size=1, max_size=4, unique=True),
        priority=st.sampled_from(PRIORITIES),
        within=st.sampled_from([0.5, 20.0, 120.0, 1000.0]),
        equals=st.integers(1, 3),
        flags=st.tuples(st.booleans(), st.booleans()),
    )
    def submit(
        self, candidates: list[str], priority: PriorityClass, within: float, equals: int, flags: tuple[bool, bool]
    ) -> None:
        self.calls += 1
        new = Submission(self.calls, tuple(candidates), self.now + within, priority, flags[0], equals, flags[1])
        self.known[new.call] = new
        self.tried[new.call] = set()
        self.waiting.add(new.call)
        self._obey(self.scheduler.on_submit(new, self.now))

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        error=st.sampled_from([None, None, *ERRORS]),
        retry_after=st.sampled_from([None, 0.0, 2.0, 400.0]),
    )
    def finish(self, data: st.DataObject, error: type[ModelError] | None, retry_after: float | None) -> None:
        call = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[call]
        stopped = self.asked_to_stop.pop(call, None)
        fault = stopped or (error("x", retry_after=retry_after) if error else None)
        if fault is None:
            self.ended.add(call)
        else:
            self.waiting.add(call)
        self._obey(self.scheduler.on_finish(call, self.now, fault))
        if fault is not None and call in self.committed:
            assert call in self.ended, "a committed stream is never taken up again"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), commit=st.booleans())
    def piece(self, data: st.DataObject, commit: bool) -> None:
        streams = [call for call in sorted(self.running) if self.known[call].streaming]
        if streams:
            call = data.draw(st.sampled_from(streams))
            self.scheduler.on_progress(call, self.now)
            if commit:
                self.scheduler.on_commit(call)
                self.committed.add(call)
            self.scheduler.on_wait(call, self.now)

    @precondition(lambda self: self.running or self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(sorted({*self.running, *self.waiting})))
        self.running.pop(call, None)
        self.waiting.discard(call)
        self.asked_to_stop.pop(call, None)
        self.ended.add(call)
        self._obey(self.scheduler.on_cancel(call, self.now))

    @precondition(lambda self: self.probing)
    @rule(ok=st.booleans())
    def probed(self, ok: bool) -> None:
        self._obey(self.scheduler.on_probe(self.probing.pop(), ok, self.now))

    @precondition(lambda self: self.checking)
    @rule(error=st.sampled_from([None, *ERRORS]))
    def checked(self, error: type[ModelError] | None) -> None:
        check, began = self.checking.pop()
        self._obey(self.scheduler.on_check(check.spec.id, check.epoch, error("x") if error else None, began, self.now))

    @precondition(lambda self: self.looking)
    @rule(word=st.sampled_from(get_args(Word)))
    def looked(self, word: Word) -> None:
        look = self.looking.pop()
        self._obey(self.scheduler.on_look(look.spec.id, look.epoch, word, self.now))

    @rule(name=names, loaded=st.booleans())
    def seen(self, name: str, loaded: bool) -> None:
        self.loaded[name] = loaded
        self._obey(self.scheduler.on_seen({name: loaded}, self.now, self.now))

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 7.0, 40.0, 130.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        ticks = 0
        while self.scheduler.due <= until:
            self.now = max(self.now, self.scheduler.due)
            self._obey(self.scheduler.on_tick(self.now))
            ticks += 1
            assert ticks < 2000, "time passes in finitely many ticks"
        self.now = until

    @invariant()
    def slots_hold(self) -> None:
        """Never more calls on an endpoint than it may take; the books of both sides agree."""
        for name, lane in self.scheduler.lanes.items():
            in_flight = sum(where == name for where in self.running.values())
            assert lane.endpoint.in_flight == in_flight

    @invariant()
    def queues_are_bounded(self) -> None:
        """New calls never make a queue longer than it may be."""
        for lane in self.scheduler.lanes.values():
            fresh = [call for call in lane.everyone() if not call.began_once]
            for rank, priority in enumerate(PRIORITIES):
                assert sum(call.rank == rank for call in fresh) <= LIMITS.classes[priority].length
            assert lane.waiting == len(lane.everyone()) == sum(lane.count(priority) for priority in PRIORITIES)

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        """Work is never left lying, and the next tick is never forgotten."""
        for lane in self.scheduler.lanes.values():
            assert not (lane.waiting and lane.endpoint.has_room)
            assert lane.endpoint.state in STATES
            assert not (lane.waiting and not lane.endpoint.takes_calls and lane.endpoint.changes_at == float("inf"))
        if self.waiting or set(self.running) - set(self.asked_to_stop):
            assert self.scheduler.due < float("inf")

    @invariant()
    def both_sides_know_the_same_calls(self) -> None:
        """Every call that was submitted is waiting, running or ended, once."""
        assert not self.waiting & set(self.running)
        assert not self.ended & {*self.waiting, *self.running}
        assert {*self.waiting, *self.running, *self.ended} == set(self.known)
        assert set(self.scheduler._calls) == {*self.waiting, *self.running}

    def teardown(self) -> None:
        """In the end every call ends: time alone is enough for those that wait, once nothing runs."""
        for _ in range(2000):
            if not self.waiting and not self.running:
                break
            for call in sorted(self.running):
                del self.running[call]
                self.asked_to_stop.pop(call, None)
                self.ended.add(call)
                self._obey(self.scheduler.on_finish(call, self.now))
            self.pass_time(1.0)
        assert self.ended == set(self.known)

    # -- what a loop would do ---------------------------------------------------------------------------------------

    def _replace(self, listed: list[EndpointSpec]) -> None:
        self.specs = _endpoints(listed)
        for name in set(self.specs) - set(self.scheduler.lanes):
            self.states[name] = "unknown"
        self._obey(self.scheduler.on_endpoints(self.specs, self.now))

    def _obey(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start():
                    self._start(effect)
                case Fail(call=call):
                    assert call in self.waiting, "only a call that does not run can fail"
                    self.waiting.remove(call)
                    self.ended.add(call)
                case Cancel(call=call, error=error):
                    assert call in self.running
                    assert call not in self.asked_to_stop, "a call is stopped once"
                    assert isinstance(error, ModelError | DeadlinePassed)
                    self.asked_to_stop[call] = error
                case Probe(spec=probed):
                    lane = self.scheduler.lanes[probed.id]
                    assert lane.endpoint.in_flight == 0, "only idle endpoints are probed"
                    assert probed.target.zone != "cloud"
                    self.probing.append(probed.id)
                case Check(spec=checked):
                    lane = self.scheduler.lanes[checked.id]
                    assert lane.endpoint.in_flight == 0, "only idle endpoints are checked"
                    assert checked.target.zone != "cloud"
                    assert self.loaded[checked.id], "nothing is loaded for a check"
                    assert checked.capabilities[Capability.LOAD] is Support.NO
                    self.checking.append((effect, self.now))
                case Look(spec=looked):
                    assert looked.target.zone != "cloud"
                    self.looking.append(effect)
                case RetryAt(call=call, at=at):
                    assert call in self.waiting
                    assert self.now < at < self.known[call].deadline
                case StateChanged(endpoint=name, state=state):
                    assert state in STATES
                    assert state != self.states.get(name, "unknown"), "only changes are told"
                    self.states[name] = state

    def _start(self, effect: Start) -> None:
        call, name = effect.call, effect.spec.id
        assert call in self.waiting, "a call that was cancelled, ended or runs is never started"
        assert name in self.known[call].candidates
        assert call not in self.committed
        assert self.states.get(name, "unknown") in ("unknown", "live", "ready", "half_open"), (
            "no call where none is taken"
        )
        assert self.now < self.known[call].deadline
        self.waiting.remove(call)
        self.running[call] = name
        self.tried[call].add(name)
        assert len(self.tried[call]) <= 4
        if name in self.specs:
            in_flight = sum(where == name for where in self.running.values())
            assert in_flight <= self.specs[name].slots, "slots hold"


SchedulerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50)
TestScheduler = SchedulerMachine.TestCase
