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
    _answers: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=MOST))  # ms, whether it failed

    def serves(self, generation: int) -> None:
        """From now on it serves this one."""
        if generation != self.generation:
            self.before = self.since if self._answers else self.before
            self.generation = generation
            self._answers.clear()

    def note(self, ms: float, *, failed: bool) -> None:
        """It answered, or could not."""
        self._answers.append((ms, failed))

    @property
    def since(self) -> Tally:
        """Of the generation that it serves."""
        times = sorted(ms for ms, _ in self._answers)
        slow = times[min(int(_SLOWEST * len(times)), len(times) - 1)] if times else 0.0
        return Tally(len(times), sum(failed for _, failed in self._answers), round(slow, 1))
