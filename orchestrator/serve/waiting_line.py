"""Those who wait for one of the places of a deployment, a bounded line for each class. Pure: who asks brings the time.

The rules are those of the lines at the endpoints (``scheduler_queue.py``), with the same numbers: how many of a class may
wait, how long, and how waiting makes one more urgent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import QueueFull
from orchestrator.serve.scheduler_limits import PRIORITIES, RANKS, ClassLimits


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One that waits: since when, and until when its class does."""

    number: int
    rank: int
    since: float
    until: float


class WaitingLine:
    """Turns in the order in which they will come. ``len`` says how many wait."""

    def __init__(self, classes: Mapping[PriorityClass, ClassLimits]) -> None:
        self.limit_to(classes)
        self._lines: tuple[deque[Turn], ...] = tuple(deque() for _ in PRIORITIES)
        self._count = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def limit_to(self, classes: Mapping[PriorityClass, ClassLimits]) -> None:
        """For those who join from now on; who waits does so for as long as was said."""
        self._classes: tuple[ClassLimits, ...] = tuple(classes[name] for name in PRIORITIES)

    def join(self, priority: PriorityClass, now: float) -> Turn:
        """Wait from now on. Raises ``QueueFull`` where as many of the class wait as may."""
        rank = RANKS[priority]
        line, limits = self._lines[rank], self._classes[rank]
        if len(line) >= limits.length:
            raise QueueFull(
                f"{len(line)} {priority} requests wait already",
                cure=f"Try again later, or raise queue.{priority}.length.",
            )
        self._count += 1
        self._waiting += 1
        turn = Turn(self._count, rank, now, now + limits.timeout)
        line.append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """It waits no more."""
        self._lines[turn.rank].remove(turn)
        self._waiting -= 1

    def take(self, now: float) -> Turn:
        """Whose turn it is: the most urgent, then the oldest. It waits no more. Raises ``ValueError`` where none waits."""
        turn = min((line[0] for line in self._lines if line), key=lambda first: self._urgency(first, now))
        self._lines[turn.rank].popleft()
        self._waiting -= 1
        return turn

    def most_urgent(self, now: float) -> int | None:
        """The rank that the first of them counts as; ``None`` where none waits."""
        return min((self._urgency(line[0], now)[0] for line in self._lines if line), default=None)

    def _urgency(self, turn: Turn, now: float) -> tuple[int, int]:
        return self._classes[turn.rank].urgency(turn.rank, turn.number, now - turn.since)


def waited_too_long(turn: Turn, now: float) -> QueueFull:
    """It waited as long as its class may."""
    name = PRIORITIES[turn.rank]
    return QueueFull(
        f"no place was free for {now - turn.since:.1f} s", cure=f"Try again later, or raise queue.{name}.timeout."
    )
