"""The port of those who listen to events."""

from __future__ import annotations

from typing import Protocol

from orchestrator.core.event import Event


class Sink(Protocol):
    """Takes events. It returns at once and never raises: what it does with them is its own task's work."""

    def take(self, event: Event) -> None:
        """Note one event."""
        ...
