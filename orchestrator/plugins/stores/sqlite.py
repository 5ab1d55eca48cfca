"""Opens the stores over one SQLite file, and recovers where that file is damaged.

A device without a keyboard must come back by itself, and must never serve something else than what was applied. So a
damaged database is put aside (never deleted), what must run comes back from the spare beside it, and the opener says so
in :attr:`StateStores.notes`. Where the spare is missing or damaged too, nothing is touched and every start says the
same, :class:`Lost`, until a person has it put aside: :func:`set_aside`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from orchestrator.core.message import KEEP_TURNS
from orchestrator.core.redaction import Redact
from orchestrator.plugins.stores.approvals import SqliteApprovals
from orchestrator.plugins.stores.effects import SqliteEffects
from orchestrator.plugins.stores.marks import MARKS_NAME, SqliteMarks
from orchestrator.plugins.stores.outbox import SqliteOutbox
from orchestrator.plugins.stores.outcomes import SqliteOutcomes
from orchestrator.plugins.stores.revisions import SqliteRevisions
from orchestrator.plugins.stores.runs import SqliteRuns
from orchestrator.plugins.stores.schema import migrate
from orchestrator.plugins.stores.sessions import SqliteSessions
from orchestrator.plugins.stores.spare import Spare
from orchestrator.plugins.stores.spending import SqliteSpending
from orchestrator.plugins.stores.statefile import Damaged, Lost, StateFile, Synchronous, translated
from orchestrator.plugins.stores.waiting import Keep, Stories


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much is kept: runs, sessions, approvals and deliveries of a deployment, messages of a session; for how many seconds at
    least what was waited for."""

    keep_runs: int = 1000
    keep_sessions: int = 1000
    keep_turns: int = KEEP_TURNS
    keep_approvals: int = 1000
    keep_seconds: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class StateStores:
    """The stores, each with a connection of its own; ``notes`` say what was lost or restored, for the operator."""

    revisions: SqliteRevisions
    runs: SqliteRuns
    sessions: SqliteSessions
    people: SqliteApprovals
    outbox: SqliteOutbox
    outcomes: SqliteOutcomes
    spending: SqliteSpending
    effects: SqliteEffects
    marks: SqliteMarks
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Close all of them."""
        self.marks.close()
        for store in (
            self.effects,
            self.spending,
            self.outcomes,
            self.outbox,
            self.people,
            self.sessions,
            self.runs,
            self.revisions,
        ):
            store.close()


_LIMITS = StoreLimits()


def open_stores(
    path: Path,
    limits: StoreLimits = _LIMITS,
    *,
    recover: bool = False,
    now: Callable[[], float] = time.time,
    redact: Redact = str,
) -> StateStores:
    """Open, check and if need be make the database at ``path``; ``redact`` takes known secrets out of runs. Raises
    :class:`StateUnusable`.

    Only the runtime, which holds the lock, sets ``recover``: it puts a damaged file aside. Without it a damaged file is
    reported and stays where it is.
    """
    notes: tuple[str, ...] = ()
    try:
        revisions = _open_revisions(path)
    except Damaged as damage:
        if not recover:
            raise
        revisions, note = _recover(path, damage, now())
        notes = (note,)
    with ExitStack() as opened:
        opened.callback(revisions.close)

        def file(synchronous: Synchronous = "FULL") -> StateFile:
            return opened.enter_context(closing(StateFile(path, synchronous)))

        runs = SqliteRuns(file(), limits.keep_runs, now, redact)
        # A turn is written on the way of a request, where a flush of the disk would be felt; the last one may be lost.
        sessions = SqliteSessions(file("NORMAL"), limits.keep_turns, limits.keep_sessions, now)
        stories = Stories(sessions, Keep(limits.keep_runs, limits.keep_approvals, limits.keep_seconds), now, redact)
        people, outbox = SqliteApprovals(file(), stories), SqliteOutbox(file(), stories)
        outcomes, spending = SqliteOutcomes(file(), now), SqliteSpending(file())
        effects = SqliteEffects(file(), now)
        marks = SqliteMarks(path.with_name(MARKS_NAME), "runtime", now)
        opened.callback(marks.close)
        lost = marks.recover() if recover else ""
        opened.pop_all()  # all are open: from here on they are closed by their owner
        notes = (*notes, lost) if lost else notes
    return StateStores(revisions, runs, sessions, people, outbox, outcomes, spending, effects, marks, notes)


def _open_revisions(path: Path) -> SqliteRevisions:
    file = StateFile(path)
    try:
        verdict = file.rows("PRAGMA quick_check(1)")[0][0]
        if verdict != "ok":
            raise Damaged(path, str(verdict))
        migrate(file)
        revisions = SqliteRevisions(file, Spare(path))
        revisions.settle()
    except BaseException:
        file.close()
        raise
    return revisions


def _recover(path: Path, damage: Damaged, now: float) -> tuple[SqliteRevisions, str]:
    spare = Spare(path)
    kept = spare.read()
    if kept is None:
        raise Lost(path, damage.reason, spare.state()) from damage
    with translated(path):
        aside = _put_aside(path, now)
    file = StateFile(path)
    try:
        migrate(file)
        revisions = SqliteRevisions(file, spare)
        revisions.restore(kept)
    except BaseException:
        file.close()
        raise
    names = ", ".join(revision.deployment for revision in kept) or "none"
    return revisions, (
        f"the state database was damaged ({damage.reason}) and is kept as {aside}; deployments restored: {names}; "
        "their older revisions, runs, sessions, approvals and what they spent today are only in the damaged file"
    )


def set_aside(path: Path, now: Callable[[], float] = time.time) -> tuple[Path, ...]:
    """Rename a database that no start can recover, with its damaged spare, so that the next start begins empty. Gives the new
    names: none where there is nothing that a start does not recover itself. For who holds the lock of the runtime."""
    try:
        _open_revisions(path).close()
    except Damaged:
        if Spare(path).read() is None:
            with translated(path):
                aside = _put_aside(path, now(), (*_LOGS, *_SPARES, ""))
            return tuple(sorted(aside.parent.glob(f"{aside.name}*")))
    return ()


_LOGS: Final = ("-wal", "-shm")
_SPARES: Final = (".desired.json", ".desired.json.new")


def _put_aside(path: Path, now: float, endings: tuple[str, ...] = (*_LOGS, "")) -> Path:
    """Rename it with its log files, which a later database of the old name must not find. The database is the last: where this
    is cut off, it is done again."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for ending in endings:
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside
