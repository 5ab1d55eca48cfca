"""What people are still to be told: rows beside the approvals, written in the same transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.core.failpoint import declare, failpoint
from orchestrator.plugins.stores.approval_rows import COLUMNS, read
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.ports.people import Notice

declare("people.before-told", "people.told")

_OPEN: Final = "FROM notice n JOIN approval a ON a.id = n.approval WHERE a.state = 'pending'"
_APPROVAL: Final = ", ".join(f"a.{name}" for name in COLUMNS)
MOST_AT_ONCE: Final = 20
"""Notices that are taken up together."""


class SqliteNotices:
    """A ``NoticeStore``. A notice is gone once it arrived, or once nobody needs to decide any more."""

    def __init__(self, file: StateFile, now: Callable[[], float]) -> None:
        self._file = file
        self._now = now

    def due(self) -> Sequence[Notice]:
        """Notices whose time has come, the oldest first."""
        sql = f"SELECT n.channel, n.tries, n.error, {_APPROVAL} {_OPEN} AND n.again <= ? ORDER BY n.again LIMIT ?"
        rows = self._file.rows(sql, (self._now(), MOST_AT_ONCE))
        return [Notice(read(row), channel, tries, error) for channel, tries, error, *row in rows]

    def next_due(self) -> float | None:
        """When the next one is due."""
        first: float | None = self._file.rows(f"SELECT min(n.again) {_OPEN}")[0][0]
        return first

    def told(self, notice: Notice) -> None:
        """It arrived: the row goes, and with it those of approvals that are decided."""
        failpoint("people.before-told")
        with self._file.transaction() as connection:
            key = (notice.approval.id, notice.channel)
            connection.execute("DELETE FROM notice WHERE approval = ? AND channel = ?", key)
            decided = "SELECT id FROM approval WHERE state != 'pending'"
            connection.execute(f"DELETE FROM notice WHERE approval IN ({decided})")  # noqa: S608 - constants
        failpoint("people.told")

    def put_off(self, notice: Notice, error: str, again: float) -> None:
        """It did not arrive."""
        with self._file.transaction() as connection:
            sql = "UPDATE notice SET tries = ?, error = ?, again = ? WHERE approval = ? AND channel = ?"
            connection.execute(sql, (notice.tries + 1, error, again, notice.approval.id, notice.channel))

    def trouble(self) -> Mapping[str, Mapping[str, Any]]:
        """For each deployment with something that waits: how much, how many notices did not arrive, and why the last did not."""
        counted = self._file.rows(
            "SELECT deployment, count(*) FROM approval WHERE state = 'pending' GROUP BY deployment"
        )
        found: dict[str, dict[str, Any]] = {
            name: {"pending": count, "untold": 0, "error": ""} for name, count in counted
        }
        sql = f"SELECT a.deployment, n.error {_OPEN} AND n.error != '' ORDER BY n.again"
        for name, error in self._file.rows(sql):
            found[name]["untold"] += 1
            found[name]["error"] = error
        return found

    def close(self) -> None:
        """Close its connection."""
        self._file.close()


def put_notices(connection: sqlite3.Connection, approval: str, channels: Sequence[str], now: float) -> None:
    """Notices of a new approval, due at once."""
    rows = [(approval, channel, now) for channel in channels]
    connection.executemany("INSERT INTO notice (approval, channel, again) VALUES (?, ?, ?)", rows)
