"""Calls as the scheduler knows them, and the lines in which they wait at an endpoint."""

from __future__ import annotations

import heapq
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Literal

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import ModelError
from orchestrator.core.record import record
from orchestrator.deploy.endpoint import Endpoint
from orchestrator.serve.fallback import Facts
from orchestrator.serve.places import Place
from orchestrator.serve.scheduler_limits import PRIORITIES, RANKS, ClassLimits, SchedulerLimits

if TYPE_CHECKING:
    from orchestrator.serve.scheduler_pools import Resident


@record
class Submission:
    """A call that wants an endpoint. ``candidates`` are endpoint ids, best first; the first ``equals`` of them are of
    equal rank, so that the least loaded is taken. ``deadline`` is on the scheduler's clock. ``length`` (how many of its
    class may wait) and ``patience`` (how long it does, in seconds) go before the class's own limits. ``prompt`` is how many bytes
    are to be read, ``most`` how many tokens may be written (``None``: nobody says). ``streaming``: its caller wants pieces;
    ``in_pieces``: it may be asked for so. ``pause``: for so many seconds it waits for a server that asks it to (``Ask``).
    ``place``: of its request, among those of the deployment that may be in work."""

    call: int
    candidates: tuple[str, ...]
    deadline: float
    priority: PriorityClass = "interactive"
    idempotent: bool = True
    equals: int = 1
    streaming: bool = False
    in_pieces: bool = False
    length: int | None = None
    patience: float | None = None
    prompt: int = 0
    most: int | None = None
    pause: float = inf
    place: Place | None = None


class Call:
    """One call's way: waiting in lanes, in backoff, or running on one lane."""

    __slots__ = (
        "began_once",
        "committed",
        "epoch",
        "error",
        "failures",
        "given_up",
        "got_token",
        "joined",
        "lane",
        "lanes",
        "last_progress",
        "needs_context",
        "new",
        "order",
        "phase",
        "place",
        "rank",
        "stale_before",
        "started",
        "stopped",
        "streams",
        "submitted",
        "ticket",
        "unasked",
        "waits_since",
    )

    def __init__(self, new: Submission, now: float) -> None:
        self.new = new
        self.rank = RANKS[new.priority]
        self.place = place = new.place
        if place is not None and not place.order:
            place.order = new.call
        self.order = place.order if place is not None and place.places.limit is not None else new.call
        """Its number in line: where places are limited its request's, so that what was begun is ended first."""
        self.submitted = now
        """Its age counts from here, also after it has been moved."""
        self.phase: Literal["waiting", "backoff", "running"] = "waiting"
        self.lane: Lane | None = None
        """Where it runs, or ran last."""
        self.lanes: tuple[Lane, ...] = ()
        """Where it waits."""
        self.waits_since = inf
        """Since when it stands in line; ``inf`` once it has begun."""
        self.ticket = 0
        """Goes up each time it begins to wait; what was noted under an older one is void."""
        self.began_once = False
        self.given_up: tuple[str, ...] = ()
        self.unasked: tuple[tuple[str, str], ...] = ()
        """Candidates that it gave up and was never sent to, as their model could not be loaded; each with why."""
        self.joined: dict[str, str] = {}
        """Candidates that came after it, each with the one that it is another process of."""
        self.failures = 0
        self.stale_before = False
        self.committed = False
        self.stopped = False
        self.needs_context: int | None = None
        self.error: ModelError | None = None
        self.epoch = 0
        self.started = 0.0
        self.last_progress = 0.0
        self.got_token = False
        self.streams = new.streaming
        """Whether its attempt comes in pieces, so that its progress is seen."""

    def join(self, name: str, beside: str) -> None:
        """There is one more process of the server of a candidate: it may be asked as well."""
        names, equals = self.new.candidates, max(1, self.new.equals)
        at = names.index(beside)
        candidates = (*names[: at + 1], name, *names[at + 1 :])
        self.new = replace(self.new, candidates=candidates, equals=equals + 1 if at < equals else self.new.equals)
        self.joined[name] = self.joined.get(beside, beside)

    @property
    def may_begin(self) -> bool:
        """Whether its request has a place, or finds one."""
        return self.place is None or self.place.fits

    @property
    def let_in(self) -> bool:
        """Whether it, or its request where places are limited, was let in once: no full line sends it away."""
        place = self.place
        return self.began_once or (place is not None and place.began and place.places.limit is not None)

    def running_on(self) -> Lane:
        """Where it runs."""
        if self.lane is None or self.phase != "running":
            raise RuntimeError(f"call {self.new.call} is not running")
        return self.lane

    def waits_until(self, endpoint: Endpoint) -> float:
        """When it must have begun there: in time, and after no longer pause than it waits for. A model that loads is no pause."""
        hold = endpoint.hold
        if hold is None or hold.state == "loading":
            return self.new.deadline
        return min(self.new.deadline, self.submitted + self.new.pause)

    def facts(self, retries: int) -> Facts:
        """What decides where it goes after a fault."""
        return Facts(
            failures=self.failures,
            retries=retries,
            stale_before=self.stale_before,
            committed=self.committed,
            idempotent=self.new.idempotent,
            stopped=self.stopped,
        )


class Lane:
    """An endpoint and the calls that wait for it: one line a class, first come first served within it."""

    __slots__ = ("_classes", "_counts", "_lines", "endpoint", "resident", "waiting")

    def __init__(self, endpoint: Endpoint, limits: SchedulerLimits) -> None:
        self.endpoint = endpoint
        self._classes: tuple[ClassLimits, ...] = tuple(limits.classes[name] for name in PRIORITIES)
        self._lines: tuple[list[Entry], ...] = tuple([] for _ in PRIORITIES)
        self._counts = [0] * len(PRIORITIES)
        self.waiting = 0
        self.resident: Resident | None = None
        """Its model, where that may have to be loaded first."""

    @property
    def due(self) -> float:
        """When something may change at its endpoint by time alone."""
        endpoint = self.endpoint
        return min(endpoint.changes_at, endpoint.look_at, endpoint.probe_due, endpoint.check_due)

    def load(self) -> float:
        """How much of its endpoint is taken."""
        return self.endpoint.load

    def room_for(self, call: Call) -> bool:
        """Whether it may wait here. A call that had begun already always may: it was let in once."""
        length = call.new.length if call.new.length is not None else self._classes[call.rank].length
        return call.let_in or self._counts[call.rank] < length

    def ahead_of(self, call: Call) -> int:
        """Calls that wait here and are as urgent or more."""
        return sum(self._counts[: call.rank + 1])

    def count(self, priority: PriorityClass) -> int:
        """Calls of one class that wait here."""
        return self._counts[RANKS[priority]]

    def add(self, call: Call) -> None:
        """Let it wait, in the order of submission."""
        heapq.heappush(self._lines[call.rank], (call.order, call.new.call, call.ticket, call))
        self._counts[call.rank] += 1
        self.waiting += 1

    def discard(self, call: Call) -> None:
        """It waits here no more. Its entry is dropped later, in passing."""
        self._counts[call.rank] -= 1
        self.waiting -= 1
        line = self._lines[call.rank]
        if len(line) > 2 * self._counts[call.rank] + 16:
            line[:] = [entry for entry in line if _valid(entry) and entry[3] is not call]
            heapq.heapify(line)

    def head(self, now: float) -> tuple[tuple[int, int], Call] | None:
        """Whose turn it is, by ``ClassLimits.urgency``, of those for whom there is a place."""
        best: tuple[tuple[int, int], Call] | None = None
        for rank, line in enumerate(self._lines):
            while line and not _valid(line[0]):
                heapq.heappop(line)
            call = _first_able(line) if line else None
            if call is not None:
                urgency = self._classes[rank].urgency(rank, call.order, now - call.submitted)
                if best is None or urgency < best[0]:
                    best = urgency, call
        return best

    @property
    def able(self) -> bool:
        """Whether there is a place for anyone who waits here."""
        return any(_valid(entry) and entry[3].may_begin for line in self._lines for entry in line)

    def waits(self) -> tuple[float, float]:
        """Since when the oldest call waits here, and when the first will have waited as long as its class may; ``inf``
        where none waits."""
        oldest = due = inf
        for rank, line in enumerate(self._lines):
            while line and not _valid(line[0]):
                heapq.heappop(line)
            if line:
                since = line[0][3].submitted
                oldest, due = min(oldest, since), min(due, since + self._classes[rank].starve_after)
        return oldest, due

    def everyone(self) -> list[Call]:
        """Who waits here, oldest first."""
        waiting = [entry for line in self._lines for entry in line if _valid(entry)]
        return [entry[3] for entry in sorted(waiting, key=lambda entry: entry[:2])]


Entry = tuple[int, int, int, Call]
"""In a line: the number that it goes by, the call's own, its ticket, and the call."""


def _valid(entry: Entry) -> bool:
    return entry[3].phase == "waiting" and entry[3].ticket == entry[2]


def _first_able(line: list[Entry]) -> Call | None:
    """The first in a heap for whom there is a place."""
    if line[0][3].may_begin:
        return line[0][3]
    able = min((entry for entry in line if _valid(entry) and entry[3].may_begin), default=None)
    return able[3] if able is not None else None
