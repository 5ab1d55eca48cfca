"""The port of what is spent: reservations and the sums of each day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.spending import Spend


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one call may cost, set aside before it is made. ``day`` is the UTC date, as ``2026-11-26``."""

    id: str
    deployment: str
    agent: str
    day: str
    amount: Spend


class SpendStore(Protocol):
    """Every change is durable when the call returns. Raises ``StateUnusable``."""

    def of_day(self, deployment: str, day: str) -> Mapping[str, Spend]:
        """What each agent has spent on a day; what was set aside and never settled counts as spent."""
        ...

    def reserve(self, reservation: Reservation) -> None:
        """Set it aside."""
        ...

    def settle(self, reservation: Reservation, spent: Spend) -> None:
        """It has cost so much; once."""
        ...
