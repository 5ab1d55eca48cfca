"""When an idle endpoint is asked whether it lives, and what the answers mean. Traffic tells more, so it comes first."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from orchestrator.deploy.backoff import Backoff, Jitter

PROBE_EVERY: Final = Backoff(10.0, 60.0, 0.25)
CHECK_EVERY: Final = Backoff(300.0, 300.0, 0.25)


@dataclass(frozen=True, slots=True)
class HealthRules:
    """Seconds and counts. The interval keeps away from the 5 s after which many servers close idle connections.

    A *deep check* asks for one token, because a server whose engine hangs still answers probes. One that fails is made again
    after ``check_again``, and so often before it counts: the server may only be at work for somebody else. ``check`` is
    ``None`` where none is wanted.
    """

    quiet: float = 15.0  # no probe while a call succeeded this recently
    interval: Backoff = PROBE_EVERY
    timeout: float = 2.0
    failures_to_down: int = 3
    successes_to_up: int = 2
    check: Backoff | None = CHECK_EVERY
    check_timeout: float = 15.0
    check_again: float = 30.0
    checks_to_fail: int = 3


class Health:
    """What probes, checks and successes say about one endpoint."""

    __slots__ = (
        "_checks_failed",
        "_failures",
        "_next_check",
        "_rules",
        "_successes",
        "alive",
        "checking",
        "down",
        "last_success",
        "next_probe",
        "probing",
    )

    def __init__(self, rules: HealthRules, now: float) -> None:
        self._rules = rules
        self._failures = 0
        self._successes = 0
        self.alive = False
        """Whether the last thing heard of it was a sign of life."""
        self.down = False
        self.probing = False
        self.last_success = -inf
        self.next_probe = now
        self.checking = False
        self._checks_failed = 0
        self._next_check = now + (rules.check.first if rules.check is not None else inf)

    @property
    def probe_due(self) -> float:
        """When the next probe may go out; infinite while one is under way."""
        if self.probing:
            return inf
        return max(self.next_probe, self.last_success + self._rules.quiet)

    @property
    def check_due(self) -> float:
        """When the next deep check may go out; infinite while one is under way."""
        check = self._rules.check
        if self.checking or check is None:
            return inf
        return max(self._next_check, self.last_success + check.first)

    def checked(self, ok: bool, now: float, jitter: Jitter) -> bool:
        """A deep check ended; tells whether so many have failed now that the server counts as hung."""
        self.checking = False
        self._checks_failed = 0 if ok else self._checks_failed + 1
        over = self._checks_failed >= self._rules.checks_to_fail
        if self._checks_failed and not over:
            self._next_check = now + self._rules.check_again
        elif self._rules.check is not None:
            self._next_check = now + self._rules.check.delay(0, jitter)
            self._checks_failed = 0
        return over

    def heard(self, now: float) -> None:
        """The server answered a call."""
        self.alive = True
        self.down = False
        self._failures = self._checks_failed = 0
        self.last_success = now

    def lost(self) -> None:
        """A call could not reach it."""
        self.alive = False
        self._successes = 0

    def probed(self, ok: bool, now: float, jitter: Jitter) -> None:
        """A probe ended."""
        self.probing = False
        if ok:
            self._failures = 0
            self._successes += 1
            self.alive = True
            if self._successes >= self._rules.successes_to_up:
                self.down = False
        else:
            self._successes = 0
            self._failures += 1
            self.alive = False
            if self._failures >= self._rules.failures_to_down:
                self.down = True
        over = max(0, self._failures - self._rules.failures_to_down + 1)
        self.next_probe = now + self._rules.interval.delay(over, jitter)

    @property
    def up(self) -> bool:
        """Whether enough probes in a row were answered."""
        return self._successes >= self._rules.successes_to_up
