"""What happened: finished runs, the newest of each deployment."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.forwarded import only_one
from orchestrator.core.redaction import Redact, without_secrets
from orchestrator.core.request import Result
from orchestrator.core.surrogates import whole
from orchestrator.plugins.stores.statefile import StateFile

declare("store.before-keep", "store.after-keep")

_COLUMNS: Final = "finished, text, result"
_FORGET: Final = """DELETE FROM run WHERE deployment = ?1
    AND seq <= (SELECT seq FROM run WHERE deployment = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)
    AND kept_until < ?3
    AND id NOT IN (SELECT coalesce(json_extract(asked, '$.run'), '') FROM approval WHERE delivered IS NULL
        UNION ALL SELECT coalesce(json_extract(told, '$.run'), '') FROM delivery WHERE delivered IS NULL)"""
"""A run that waits stays, and one that has waited stays for a time: its caller was told to ask for it."""
_PUT: Final = """INSERT OR REPLACE INTO run (id, deployment, finished, text, result, kept_until)
    VALUES (?1, ?2, ?3, ?4, ?5, max(?6, coalesce((SELECT kept_until FROM run WHERE id = ?1), 0)))"""
Row = tuple[str, str, float, str, str, float]


class SqliteRuns:
    """A ``RunStore``. It keeps the newest ``keep_runs`` of each deployment and those that wait, ``redact`` takes secrets out."""

    def __init__(
        self, file: StateFile, keep_runs: int, now: Callable[[], float] = time.time, redact: Redact = str
    ) -> None:
        self._file = file
        self._keep_runs = keep_runs
        self._now = now
        self._redact = redact

    def keep(self, results: Sequence[Result], texts: Sequence[str]) -> None:
        """Store a batch in one transaction; a run that is stored again replaces itself, but for one that waits: what is there of
        it may be its end already."""
        failpoint("store.before-keep")
        finished, rows = self._now(), list[Row]()
        with self._file.transaction() as connection:
            for each, text in zip(results, texts, strict=True):
                if each.status != "waiting" or not _is_there(connection, each.id):
                    rows.append(run_row(each, text, finished, self._redact))
            put_runs(connection, rows, self._keep_runs, finished)
        failpoint("store.after-keep")

    def find(self, run: str) -> Mapping[str, Any] | None:
        """One run, by its id or a unique beginning of it; parts that other nodes asked for do not make their run's ambiguous.
        Raises ``UsageError`` where several begin so."""
        sql = f"SELECT {_COLUMNS} FROM run WHERE id = ?"  # noqa: S608 - constants
        rows = self._file.rows(sql, (run,))
        if not rows and run and (ids := self._file.ids_of("run", run)):
            rows = self._file.rows(sql, (only_one(ids, run, "runs"),))
        return _stored(rows[0]) if rows else None

    def recent(self, deployment: str, count: int) -> Sequence[Mapping[str, Any]]:
        """The newest runs first."""
        sql = f"SELECT {_COLUMNS} FROM run WHERE deployment = ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - constants
        return [_stored(row) for row in self._file.rows(sql, (deployment, count))]

    def close(self) -> None:
        """Close its connection."""
        self._file.close()


def run_row(result: Result, text: str, finished: float, redact: Redact, kept_until: float = 0.0) -> Row:
    """A run as it is stored; ``kept_until`` is when it may be forgotten first (seconds since 1970)."""
    return result.id, result.deployment, finished, whole(redact(text)), _as_text(result, redact), kept_until


def put_runs(connection: sqlite3.Connection, rows: Sequence[Row], keep_runs: int, now: float) -> None:
    """Store runs within a transaction, and forget what is beyond the newest ``keep_runs`` of each deployment, does not wait, and
    may be forgotten ``now``."""
    connection.executemany(_PUT, rows)
    for deployment in {row[1] for row in rows}:
        connection.execute(_FORGET, (deployment, keep_runs, now))


def _is_there(connection: sqlite3.Connection, run: str) -> bool:
    return connection.execute("SELECT 1 FROM run WHERE id = ?", (run,)).fetchone() is not None


def _as_text(result: Result, redact: Redact) -> str:
    return whole(json.dumps(without_secrets(result.as_json(), redact), ensure_ascii=False, separators=(",", ":")))


def _stored(row: tuple[Any, ...]) -> dict[str, Any]:
    """The result's plain form, with the request's text and the time it was stored (seconds since 1970)."""
    finished, text, result = row
    return {**json.loads(result), "request": text, "finished": finished}
