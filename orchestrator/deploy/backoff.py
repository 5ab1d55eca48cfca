"""Delays that double up to a cap, with jitter, so that many who failed together do not come back together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[], float]
"""Gives numbers in [0, 1): ``random.random`` in a process, a fixed or seeded source in a test."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """``min(first * 2^n, cap)`` seconds, times an even draw from ``1 - spread`` to ``1 + spread``."""

    first: float
    cap: float
    spread: float = 0.2

    def delay(self, times: int, jitter: Jitter) -> float:
        """Seconds to wait after ``times`` earlier waits."""
        plain: float = min(self.first * 2 ** min(times, 30), self.cap)
        return plain * (1 - self.spread + 2 * self.spread * jitter())
