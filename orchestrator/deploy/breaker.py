"""The circuit breaker of one endpoint: stops calls to a server that keeps failing, and lets one try it again later."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.deploy.backoff import Backoff, Jitter

BUCKETS: Final = 12
"""The window is counted in so many pieces, so that it costs the same at any request rate."""


OPEN_FOR: Final = Backoff(15.0, 120.0, 0.2)


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens and closes. Times are seconds; ``share`` is of the calls that ended in the window.

    Open times are shorter than in data centres: a device has one or two endpoints, so that leaving one out is dear.
    """

    window: float = 60.0
    consecutive: int = 5
    least_calls: int = 10
    share: float = 0.5
    successes_to_close: int = 2
    open_for: Backoff = OPEN_FOR


class Window:
    """How many calls ended well and badly in the last seconds."""

    __slots__ = ("_length", "_pieces")

    def __init__(self, length: float) -> None:
        self._length = length / BUCKETS
        self._pieces: deque[list[int]] = deque(maxlen=BUCKETS)  # [number of the piece, calls, failed]

    def add(self, now: float, *, failed: bool) -> None:
        """Count a call that ended."""
        number = int(now / self._length)
        if not self._pieces or self._pieces[-1][0] != number:
            self._pieces.append([number, 0, 0])
        piece = self._pieces[-1]
        piece[1] += 1
        piece[2] += failed

    def count(self, now: float) -> tuple[int, int]:
        """Calls and failed calls in the window."""
        oldest = int(now / self._length) - BUCKETS
        recent = [piece for piece in self._pieces if piece[0] > oldest]
        return sum(piece[1] for piece in recent), sum(piece[2] for piece in recent)

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()


class Breaker:
    """Closed, open until a moment, or half open: one call tries whether the server is well again."""

    __slots__ = ("_openings", "_rules", "_successes", "_window", "failures", "opens_at", "stalled", "state")

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._window = Window(rules.window)
        self._openings = 0
        self._successes = 0
        self.state: Literal["closed", "open", "half_open"] = "closed"
        self.failures = 0
        """In a row."""
        self.opens_at = 0.0
        """When an open breaker lets a call try again."""
        self.stalled = False
        """Whether it opened because calls made no progress."""

    def succeeded(self, now: float) -> None:
        """A call ended well. An open breaker does not mind: it ended too late to say anything."""
        if self.state == "open":
            return
        self.failures = 0
        self._window.add(now, failed=False)
        if self.state == "half_open":
            self._successes += 1
            if self._successes >= self._rules.successes_to_close:
                self.close()

    def failed(self, now: float, jitter: Jitter) -> None:
        """A call failed in a way that counts."""
        if self.state == "open":
            return
        self.failures += 1
        self._window.add(now, failed=True)
        if self.state == "half_open" or self._too_many(now):
            self.trip(now, jitter)

    def trip(self, now: float, jitter: Jitter, *, stalled: bool = False) -> None:
        """Open, for longer each time until it has closed again."""
        self.state = "open"
        self.stalled = stalled
        self.opens_at = now + self._rules.open_for.delay(self._openings, jitter)
        self._openings += 1

    def try_again(self) -> None:
        """Half open: the time is over, or there is nobody else."""
        self.state = "half_open"
        self._successes = 0

    def close(self) -> None:
        """All is well again."""
        self.state = "closed"
        self.stalled = False
        self.failures = 0
        self._openings = 0
        self._window.clear()

    def _too_many(self, now: float) -> bool:
        if self.failures >= self._rules.consecutive:
            return True
        calls, failed = self._window.count(now)
        return calls >= self._rules.least_calls and failed >= self._rules.share * calls
