"""The memories that models share, as the scheduler keeps them: which model is where, and who needs it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from orchestrator.deploy.endpoint import EndpointSpec, EndpointState
from orchestrator.deploy.residence import PoolLimits, Residence
from orchestrator.ports.lifecycle import Loaded
from orchestrator.serve.scheduler_queue import Lane
from orchestrator.serve.scheduler_residency import Presence, Standing

MOST_FORESEEN: Final = 4
"""Models that one run may say it needs next."""
MOST_RUNS: Final = 1024
"""Runs whose expectations are kept at once."""
NEW_SHARE: Final = 0.3
"""Weight of the newest load in the estimate of how long a load takes."""


class Resident:
    """A model of a pool, and how things stand with it."""

    def __init__(self, residence: Residence, spec: EndpointSpec, now: float) -> None:
        self.residence = residence
        self.spec = spec
        """An endpoint of it, for its loads and unloads."""
        self.lanes: list[Lane] = []
        self.memory = residence.memory
        self.cost: float | None = None
        """Seconds that loading takes, as measured."""
        self.state: Presence = "out"
        self.ours = False
        """Whether it was loaded from here."""
        self.closed = False
        self.why = ""
        """Why it is closed."""
        self.served = 0
        self.stint = 0
        self.rested = now
        self.open_since = now
        self.load_began = now
        self.changed = -inf
        """When it was last loaded or unloaded from here."""
        self.failures = 0
        self.ready_at = -inf
        self.wished = False
        self.insists = False
        """By our books it can never fit, but a call has nowhere else to go: its server is asked."""
        self.foreseen = 0.0

    @property
    def away(self) -> EndpointState | None:
        """What its endpoints are while no call may begin on it."""
        if self.state == "in":
            return "yielding" if self.closed else None
        return "loading" if self.state == "loading" else "unloaded"

    @property
    def in_flight(self) -> int:
        """Calls that run on it."""
        return sum(lane.endpoint.in_flight for lane in self.lanes)

    @property
    def waiting(self) -> int:
        """Calls that wait for it."""
        return sum(lane.waiting for lane in self.lanes)

    def least_wait(self, now: float) -> float:
        """Seconds until it can answer at the earliest, as far as is known."""
        if self.state == "in" or self.cost is None:
            return 0.0
        return max(0.0, self.load_began + self.cost - now) if self.state == "loading" else self.cost

    def came(self, now: float) -> None:
        """It is in memory."""
        self.state, self.closed, self.wished, self.insists = "in", False, False, False
        self.failures, self.ready_at = 0, -inf
        self.open_since = self.rested = now
        self.served = self.stint = 0

    def learn(self, loaded: Loaded) -> None:
        """What a load took, and what the model is called now."""
        if loaded.seconds > 0:  # else it was there already
            self.ours = not self.residence.process  # whose process it is, others know
            self.cost = loaded.seconds if self.cost is None else self.cost + NEW_SHARE * (loaded.seconds - self.cost)
        if loaded.memory:
            self.memory = loaded.memory
        for lane in self.lanes:
            lane.endpoint.window = loaded.context
        for lane in self.lanes if loaded.model or loaded.api_base else ():
            target = lane.endpoint.spec.target
            api_base = loaded.api_base or target.api_base
            lane.endpoint.called = replace(target, model=loaded.model or target.model, api_base=api_base)

    @property
    def leaves(self) -> bool:
        """Whether its rest may end it: what somebody else loaded stays, unless the manifest says so."""
        return self.ours or self.residence.whoever

    def standing(self) -> Standing:
        """How things stand, for a decision."""
        waits = [lane.waits() for lane in self.lanes]
        return Standing(
            id=self.residence.model,
            memory=self.memory,
            state=self.state,
            in_flight=self.in_flight,
            waiting=self.waiting,
            oldest=min((oldest for oldest, _ in waits), default=inf),
            due=min((due for _, due in waits), default=inf),
            foreseen=self.foreseen,
            pinned=self.residence.pinned and bool(self.lanes),
            cost=self.cost,
            served=self.served,
            stint=self.stint,
            rested=self.rested,
            keep=self.residence.rest if self.leaves else inf,
            ready_at=self.ready_at,
            wished=self.wished,
            closed=self.closed,
            unused=self.ours and not self.lanes,
            insists=self.insists,
            ours=self.leaves,
            able=any(lane.able for lane in self.lanes),
        )


@dataclass(slots=True, eq=False)
class Pool:
    """A memory with its models. ``unmet``: a model is wanted that is not there; ``contended``: a call waits for one.
    ``over``: more is loaded than may be. ``ending``: no deployment has it any more, and what was loaded from here leaves."""

    limits: PoolLimits
    residents: dict[str, Resident] = field(default_factory=dict)
    unmet: bool = False
    contended: bool = False
    over: bool = False
    look_at: float = inf
    ending: bool = False


class Pools:
    """All memories, and what runs expect to need of them."""

    def __init__(self) -> None:
        self.all: dict[str, Pool] = {}
        self._expected: dict[str, dict[str, float]] = {}  # run -> model -> how likely

    def find(self, model: str) -> tuple[Pool, Resident] | None:
        """A model by its id."""
        return next(((pool, pool.residents[model]) for pool in self.all.values() if model in pool.residents), None)

    def pool_of(self, resident: Resident) -> Pool:
        """The memory that it is in."""
        return self.all[resident.residence.pool]

    def limit(self, limits: Mapping[str, PoolLimits], used: Container[str] = ()) -> bool:
        """These are the memories, and what may be taken of them; tells whether others are than before. Nobody loads the models
        of one that is gone any more: those that are still ``used`` are their servers' from now on, and of the others what was
        loaded from here is unloaded."""
        live = {name for name, pool in self.all.items() if not pool.ending}
        for name in [name for name in self.all if name not in limits]:
            self._end(name, used)
        for name, each in limits.items():
            pool = self.all.setdefault(name, Pool(each))
            pool.limits, pool.ending = each, False
        return live != set(limits)

    def _end(self, name: str, used: Container[str]) -> None:
        pool = self.all[name]
        pool.ending = True
        for model, resident in list(pool.residents.items()):
            if model in used or not resident.ours or resident.state == "out":
                for lane in resident.lanes:
                    lane.resident, lane.endpoint.away = None, None
                del pool.residents[model]
        self._drop_ended(name)

    def _drop_ended(self, name: str) -> None:
        if self.all[name].ending and not self.all[name].residents:
            del self.all[name]

    def join(self, lane: Lane, now: float) -> None:
        """The endpoint is there, or was described anew."""
        spec = lane.endpoint.spec
        pool = self.all.get(spec.residence.pool) if spec.residence is not None else None
        residence = spec.residence if pool is not None and not pool.ending else None
        known = lane.resident
        if known is not None and (residence is None or _key(known.residence) != _key(residence)):
            self.leave(lane)
        if residence is not None:
            residents = self.all[residence.pool].residents
            resident = residents.setdefault(residence.model, Resident(residence, spec, now))
            if resident.residence.memory != residence.memory:
                resident.memory = residence.memory
            resident.residence, resident.spec = residence, spec
            if lane not in resident.lanes:
                resident.lanes.append(lane)
            lane.resident = resident
        lane.endpoint.away = lane.resident.away if lane.resident is not None else None

    def leave(self, lane: Lane) -> None:
        """The endpoint is gone. A model that was loaded from here is unloaded once nobody uses it."""
        resident, lane.resident = lane.resident, None
        if resident is not None:
            resident.lanes.remove(lane)
            self.forget(resident)

    def forget(self, resident: Resident) -> None:
        """Drop it where no endpoint has it and nothing is left to be done."""
        if not resident.lanes and (resident.state == "out" or (resident.state == "in" and not resident.ours)):
            self.pool_of(resident).residents.pop(resident.residence.model, None)
            self._drop_ended(resident.residence.pool)

    def expect(self, run: str, residents: Iterable[Resident]) -> set[str]:
        """What a run is likely to need next, instead of what it said before; gives the pools that this touches."""
        touched = {self._lower(model, share) for model, share in self._expected.pop(run, {}).items()}
        coming = list(residents)[:MOST_FORESEEN]
        if coming and len(self._expected) < MOST_RUNS:
            self._expected[run] = {each.residence.model: 1 / len(coming) for each in coming}
            for each in coming:
                each.foreseen += 1 / len(coming)
                touched.add(each.residence.pool)
        return touched - {""}

    def _lower(self, model: str, share: float) -> str:
        found = self.find(model)
        if found is None:
            return ""
        resident = found[1]
        resident.foreseen = left if (left := resident.foreseen - share) > 1e-9 else 0.0
        return resident.residence.pool


def _key(residence: Residence) -> tuple[str, str]:
    return residence.pool, residence.model
