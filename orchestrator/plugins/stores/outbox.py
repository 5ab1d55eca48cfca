"""What waits for targets that are away: one row a delivery, one transaction a change, each with its line of the audit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.delivery import Delivery, DeliveryState
from orchestrator.core.errors import NoSuchDelivery, OutboxFull
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.plugins.stores.waiting import Stories, close_waiting
from orchestrator.ports.outbox import AuditEntry, Deferring

declare("outbox.before-defer", "outbox.in-defer", "outbox.deferred", "outbox.in-begin", "outbox.begun")
declare("outbox.in-put-off", "outbox.put-off", "outbox.before-settle", "outbox.in-settle", "outbox.settled")

_TOLD: Final = (
    "revision",
    "run",
    "agent",
    "text",
    "created",
    "away",
    "session",
    "data_class",
    "settles",
    "there",
    "part",
)
_ROW: Final = ("id", "deployment", "state", "expires", "told", "tries", "again", "error", "sent", "delivered", "by")
_SELECT: Final = f"SELECT {', '.join(_ROW)}, held FROM delivery"  # noqa: S608 - constants
_LIGHT: Final = f"SELECT {', '.join(_ROW)}, '{{}}' FROM delivery"  # noqa: S608 - constants
_ENDS: Final[Mapping[str, DeliveryState]] = {"DeliveryExpired": "expired", "DeliveryCancelled": "cancelled"}


class SqliteOutbox:
    """An ``OutboxStore``. Runs and sessions change in its transactions too, through ``stories``."""

    def __init__(self, file: StateFile, stories: Stories) -> None:
        self._file = file
        self._stories = stories

    # -- changing ---------------------------------------------------------------------------------------------------

    def defer(self, deferring: Deferring) -> None:
        """Keep a delivery with the run that waits and its turn of the session. Raises ``OutboxFull``."""
        failpoint("outbox.before-defer")
        delivery, now = deferring.delivery, self._stories.now()
        with self._file.transaction() as connection:
            _check_room(connection, delivery.deployment, deferring.most)
            _insert(connection, delivery)
            self._stories.keep_run(connection, deferring.result, str(delivery.held.get("typed", delivery.text)))
            place = (delivery.deployment, delivery.session)
            self._stories.say(connection, place, deferring.said, restricted=deferring.restricted)
            if delivery.settles:
                close_waiting(connection, delivery.settles, now)
            _note(connection, now, delivery.id, "deferred", delivery.away)
            failpoint("outbox.in-defer")
        failpoint("outbox.deferred")

    def begin(self, delivery: str) -> bool:
        """It is tried now."""
        now = self._stories.now()
        with self._file.transaction() as connection:
            sql = "UPDATE delivery SET sent = ?, tries = tries + 1 WHERE id = ? AND delivered IS NULL"
            began = connection.execute(sql, (now, delivery)).rowcount > 0
            if began:
                _note(connection, now, delivery, "tried")
            failpoint("outbox.in-begin")
        failpoint("outbox.begun")
        return began

    def put_off(
        self, delivery: str, error: str, again: float, *, unknown: bool = False, expires: float | None = None
    ) -> None:
        """It did not reach its target, or (``unknown``) may have; it waits until ``expires`` from now on, where that is told."""
        with self._file.transaction() as connection:
            sql = """UPDATE delivery SET sent = CASE WHEN ? THEN sent END, error = ?, again = ?, expires = coalesce(?, expires)
                WHERE id = ? AND delivered IS NULL"""
            connection.execute(sql, (unknown, error, again, expires, delivery))
            failpoint("outbox.in-put-off")
        failpoint("outbox.put-off")

    def hurry(self, deployment: str, delivery: str) -> Sequence[Delivery]:
        """Say of these that they are tried now."""
        meant, values = (
            "delivered IS NULL AND (?1 = '' OR deployment = ?1) AND (?2 = '' OR id = ?2)",
            (deployment, delivery),
        )
        with self._file.transaction() as connection:
            connection.execute(f"UPDATE delivery SET again = 0 WHERE {meant}", values)  # noqa: S608 - constants
            rows = connection.execute(f"{_LIGHT} WHERE {meant} ORDER BY seq", values).fetchall()
        return [_read(row) for row in rows]

    def settle(self, waiting: str, result: Result, text: str, said: Sequence[Message], by: str = "") -> bool:
        """Keep the end of its run. What the run needed to go on is forgotten."""
        failpoint("outbox.before-settle")
        now = self._stories.now()
        with self._file.transaction() as connection:
            found = _one(connection, waiting)
            if not close_waiting(connection, found.id, now):
                return False
            kind = str((result.error or {}).get("kind", ""))
            state = _ENDS.get(kind, "failed" if result.error else "delivered")
            connection.execute("UPDATE delivery SET state = ?, by = ? WHERE id = ?", (state, by, found.id))
            _note(connection, now, found.id, state, str((result.error or {}).get("message", "")) or result.served_by)
            self._stories.keep_run(connection, result, text)
            restricted = "restricted" in (found.data_class, result.data_class)
            self._stories.say(connection, (found.deployment, found.session), said, restricted=restricted)
            if self._stories.forget_old(connection, "delivery", found.deployment):
                connection.execute("DELETE FROM audit WHERE subject NOT IN (SELECT id FROM delivery)")
            failpoint("outbox.in-settle")
        failpoint("outbox.settled")
        return True

    # -- looking ----------------------------------------------------------------------------------------------------

    def find(self, delivery: str) -> Delivery:
        """One of them, by its id or a unique beginning of it."""
        row = self._file.row_of(_SELECT, delivery, "deliveries")
        if row is None:
            raise _unknown(delivery)
        return _read(row)

    def audit(self, delivery: str) -> Sequence[AuditEntry]:
        """All that was done with it, the oldest first."""
        rows = self._file.rows("SELECT at, what, detail FROM audit WHERE subject = ? ORDER BY seq", (delivery,))
        return [AuditEntry(*row) for row in rows]

    def newest(self, deployment: str, count: int, *, closed: bool) -> Sequence[Delivery]:
        """The newest first."""
        where = "(?1 = '' OR deployment = ?1) AND (?2 OR delivered IS NULL)"
        rows = self._file.rows(f"{_LIGHT} WHERE {where} ORDER BY seq DESC LIMIT ?3", (deployment, closed, count))
        return [_read(row) for row in rows]

    def waiting(self) -> Sequence[Delivery]:
        """All that waits, the oldest first."""
        return [_read(row) for row in self._file.rows(f"{_LIGHT} WHERE delivered IS NULL ORDER BY seq")]

    def trouble(self) -> Mapping[str, Mapping[str, Any]]:
        """For each deployment with something that waits: how much, when the next try is, and why the last one failed."""
        sql = """SELECT deployment, count(*), min(again), (SELECT error FROM delivery last WHERE last.deployment = d.deployment
            AND delivered IS NULL AND error != '' ORDER BY again DESC LIMIT 1) FROM delivery d WHERE delivered IS NULL
            GROUP BY deployment"""
        rows = self._file.rows(sql)
        return {name: {"waiting": count, "again": again, "error": error or ""} for name, count, again, error in rows}

    def close(self) -> None:
        """Close its connection."""
        self._file.close()


def _check_room(connection: sqlite3.Connection, deployment: str, most: int) -> None:
    sql = """SELECT count(*) FROM delivery WHERE deployment = ? AND delivered IS NULL
        AND coalesce(json_extract(told, '$.there'), '') = ''"""  # of what waits for a person there, that node keeps the number
    waiting = connection.execute(sql, (deployment,)).fetchone()[0]
    if waiting >= most:
        waits = f"1 request of {deployment} waits" if waiting == 1 else f"{waiting} requests of {deployment} wait"
        raise OutboxFull(
            f"{waits} for a target already",
            cure="See what they wait for (orchestrator outbox list), or raise store_and_forward.most_waiting.",
            retry_after=60.0,
        )


def _insert(connection: sqlite3.Connection, delivery: Delivery) -> None:
    told = {name: getattr(delivery, name) for name in _TOLD}
    connection.execute(
        "INSERT INTO delivery (id, deployment, state, expires, told, held, again) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            delivery.id,
            delivery.deployment,
            delivery.state,
            delivery.expires,
            _text(told),
            _text(delivery.held),
            delivery.again,
        ),
    )


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _note(connection: sqlite3.Connection, at: float, subject: str, what: str, detail: str = "") -> None:
    connection.execute("INSERT INTO audit (at, subject, what, detail) VALUES (?, ?, ?, ?)", (at, subject, what, detail))


def _one(connection: sqlite3.Connection, delivery: str) -> Delivery:
    row = connection.execute(f"{_LIGHT} WHERE id = ?", (delivery,)).fetchone()
    if row is None:
        raise _unknown(delivery)
    return _read(row)


def _read(row: Sequence[Any]) -> Delivery:
    """From its columns."""
    *plain, held = row
    fields = dict(zip(_ROW, plain, strict=True))
    told = json.loads(fields.pop("told"))
    return Delivery(**fields, **told, held=json.loads(held))


def _unknown(delivery: str) -> NoSuchDelivery:
    return NoSuchDelivery(f'nothing waits for its target under "{delivery}"', cure="orchestrator outbox list --all")
