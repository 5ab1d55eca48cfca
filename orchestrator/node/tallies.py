"""What a node counts of its own answers, so that a leader can tell whether it does worse with a new manifest than before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from orchestrator.plan.rolling import NO_TALLY, Tally

MOST: Final = 500
"""The newest answers count; how a node did last week says nothing."""
_SLOWEST: Final = 0.95


@dataclass(slots=True)
class Tallies:
    """Its answers since it took over the generation that it serves, and how it was before."""

    before: Tally = NO_TALLY
    generation: int = 0
    _can_do_less: bool = True
    _answers: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=MOST))  # ms, whether it failed
    _full: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))  # ms, of those that found no room

    def serves(self, generation: int, *, can_do_less: bool = True) -> None:
        """From now on it serves this one. What finds no room counts as failed only where that may be for the new one, by which it
        ``can_do_less``: else so many came, before and since, and that is no fault of it."""
        if generation != self.generation:
            self._can_do_less = can_do_less
            self.before = self.since if self._answers or self._full else self.before
            self.generation = generation
            self._answers.clear()
            self._full.clear()

    def note(self, ms: float, *, failed: bool, full: bool = False) -> None:
        """It answered, or could not; or it was too ``full`` to begin."""
        if full:
            self._full.append(ms)
        else:
            self._answers.append((ms, failed))

    @property
    def since(self) -> Tally:
        """Of the generation that it serves."""
        full = [(ms, True) for ms in self._full] if self._can_do_less else []
        answers = [*self._answers, *full]
        times = sorted(ms for ms, _ in answers)
        slow = times[min(int(_SLOWEST * len(times)), len(times) - 1)] if times else 0.0
        return Tally(len(times), sum(failed for _, failed in answers), round(slow, 1))
