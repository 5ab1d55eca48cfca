"""Model affinity: keeps the books of which model is in which memory, and carries the decisions of ``scheduler_residency``
over to the endpoints. A part of the scheduler; only the scheduler calls it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from math import inf
from typing import Protocol

from orchestrator.core.errors import DoesNotFit, ModelError, ModelNotFound, Unreachable
from orchestrator.deploy.backoff import Backoff, Jitter
from orchestrator.deploy.residence import PoolLimits
from orchestrator.ports.lifecycle import Loaded
from orchestrator.serve.effect import Effect, Load, Unload
from orchestrator.serve.scheduler_pools import Pool, Pools, Resident
from orchestrator.serve.scheduler_queue import Lane
from orchestrator.serve.scheduler_residency import AffinityRules, Device, Moves, decide


class Scheduling(Protocol):
    """What this needs of the scheduler."""

    def settle(self, lane: Lane, now: float) -> None:
        """Bring an endpoint's state up to date, tell of a change, and start whoever can start."""
        ...

    def blame(self, lane: Lane, error: ModelError, now: float) -> None:
        """The model could not be loaded: judge the endpoint, and send on whoever waits there in vain."""
        ...

    def send_on(self, lane: Lane, error: ModelError, now: float) -> None:
        """It is better not to wait there: whoever can go elsewhere does. Says nothing about the endpoint."""
        ...

    def emit(self, effect: Effect) -> None:
        """Ask the loop for this."""
        ...


class Affinity:
    """The pools of the scheduler. ``look_at`` is when ``tick`` is wanted next."""

    def __init__(self, rules: AffinityRules, backoff: Backoff, jitter: Jitter, scheduling: Scheduling) -> None:
        self.look_at = inf
        self.saving = False
        self._measured = inf
        self._measured_at = -inf
        self._rules = rules
        self._backoff = backoff
        self._jitter = jitter
        self._scheduling = scheduling
        self._pools = Pools()
        self.dirty: dict[str, Pool] = {}
        """Pools to decide about before the event ends."""

    @property
    def any(self) -> bool:
        """Whether there is a memory that models share."""
        return bool(self._pools.all)

    # -- events -----------------------------------------------------------------------------------------------------

    def limit(self, limits: Mapping[str, PoolLimits], used: Container[str] = ()) -> bool:
        """These are the memories that models share, and the models that some endpoint uses; tells whether others are than
        before."""
        changed = self._pools.limit(limits, used)
        self.dirty = dict(self._pools.all)
        return changed

    def join(self, lane: Lane, now: float) -> None:
        """An endpoint is there, or is described anew."""
        if lane.resident is not None:
            self.touch(lane.resident)
        self._pools.join(lane, now)
        if lane.resident is not None:
            self.touch(lane.resident)

    def leave(self, lane: Lane) -> None:
        """An endpoint is gone."""
        if lane.resident is not None:
            self.touch(lane.resident)
            self._pools.leave(lane)

    def touch(self, resident: Resident) -> None:
        """Something about it changed: decide anew before the event ends."""
        name = resident.residence.pool
        self.dirty[name] = self._pools.all[name]

    def began(self, resident: Resident, now: float) -> None:
        """A call begins on it."""
        resident.rested = now
        resident.stint -= 1
        if self._pools.pool_of(resident).contended:
            resident.served += 1
            self.touch(resident)

    def ended(self, resident: Resident, now: float) -> None:
        """A call on it ended. Nothing is decided for it where nobody else wants a place, and its rest is looked at in time."""
        resident.rested = now
        pool = self._pools.pool_of(resident)
        rest = min(resident.residence.rest, self._rules.saving_idle if self.saving and pool.limits.saves else inf)
        if pool.unmet or pool.over or resident.closed or pool.limits.cache is not None or pool.look_at > now + rest:
            self.touch(resident)

    def wish(self, lanes: Iterable[Lane]) -> None:
        """Somebody went away because loading takes too long: it is loaded when nobody else needs the room, or the next one
        would be told the same."""
        for lane in lanes:
            if lane.resident is not None and lane.resident.state == "out":
                lane.resident.wished = True
                self.touch(lane.resident)

    def expect(self, run: str, lanes: Iterable[Lane]) -> None:
        """What a run is likely to need next, instead of what it said before."""
        residents = [lane.resident for lane in lanes if lane.resident is not None]
        for name in self._pools.expect(run, residents):
            self.dirty[name] = self._pools.all[name]

    def save(self, *, saving: bool) -> None:
        """Whether the device runs on its battery."""
        self.saving = saving
        self.dirty.update(self._pools.all)

    def measure(self, free: int | None, now: float) -> None:
        """So many bytes of the device's memory were free at the last look; ``None``: nobody knows."""
        self._measured, self._measured_at = inf if free is None else free, now
        self.dirty.update(self._pools.all)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.dirty.update({name: pool for name, pool in self._pools.all.items() if pool.look_at <= now})

    def loaded(self, model: str, outcome: Loaded | ModelError, now: float) -> None:
        """A load ended."""
        found = self._pools.find(model)
        if found is None:
            return
        resident = found[1]
        if isinstance(outcome, ModelError):
            self._failed(resident, outcome, now)
            return
        resident.learn(outcome)
        resident.came(now)
        resident.changed = now
        resident.stint = min(self._rules.burst, resident.waiting)
        self._spread(resident, now)

    def unloaded(self, model: str, error: ModelError | None, now: float) -> None:
        """An unload ended. A server that is gone, or knows the model no more, has freed its memory."""
        found = self._pools.find(model)
        if found is None:
            return
        resident = found[1]
        if error is None or isinstance(error, (Unreachable, ModelNotFound)):
            resident.state, resident.ours, resident.changed = "out", False, now
        else:
            resident.state, resident.ready_at = "in", now + self._rules.refused_for
        resident.closed = False
        self._spread(resident, now)
        self._pools.forget(resident)

    def close(self) -> None:
        """Nobody carries out loads and unloads any more: those that run are given up."""
        for resident in [resident for pool in self._pools.all.values() for resident in pool.residents.values()]:
            if resident.state in ("loading", "unloading"):
                resident.state = "out"
                for lane in resident.lanes:
                    lane.endpoint.away = resident.away

    def seen(self, loaded: Mapping[str, bool], since: float, now: float) -> None:
        """What was loaded and unloaded by others. A look that began before something was done from here is too old."""
        for resident in [resident for pool in self._pools.all.values() for resident in pool.residents.values()]:
            there = loaded.get(resident.residence.model)
            if there is None or resident.changed >= since or resident.in_flight:
                continue
            if there and resident.state == "out":
                resident.came(now)
                self._spread(resident, now)
            elif not there and resident.state == "in":
                resident.state, resident.closed, resident.ours = "out", False, False
                self._spread(resident, now)

    def _failed(self, resident: Resident, error: ModelError, now: float) -> None:
        """After a while it may be tried again."""
        resident.state, resident.wished, resident.insists = "out", False, False
        resident.ready_at = now + self._backoff.delay(resident.failures, self._jitter)
        resident.failures += 1
        self._spread(resident, now)
        for lane in list(resident.lanes):
            self._scheduling.blame(lane, error, now)
        self._pools.forget(resident)

    # -- decisions --------------------------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Decide anew wherever something changed, and carry it over."""
        while self.dirty:
            _, pool = self.dirty.popitem()
            standings = [resident.standing() for resident in pool.residents.values()]
            device = Device(self.saving and pool.limits.saves, self._free(pool))
            moves = decide(standings, pool.limits, self._rules, now, device)
            pool.look_at, pool.unmet, pool.contended, pool.over = (
                moves.look_at,
                moves.unmet,
                moves.contended,
                moves.over,
            )
            self._carry_over(pool, moves, now)
        self.look_at = min((pool.look_at for pool in self._pools.all.values()), default=inf)

    def _carry_over(self, pool: Pool, moves: Moves, now: float) -> None:
        for model, reason in moves.unload.items():
            self._send_away(pool.residents[model], reason, now)
        for resident in list(pool.residents.values()):
            self._close(resident, moves.close.get(resident.residence.model, ""), now)
        for model, reason in moves.load.items():
            self._fetch(pool.residents[model], reason, now)
        for model, reason in moves.hopeless.items():
            self._refuse(pool.residents[model], reason, now)

    def _close(self, resident: Resident, why: str, now: float) -> None:
        closed = bool(why) and resident.state == "in"
        if closed != resident.closed and resident.state == "in":
            resident.closed, resident.why = closed, why
            if not closed:
                resident.open_since = now
            self._spread(resident, now)

    def _send_away(self, resident: Resident, reason: str, now: float) -> None:
        resident.state, resident.closed = "unloading", False
        self._spread(resident, now)
        self._scheduling.emit(Unload(resident.residence.model, resident.spec, resident.why or reason))
        resident.why = ""

    def _fetch(self, resident: Resident, reason: str, now: float) -> None:
        resident.state, resident.load_began = "loading", now
        self._spread(resident, now)
        keep = inf if resident.residence.pinned else resident.residence.rest + self._rules.server_later
        self._scheduling.emit(Load(resident.residence.model, resident.spec, reason, keep))

    def _refuse(self, resident: Resident, reason: str, now: float) -> None:
        """Who has another endpoint goes there. For who has none the server is asked: our books may be wrong, and only what the
        server says is a reason to fail."""
        resident.wished = False
        for lane in list(resident.lanes):
            if lane.waiting:
                self._scheduling.send_on(lane, DoesNotFit(f"{resident.residence.model} is not loaded: {reason}"), now)
        if resident.waiting:
            resident.insists = True
            self.touch(resident)

    def _free(self, pool: Pool) -> float:
        """Bytes that were measured to be free, less what was loaded from here since; ``inf`` where nobody measured."""
        since = [
            each.memory
            for each in pool.residents.values()
            if each.state == "loading" or (each.state == "in" and each.changed >= self._measured_at)
        ]
        return self._measured - sum(since)

    def _spread(self, resident: Resident, now: float) -> None:
        """Let its endpoints take calls, or take none."""
        self.touch(resident)
        for lane in list(resident.lanes):
            lane.endpoint.away = resident.away
            self._scheduling.settle(lane, now)
