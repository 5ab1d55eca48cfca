"""What must run: numbered revisions and which of them are desired."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import DeployError
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.plugins.stores.schema import refuse_newer
from orchestrator.plugins.stores.spare import Spare
from orchestrator.plugins.stores.statefile import Damaged, Lost, StateFile, translated
from orchestrator.ports.store import Revision

declare("store.before-add", "store.in-transaction", "store.after-commit")

_COLUMNS: Final = "deployment, number, digest, blueprint, sources, created, origin, cause, checksum"
_DESIRED: Final = f"SELECT {_COLUMNS} FROM revision JOIN desired USING (deployment, number) ORDER BY deployment"  # noqa: S608 - constants
_SERVED: Final = f"""SELECT {_COLUMNS} FROM revision JOIN served USING (deployment, number)
    WHERE deployment IN (SELECT deployment FROM desired) ORDER BY deployment"""  # noqa: S608 - constants
_HISTORY: Final = f"SELECT {_COLUMNS} FROM revision WHERE deployment = ? ORDER BY number DESC"  # noqa: S608 - constants
_LAST: Final = "SELECT coalesce(max(number), 0) FROM revision WHERE deployment = ?"
_FORGET: Final = """DELETE FROM revision WHERE deployment = :deployment AND number <= :oldest
    AND number NOT IN (SELECT number FROM desired WHERE deployment = :deployment)
    AND number NOT IN (SELECT number FROM served WHERE deployment = :deployment)"""
_EVER_SERVED: Final = "SELECT number FROM ever_served JOIN revision USING (deployment, number) WHERE deployment = ?"
_FORGET_SERVED: Final = """DELETE FROM ever_served WHERE deployment = :deployment
    AND number NOT IN (SELECT number FROM revision WHERE deployment = :deployment)"""
KEPT: Final = 100
"""Revisions that are kept of each deployment, the newest ones."""
LOST_COMMIT: Final = "it holds other revisions than were committed"
_LOG: Final = logging.getLogger(__name__)


class SqliteRevisions:
    """A ``RevisionStore``. Each row has a checksum, so that a flipped bit is an error and never another deployment."""

    def __init__(self, file: StateFile, spare: Spare) -> None:
        self._file = file
        self._spare = spare
        self._behind = False
        """Whether the last commit is only in the database, and in the spare that was prepared."""

    def add(self, revision: Revision) -> None:
        """Store it and make it the desired one, durably. Raises ``DeployError`` for a number that is taken."""
        failpoint("store.before-add")
        with self._change() as connection:
            _insert(connection, revision)
            connection.execute(_FORGET, {"deployment": revision.deployment, "oldest": revision.number - KEPT})
            connection.execute(_FORGET_SERVED, {"deployment": revision.deployment})
            failpoint("store.in-transaction")

    def desired(self) -> Sequence[Revision]:
        """The desired revision of every deployment that is not taken down."""
        return self._read(self._file.rows(_DESIRED))

    def mark_served(self, deployment: str, number: int) -> None:
        """This revision serves."""
        with self._file.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO served VALUES (?, ?)", (deployment, number))
            connection.execute("INSERT OR IGNORE INTO ever_served VALUES (?, ?)", (deployment, number))

    def served(self) -> Sequence[Revision]:
        """Of every deployment that is not taken down, the revision that served last; a damaged one is left out."""
        return self._sound(_SERVED, ())

    def ever_served(self, deployment: str) -> Collection[int]:
        """The numbers of its kept revisions that ever served."""
        return [number for (number,) in self._file.rows(_EVER_SERVED, (deployment,))]

    def last_number(self, deployment: str) -> int:
        """The highest number that a revision of it ever had and that is kept; 0 for none. Looks into no revision."""
        number: int = self._file.rows(_LAST, (deployment,))[0][0]
        return number

    def history(self, deployment: str) -> Sequence[Revision]:
        """The kept revisions of one deployment, newest first. A damaged one is left out, with a warning in the log."""
        return self._sound(_HISTORY, (deployment,))

    def _sound(self, sql: str, values: tuple[str, ...]) -> list[Revision]:
        sound: list[Revision] = []
        for row in self._file.rows(sql, values):
            try:
                sound += self._read([row])
            except Damaged as error:
                _LOG.warning("left out of the history: %s", error.reason)
        return sound

    def remove(self, deployment: str) -> None:
        """Take it down: nothing is desired for it, and nothing of it counts as served; its history stays."""
        with self._change() as connection:
            connection.execute("DELETE FROM desired WHERE deployment = ?", (deployment,))
            connection.execute("DELETE FROM served WHERE deployment = ?", (deployment,))

    def restore(self, revisions: Iterable[Revision]) -> None:
        """Fill an empty database from a spare."""
        with self._change() as connection:
            for revision in revisions:
                _insert(connection, revision)

    def settle(self) -> None:
        """Compare with the spare, and finish what a killed process left. Raises ``Damaged`` where a commit is lost."""
        # Inside a transaction, so that no other process is between preparing and committing.
        with self._file.transaction() as connection:
            desired = self._read(connection.execute(_DESIRED).fetchall())
            if desired == self._spare.read():
                return
            if not self._spare.agrees(desired):
                raise Damaged(self._file.path, LOST_COMMIT)
            self._spare.prepare(desired)
            self._spare.accept()

    def close(self) -> None:
        """Close its connection."""
        self._file.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: what raises has changed nothing."""
        with self._file.transaction() as connection:
            if self._behind:  # two changes ahead, a spare would agree with nothing after a kill
                self._spare.accept()
                self._behind = False
            yield connection
            self._spare.prepare(self._read(connection.execute(_DESIRED).fetchall()))
        failpoint("store.after-commit")
        try:
            self._spare.accept()
        except OSError as error:  # it is committed, and the next start runs it: it must not be told as refused
            self._behind = True
            _LOG.warning("the spare of the state database is behind until it can be written: %s", error)

    def _read(self, rows: Sequence[tuple[Any, ...]]) -> list[Revision]:
        return _revisions(self._file.path, rows)


def desired_at(path: Path) -> list[Revision]:
    """What a runtime that starts on the database at ``path`` brings back: as ``settle`` and the recovery decide, but nothing
    is made, moved or written. Raises ``StateUnusable``; ``Damaged`` where no start recovers."""
    spare = Spare(path)
    if not path.exists():
        return spare.read() or []
    try:
        desired = _looked_at(path)
        if not spare.agrees(desired):
            raise Damaged(path, LOST_COMMIT)
    except Damaged as damage:
        kept = spare.read()
        if kept is None:
            raise Lost(path, damage.reason, spare.state()) from damage
        return kept
    return desired


def _looked_at(path: Path) -> list[Revision]:
    with translated(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        refuse_newer(path, version)
        return _revisions(path, connection.execute(_DESIRED).fetchall()) if version else []


def _revisions(path: Path, rows: Sequence[tuple[Any, ...]]) -> list[Revision]:
    revisions = []
    for *row, checksum in rows:
        deployment, number, digest, blueprint, sources, created, origin, cause = row
        if _checksum(row) != checksum:
            raise Damaged(path, f"revision {number} of {deployment} does not match its checksum")
        plain = (json.loads(blueprint), json.loads(sources))
        revisions.append(Revision(deployment, number, digest, *plain, created, origin, cause))
    return revisions


def _insert(connection: sqlite3.Connection, revision: Revision) -> None:
    row = _row(revision)
    try:
        connection.execute("INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, _checksum(row)))
    except sqlite3.IntegrityError as error:
        raise DeployError(
            f"revision {revision.number} of {revision.deployment} exists already",
            cure="another apply was faster; plan again",
        ) from error
    connection.execute("INSERT OR REPLACE INTO desired VALUES (?, ?)", (revision.deployment, revision.number))


def _row(revision: Revision) -> tuple[Any, ...]:
    return (
        revision.deployment,
        revision.number,
        revision.digest,
        json.dumps(revision.blueprint, ensure_ascii=False, separators=(",", ":")),
        json.dumps(revision.sources, ensure_ascii=False, separators=(",", ":")),
        float(revision.created),
        revision.origin,
        revision.cause,
    )


def _checksum(row: Sequence[Any]) -> str:
    return hashlib.sha256("\x1f".join(map(str, row)).encode()).hexdigest()
