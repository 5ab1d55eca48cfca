"""What is written together with a run that begins or ends to wait: the run of the history, its turn of the session, the row
of what it waited for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.message import Message
from orchestrator.core.redaction import Redact
from orchestrator.core.request import Result
from orchestrator.plugins.stores.runs import put_runs, run_row
from orchestrator.plugins.stores.sessions import SqliteSessions

_ASKED: Final = "SELECT result FROM receipt WHERE key = ?"
_RECEIPT: Final = "UPDATE receipt SET result = ? WHERE key = ?"
ASKER: Final = "asker"
"""Beside the fields of a result that is kept for another node: the name of that node. An older version, come back, passes over it;
what such a one kept has none."""
_CLOSE: Final = (
    "UPDATE approval SET delivered = ?, held = '{}' WHERE id = ? AND delivered IS NULL",
    "UPDATE delivery SET delivered = ?, held = '{}', state = 'delivered', sent = NULL WHERE id = ? AND delivered IS NULL",
)


@dataclass(frozen=True, slots=True)
class Keep:
    """How many are kept of each deployment: runs, approvals and deliveries that are done; of these, and of the runs that waited
    for them, also all that were done within so many ``seconds``: whoever asked was told to come back for the answer."""

    runs: int
    approvals: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stories:
    """Writes runs and turns within the transactions of others; ``redact`` takes known secrets out of runs."""

    sessions: SqliteSessions
    keep: Keep
    now: Callable[[], float]
    redact: Redact

    def keep_run(self, connection: sqlite3.Connection, result: Result, text: str) -> None:
        """Keep a run that waited in the history; where another node asked for it, also its end as that one is told it, which has
        what must not leave marked."""
        now = self.now()
        if result.status != "waiting" and (found := connection.execute(_ASKED, (result.id,)).fetchone()):
            asked = json.loads(found[0])
            told = result.as_kept() | ({ASKER: asked[ASKER]} if ASKER in asked else {})
            connection.execute(_RECEIPT, (json.dumps(told), result.id))
        row = run_row(result, text, now, self.redact, now + self.keep.seconds)
        put_runs(connection, [row], self.keep.runs, now)

    def forget_old(self, connection: sqlite3.Connection, table: str, deployment: str) -> bool:
        """Forget what of a deployment is done, beyond the newest, and old; whether there was some."""
        gone = connection.execute(
            f"DELETE FROM {table} WHERE deployment = ?1 AND delivered < ?3 AND seq <= (SELECT seq FROM {table} "  # noqa: S608 - our own tables
            "WHERE deployment = ?1 AND delivered IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            (deployment, self.keep.approvals, self.now() - self.keep.seconds),
        )
        return gone.rowcount > 0

    def say(
        self,
        connection: sqlite3.Connection,
        place: tuple[str, str],
        said: Sequence[Message],
        *,
        restricted: bool,
    ) -> None:
        """Add turns to a session: ``place`` is its deployment and its name, which may be empty. What makes it restricted does so
        also where nothing is said: an earlier turn of it may be what a restricted agent was shown since."""
        if place[1] and (said or restricted):
            self.sessions.append_in(connection, *place, said, restricted=restricted)


def close_waiting(connection: sqlite3.Connection, waiting: str, now: float) -> bool:
    """Its run has its end, or waits for something else now: what it needed to go on is forgotten. ``False`` where that was so."""
    return any(connection.execute(sql, (now, waiting)).rowcount > 0 for sql in _CLOSE)
