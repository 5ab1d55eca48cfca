"""A small world around the scheduler: calls come, run and end, models are loaded and unloaded, each in its time. It obeys
the effects, keeps books of its own, and finds out whoever breaks a promise."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from typing import Literal

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import ModelError, ServerBusy, ServerFailed
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits
from orchestrator.ports.lifecycle import Loaded
from orchestrator.serve.effect import Cancel, Effect, Fail, Load, Probe, Start, Unload
from orchestrator.serve.places import Place, Places
from orchestrator.serve.scheduler import Scheduler
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.serve.scheduler_queue import Submission
from tests.serve.scheduler.machine import Known, with_past

LOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A call that comes ``after`` seconds after the last one, for these endpoints, and takes ``takes`` seconds."""

    after: float
    candidates: tuple[str, ...]
    takes: float = 1.0
    priority: PriorityClass = "default"
    within: float = 1e6
    patience: float | None = None
    then: tuple[str, ...] = ()
    """Its request's next calls, one after the other."""
    between: float = 0.0
    """How long the request works by itself after each call."""
    beside: tuple[str, ...] = ()
    """More calls of the request that come at the same moment, one for each of these endpoints: it is in parts."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something else that happens ``after`` seconds after the last: the oldest call goes away, a run expects a model or nothing
    any more, the power changes, a server unloads a model by itself."""

    after: float
    what: Literal["cancel", "foresee", "forget", "battery", "mains", "evicted"]
    name: str


@dataclass(slots=True)
class Told:
    """What became of a call."""

    wish: Wish
    came: float
    place: Place | None = None
    began: float = inf
    on: str = ""
    ended: float = inf
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Swap:
    """A load, from its decision on."""

    model: str
    decided: float
    there: float


class World:
    """Plays wishes to their end. ``fails``: numbers of loads that fail; ``stays``: numbers of unloads that are refused; ``most``:
    requests that may be in work at once."""

    def __init__(
        self,
        specs: Sequence[EndpointSpec],
        limits: PoolLimits,
        fails: frozenset[int] = frozenset(),
        stays: frozenset[int] = frozenset(),
        most: int | None = None,
    ) -> None:
        self.limits = limits
        self.places = Places(most)
        self.now = 0.0
        self._numbers = count(1)
        self.calls: dict[int, Told] = {}
        self.swaps: list[Swap] = []
        self.scheduler = Scheduler(SchedulerLimits(), lambda: 0.5)
        self.models = {spec.id: spec.residence for spec in specs if spec.residence is not None}
        self.taken = {one.model: one.memory for one in self.models.values() if isinstance(one, Known) and one.loaded}
        self.ready = set(self.taken)
        self.running: dict[int, str] = {}
        self.over: set[int] = set()
        self._fails, self._stays = fails, stays
        self._parts: Counter[Place] = Counter()  # how many ways of each request are not at their end
        self._order, self._loads, self._unloads = count(), count(1), count(1)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        effects = self.scheduler.on_endpoints({spec.id: spec for spec in specs}, self.now, {"device": limits})
        effects += with_past(self.scheduler, specs, self.now)
        self._obey([each for each in effects if not isinstance(each, Load) or each.model not in self.taken])

    def play(self, wishes: Iterable[Wish], deeds: Iterable[Deed] = ()) -> Mapping[int, Told]:
        """Let all of them come, and time pass until nothing is left to do."""
        at = self.now
        for deed in deeds:
            at += deed.after
            self._at(at, lambda deed=deed: self._do(deed))  # type: ignore[misc] # bound now: the loop goes on
        at = self.now
        for wish in wishes:
            at += wish.after
            self._at(at, lambda wish=wish: self._come(wish))  # type: ignore[misc] # bound now: the loop goes on
        while self._agenda or self._unfinished():
            self._step()
        return self.calls

    def _unfinished(self) -> bool:
        return any(told.ended == inf for told in self.calls.values())

    def _step(self) -> None:
        next_at = self._agenda[0][0] if self._agenda else inf
        due = self.scheduler.due
        assert min(next_at, due) < inf, "somebody waits for ever"
        if due < next_at:
            self.now = max(self.now, due)
            self._obey(self.scheduler.on_tick(self.now))
        else:
            at, _, act = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            act()

    def _at(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), act))

    def _come(self, wish: Wish) -> None:
        place = Place(self.places)
        ways = [wish, *(replace(wish, candidates=(name,), then=(), beside=()) for name in wish.beside)]
        self._parts[place] += len(ways)  # before the first may fail
        for way in ways:
            self._submit(way, place)

    def _submit(self, wish: Wish, place: Place) -> None:
        number = next(self._numbers)
        self.calls[number] = Told(wish, self.now, place)
        new = Submission(
            number,
            wish.candidates,
            self.now + wish.within,
            wish.priority,
            length=10_000,
            patience=wish.patience,
            place=place,
        )
        self._obey(self.scheduler.on_submit(new, self.now))

    def _do(self, deed: Deed) -> None:
        match deed.what:
            case "cancel":
                self._cancel()
            case "foresee":
                self._obey(self.scheduler.on_foresee(f"run_{deed.name}", [deed.name, "b"], self.now))
            case "forget":
                self._obey(self.scheduler.on_foresee(f"run_{deed.name}", [], self.now))
            case "battery" | "mains":
                self._obey(self.scheduler.on_power(self.now, saving=deed.what == "battery"))
            case "evicted":
                self._evict(self.models[deed.name].model)

    def _cancel(self) -> None:
        alive = [number for number, told in self.calls.items() if told.ended == inf]
        if alive:
            told = self.calls[alive[0]]
            told.ended, told.fault = self.now, "cancelled"
            self.running.pop(alive[0], None)
            self.over.add(alive[0])
            self._obey(self.scheduler.on_cancel(alive[0], self.now))
            self._leave(told)

    def _evict(self, model: str) -> None:
        """A server does this only to a model that rests; a look that begins a moment later sees it."""
        busy = {self.models[name].model for name in self.running.values() if name in self.models}
        if model in self.ready and model not in busy and self.swaps and self.swaps[-1].there < self.now:
            self.ready.remove(model)
            del self.taken[model]
            self._obey(self.scheduler.on_seen({model: False}, self.now, self.now))

    # -- effects ----------------------------------------------------------------------------------------------------

    def _obey(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start():
                    self._start(effect)
                case Fail():
                    told = self.calls[effect.call]
                    told.ended, told.fault = self.now, type(effect.error).__name__
                    self.over.add(effect.call)
                    self._at(self.now, lambda told=told: self._leave(told))  # type: ignore[misc] # bound now: the loop goes on
                case Cancel():
                    self._at(self.now, lambda effect=effect: self._end(effect.call, effect.error))  # type: ignore[misc] # bound now: the loop goes on
                case Load():
                    self._load(effect)
                case Unload():
                    self._unload(effect)
                case Probe():
                    self._at(self.now, lambda effect=effect: self._probed(effect))  # type: ignore[misc] # bound now: the loop goes on
        self._check_memory()
        at_work = {id(self.calls[call].place) for call in self.running}
        most = self.places.limit
        assert most is None or len(at_work) <= self.places.inside <= most, "no more requests work than may"
        self._check_nobody_idles()

    def _check_nobody_idles(self) -> None:
        """Where there is room nobody waits who may begin."""
        for name, lane in self.scheduler.lanes.items():
            idle = lane.waiting and lane.endpoint.has_room and lane.head(self.now) is not None
            assert not idle, f"{name} has room, and one waits there who may begin"

    def _check_memory(self) -> None:
        """Never more is loaded than may be, but for one model that is too large and that a call has no other for: that is
        alone with what is pinned."""
        pinned = {one.model: one.memory for one in self.models.values() if one.pinned and one.model in self.taken}
        others = {model: size for model, size in self.taken.items() if model not in pinned}
        room = self.limits.budget - sum(pinned.values())
        assert sum(others.values()) <= room or len(others) == 1, "never more is loaded than may be"

    def _probed(self, effect: Probe) -> None:
        self._obey(self.scheduler.on_probe(effect.spec.id, True, self.now))

    def _start(self, effect: Start) -> None:
        told, residence = self.calls[effect.call], effect.spec.residence
        assert effect.call not in self.over
        assert residence is None or residence.model in self.ready, "calls begin on models that are loaded"
        told.began, told.on = min(told.began, self.now), effect.spec.id
        self.running[effect.call] = effect.spec.id
        self._at(self.now + told.wish.takes, lambda: self._end(effect.call, None))

    def _end(self, call: int, error: ModelError | None) -> None:
        if call not in self.running:
            return  # it was stopped before
        del self.running[call]
        told = self.calls[call]
        if error is None:
            told.ended = self.now
            self.over.add(call)
        self._obey(self.scheduler.on_finish(call, self.now, error))
        if error is None:
            self._at(self.now + told.wish.between, lambda: self._go_on(told))

    def _go_on(self, told: Told) -> None:
        """The request's next call, or its end."""
        wish = told.wish
        if wish.then and told.place is not None:
            self._submit(replace(wish, candidates=wish.then[:1], then=wish.then[1:]), told.place)
        else:
            self._leave(told)

    def _leave(self, told: Told) -> None:
        """One way of the request is at its end; it leaves with the last."""
        if told.place is None:
            return
        self._parts[told.place] -= 1
        if not self._parts[told.place] and told.place.rest():
            self._obey(self.scheduler.on_freed(self.places, self.now))

    def _load(self, effect: Load) -> None:
        residence = effect.spec.residence
        assert residence is not None
        assert effect.model not in self.taken, "what is loaded is not loaded again"
        self.taken[effect.model] = residence.memory
        fails = next(self._loads) in self._fails
        self.swaps.append(Swap(effect.model, self.now, self.now + LOAD_SECONDS))
        self._at(self.now + LOAD_SECONDS, lambda: self._loaded(effect.model, fails=fails))

    def _loaded(self, model: str, *, fails: bool) -> None:
        if fails:
            del self.taken[model]
            self._obey(self.scheduler.on_loaded(model, ServerFailed("out of memory"), self.now))
        else:
            self.ready.add(model)
            self._obey(self.scheduler.on_loaded(model, Loaded(LOAD_SECONDS, self.taken[model]), self.now))

    def _unload(self, effect: Unload) -> None:
        residence = effect.spec.residence
        assert residence is not None
        assert not residence.pinned, "a pinned model stays"
        busy = [
            call
            for call, name in self.running.items()
            if name in self.models and self.models[name].model == effect.model
        ]
        assert not busy, "a model that works is not unloaded"
        assert effect.model in self.ready
        self.ready.remove(effect.model)
        number = next(self._unloads)
        self._at(self.now + 0.5, lambda: self._unloaded(number, effect.model))

    def _unloaded(self, number: int, model: str) -> None:
        if number in self._stays:
            self.ready.add(model)
            self._obey(self.scheduler.on_unloaded(model, ServerBusy("it answers someone else"), self.now))
        else:
            del self.taken[model]
            self._obey(self.scheduler.on_unloaded(model, None, self.now))
