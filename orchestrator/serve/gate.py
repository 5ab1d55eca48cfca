"""How many runs of a deployment are in work at once; more wait in order of their class, each class in a bounded line."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio

from orchestrator.core.errors import DeadlinePassed, QueueFull
from orchestrator.core.request import PriorityClass
from orchestrator.serve.clock import current_time
from orchestrator.serve.scheduler_limits import PRIORITIES, RANKS, SchedulerLimits

LONGEST_LINE: Final = 256
"""Runs of a class that may wait for a place where the manifest limits how many are in work and not how many may wait."""
_STARVE_AFTER: Final = tuple(SchedulerLimits().classes[name].starve_after for name in PRIORITIES)
_ANY: Final[Mapping[PriorityClass, int]] = {}


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """One run that waits, since ``since``; the event says that a place is its own."""

    number: int
    rank: int
    since: float
    came: anyio.Event

    def urgency(self, now: float) -> tuple[int, int]:
        """The lower, the sooner: waiting makes a run more urgent, as it does in the lines at the endpoints."""
        return max(0, self.rank - int((now - self.since) / _STARVE_AFTER[self.rank])), self.number


def lengths(queue: Mapping[str, Any]) -> dict[PriorityClass, int]:
    """How many of each class may wait, as a blueprint's ``queue`` says it."""
    told = {name: (queue.get(name) or {}).get("length") for name in PRIORITIES}
    return {name: length for name, length in told.items() if length}


class Gate:
    """A bounded limit: the most urgent class first, first come first served within it. ``limit`` ``None`` lets everything
    through at once; ``lengths`` says how many of a class may wait."""

    def __init__(self, limit: int | None, lengths: Mapping[PriorityClass, int] = _ANY) -> None:
        self._limit = limit
        self._lengths = lengths
        self._inside = 0
        self._waiting = 0
        self._count = 0
        self._lines: tuple[deque[_Turn], ...] = tuple(deque() for _ in PRIORITIES)

    @property
    def inside(self) -> int:
        """Runs that have entered and not left."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Runs that wait."""
        return self._waiting

    def enter_now(self) -> bool:
        """Enter if there is room and nobody waits."""
        free = self._limit is None or (self._inside < self._limit and not self._waiting)
        if free:
            self._inside += 1
        return free

    async def enter(self, deadline: float, priority: PriorityClass = "interactive") -> None:
        """Wait for a place. Raises ``QueueFull`` where the line is full, ``DeadlinePassed`` where it takes too long."""
        if self.enter_now():
            return
        turn = self._line_up(priority)
        try:
            with anyio.fail_at(deadline):
                await turn.came.wait()
        except TimeoutError as error:
            self._give_up(turn)
            raise DeadlinePassed("the request waited for a free place until its time was over") from error
        except BaseException:
            self._give_up(turn)
            raise

    def leave(self) -> None:
        """Free the place; the most urgent of those who wait takes it over."""
        if self._waiting:
            now = current_time()
            turn = min((line[0] for line in self._lines if line), key=lambda first: first.urgency(now))
            self._lines[turn.rank].popleft()
            self._waiting -= 1
            turn.came.set()
        else:
            self._inside -= 1

    def _line_up(self, priority: PriorityClass) -> _Turn:
        line = self._lines[RANKS[priority]]
        if len(line) >= self._lengths.get(priority, LONGEST_LINE):
            raise QueueFull(f"{len(line)} requests wait already", cure="Try again later, or raise the limits.")
        self._count += 1
        turn = _Turn(self._count, RANKS[priority], current_time(), anyio.Event())
        line.append(turn)
        self._waiting += 1
        return turn

    def _give_up(self, turn: _Turn) -> None:
        if turn.came.is_set():  # its place was free already when it went
            self.leave()
        else:
            self._lines[turn.rank].remove(turn)
            self._waiting -= 1
