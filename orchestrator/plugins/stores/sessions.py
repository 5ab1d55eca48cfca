"""What was said: the turns of conversations."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence

from orchestrator.core.message import Message, forgotten
from orchestrator.core.surrogates import utf8
from orchestrator.plugins.stores.statefile import StateFile


class SqliteSessions:
    """A ``SessionStore``. Of each session it keeps the ``newest`` messages, at most ``keep_turns``;
    of each deployment the ``keep_sessions`` that were used last."""

    def __init__(
        self, file: StateFile, keep_turns: int, keep_sessions: int, now: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self.keep_turns = keep_turns
        self._keep_sessions = keep_sessions
        self._now = now

    def load(self, deployment: str, session: str) -> tuple[Message, ...]:
        """Its turns so far; empty for a new one."""
        rows = self._file.rows(
            "SELECT t.message FROM turn t JOIN session s ON t.session = s.id "
            "WHERE s.deployment = ? AND s.name = ? ORDER BY t.seq",
            (deployment, session),
        )
        return tuple(_message(row[0]) for row in rows)

    def is_restricted(self, deployment: str, session: str) -> bool:
        """Whether turns were ever added to it as restricted."""
        sql = "SELECT restricted FROM session WHERE deployment = ? AND name = ?"
        return any(bool(row[0]) for row in self._file.rows(sql, (deployment, session)))

    def append(self, deployment: str, session: str, messages: Sequence[Message], *, restricted: bool = False) -> None:
        """Add turns, and forget what is beyond the limits; ``restricted`` marks the session for good."""
        with self._file.transaction() as connection:
            self.append_in(connection, deployment, session, messages, restricted=restricted)

    def append_in(
        self,
        connection: sqlite3.Connection,
        deployment: str,
        session: str,
        messages: Sequence[Message],
        *,
        restricted: bool,
    ) -> None:
        """The same within a transaction of somebody else."""
        number = self._touch(connection, deployment, session)
        if restricted:
            connection.execute("UPDATE session SET restricted = 1 WHERE id = ?", (number,))
        connection.executemany(
            "INSERT INTO turn (session, role, message) VALUES (?, ?, ?)",
            [(number, message.role, _kept(message)) for message in messages],
        )
        self._trim(connection, number)

    def close(self) -> None:
        """Close its connection."""
        self._file.close()

    def _touch(self, connection: sqlite3.Connection, deployment: str, name: str) -> int:
        key = (deployment, name)
        row = connection.execute("SELECT id FROM session WHERE deployment = ? AND name = ?", key).fetchone()
        if row is not None:
            connection.execute("UPDATE session SET used = ? WHERE id = ?", (self._now(), row[0]))
            return int(row[0])
        connection.execute("INSERT INTO session (deployment, name, used) VALUES (?, ?, ?)", (*key, self._now()))
        number = int(connection.execute("SELECT last_insert_rowid()").fetchone()[0])
        connection.execute(
            "DELETE FROM session WHERE id IN "
            "(SELECT id FROM session WHERE deployment = ? ORDER BY used DESC, id DESC LIMIT -1 OFFSET ?)",
            (deployment, self._keep_sessions),
        )
        return number

    def _trim(self, connection: sqlite3.Connection, session: int) -> None:
        rows = connection.execute(
            "SELECT seq, role FROM turn WHERE session = ? ORDER BY seq DESC LIMIT ?", (session, self.keep_turns + 1)
        ).fetchall()[::-1]
        surplus = forgotten([role for _, role in rows], self.keep_turns)
        if surplus:
            connection.execute("DELETE FROM turn WHERE session = ? AND seq < ?", (session, rows[surplus][0]))


def _message(encoded: bytes) -> Message:
    """The stored JSON is handed on where it has no marks, so that it is not encoded again for the wire."""
    plain = Message.from_kept(json.loads(encoded))
    if plain.marks:
        return plain
    return Message(plain.role, plain.content, plain.tool_calls, plain.tool_call_id, _encoded=[encoded])


def _kept(message: Message) -> bytes:
    """Its JSON as servers get it, where nothing of it must be kept from them."""
    return utf8(json.dumps(message.as_kept(), ensure_ascii=False)) if message.marks else message.encoded()
