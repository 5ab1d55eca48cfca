"""Slots of a simulated server and the queue before them. Pure: tickets in, decisions out; whoever waits does it outside."""

from __future__ import annotations

from collections import deque
from typing import Literal


class Slots:
    """``count`` requests run at once, ``queue`` wait, the rest is turned away."""

    def __init__(self, count: int, queue: int) -> None:
        self.count = count
        self.queue = queue
        self._running: set[int] = set()
        self._waiting: deque[int] = deque()

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def enter(self, ticket: int) -> Literal["runs", "waits", "full"]:
        """A request comes in."""
        if len(self._running) < self.count:
            self._running.add(ticket)
            return "runs"
        if len(self._waiting) < self.queue:
            self._waiting.append(ticket)
            return "waits"
        return "full"

    def leave(self, ticket: int) -> int | None:
        """A request is done or given up; returns the one that runs now in its place."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            return None
        if ticket not in self._running:
            return None
        self._running.discard(ticket)
        if not self._waiting:
            return None
        following = self._waiting.popleft()
        self._running.add(following)
        return following
