"""What is spent in the cloud, by day: reserved before each call, settled after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.spending import NOTHING, Spend
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.ports.spending import Reservation

declare("spending.reserved", "spending.before-settle", "spending.settled")

KEEP_DAYS: Final = 62
"""Days of a deployment whose sums are kept."""
_SUM: Final = """
    SELECT agent, sum(tokens), sum(micros), sum(calls) FROM (
        SELECT agent, tokens, micros, calls FROM spent WHERE deployment = ?1 AND day = ?2
        UNION ALL SELECT agent, tokens, micros, calls FROM reservation WHERE deployment = ?1 AND day = ?2)
    GROUP BY agent"""


class SqliteSpending:
    """A ``SpendStore``. A reservation is a row until it is settled; then it is part of the day's sum."""

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def of_day(self, deployment: str, day: str) -> Mapping[str, Spend]:
        """What each agent has spent, with what was set aside and never settled."""
        return {row[0]: Spend(*row[1:]) for row in self._file.rows(_SUM, (deployment, day))}

    def reserve(self, reservation: Reservation) -> None:
        """Set it aside."""
        amount = reservation.amount
        with self._file.transaction() as connection:
            connection.execute(
                "INSERT INTO reservation (id, deployment, agent, day, tokens, micros, calls) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (reservation.id, *_place(reservation), amount.tokens, amount.micros, amount.calls),
            )
        failpoint("spending.reserved")

    def settle(self, reservation: Reservation, spent: Spend) -> None:
        """Put what it cost in the place of what was set aside. Nothing happens where that was done."""
        failpoint("spending.before-settle")
        with self._file.transaction() as connection:
            if not connection.execute("DELETE FROM reservation WHERE id = ?", (reservation.id,)).rowcount:
                return
            if spent != NOTHING:
                connection.execute(
                    "INSERT INTO spent (deployment, agent, day, tokens, micros, calls) VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (deployment, agent, day) DO UPDATE SET tokens = tokens + excluded.tokens, "
                    "micros = micros + excluded.micros, calls = calls + excluded.calls",
                    (*_place(reservation), spent.tokens, spent.micros, spent.calls),
                )
            for table in ("spent", "reservation"):
                connection.execute(
                    f"DELETE FROM {table} WHERE deployment = ? AND day < date(?, ?)",  # noqa: S608 - constants
                    (reservation.deployment, reservation.day, f"-{KEEP_DAYS} days"),
                )
        failpoint("spending.settled")

    def close(self) -> None:
        """Close its connection."""
        self._file.close()


def _place(reservation: Reservation) -> tuple[str, str, str]:
    return reservation.deployment, reservation.agent, reservation.day
