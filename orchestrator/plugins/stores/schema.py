"""The tables of the state database, as a list of steps from one version to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from orchestrator.core.errors import StateUnusable
from orchestrator.plugins.stores.statefile import StateFile

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE revision (
            deployment TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
            blueprint TEXT NOT NULL, sources TEXT NOT NULL, created REAL NOT NULL,
            origin TEXT NOT NULL, cause TEXT NOT NULL, checksum TEXT NOT NULL,
            PRIMARY KEY (deployment, number))""",
        """CREATE TABLE desired (
            deployment TEXT PRIMARY KEY, number INTEGER NOT NULL,
            FOREIGN KEY (deployment, number) REFERENCES revision (deployment, number))""",
        """CREATE TABLE run (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, deployment TEXT NOT NULL,
            finished REAL NOT NULL, text TEXT NOT NULL, result TEXT NOT NULL)""",
        "CREATE INDEX run_of_deployment ON run (deployment, seq)",
        """CREATE TABLE session (
            id INTEGER PRIMARY KEY, deployment TEXT NOT NULL, name TEXT NOT NULL, used REAL NOT NULL,
            UNIQUE (deployment, name))""",
        "CREATE INDEX session_by_use ON session (deployment, used)",
        """CREATE TABLE turn (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
            role TEXT NOT NULL, message BLOB NOT NULL)""",
        "CREATE INDEX turn_of_session ON turn (session, seq)",
    ),
    ("ALTER TABLE session ADD COLUMN restricted INTEGER NOT NULL DEFAULT 0",),
    (
        """CREATE TABLE approval (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, deployment TEXT NOT NULL, state TEXT NOT NULL,
            expires REAL NOT NULL, asked TEXT NOT NULL, held TEXT NOT NULL, decided REAL, by TEXT NOT NULL DEFAULT '',
            answer TEXT NOT NULL DEFAULT '', begun REAL, outcome TEXT, delivered REAL)""",
        "CREATE INDEX approval_of_deployment ON approval (deployment, seq)",
        "CREATE INDEX approval_open ON approval (expires) WHERE delivered IS NULL",
        """CREATE TABLE notice (
            approval TEXT NOT NULL REFERENCES approval (id) ON DELETE CASCADE, channel TEXT NOT NULL,
            tries INTEGER NOT NULL DEFAULT 0, again REAL NOT NULL, error TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (approval, channel))""",
    ),
    ("CREATE TABLE served (deployment TEXT PRIMARY KEY, number INTEGER NOT NULL)",),
    (
        """CREATE TABLE delivery (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, deployment TEXT NOT NULL, state TEXT NOT NULL,
            expires REAL NOT NULL, told TEXT NOT NULL, held TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
            again REAL NOT NULL, error TEXT NOT NULL DEFAULT '', sent REAL, delivered REAL, by TEXT NOT NULL DEFAULT '')""",
        "CREATE INDEX delivery_of_deployment ON delivery (deployment, seq)",
        "CREATE INDEX delivery_open ON delivery (seq) WHERE delivered IS NULL",
        """CREATE TABLE audit (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, subject TEXT NOT NULL, what TEXT NOT NULL,
            detail TEXT NOT NULL DEFAULT '')""",
        "CREATE INDEX audit_of_subject ON audit (subject, seq)",
    ),
    (
        """CREATE TABLE outcome (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, agent TEXT NOT NULL, signal TEXT NOT NULL,
            deployment TEXT NOT NULL, revision INTEGER NOT NULL, version TEXT NOT NULL, model TEXT NOT NULL,
            score REAL NOT NULL, correct INTEGER NOT NULL, labelled REAL NOT NULL, by TEXT NOT NULL,
            UNIQUE (run, agent, signal))""",
        "CREATE INDEX outcome_of_deployment ON outcome (deployment, seq)",
        """CREATE TABLE calibration (
            deployment TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, signal TEXT NOT NULL,
            version TEXT NOT NULL, revision INTEGER NOT NULL, fitted TEXT NOT NULL, made REAL NOT NULL,
            PRIMARY KEY (deployment, agent, model, signal, version))""",
    ),
    (
        """CREATE TABLE spent (
            deployment TEXT NOT NULL, agent TEXT NOT NULL, day TEXT NOT NULL,
            tokens INTEGER NOT NULL, micros INTEGER NOT NULL, calls INTEGER NOT NULL,
            PRIMARY KEY (deployment, agent, day))""",
        """CREATE TABLE reservation (
            id TEXT PRIMARY KEY, deployment TEXT NOT NULL, agent TEXT NOT NULL, day TEXT NOT NULL,
            tokens INTEGER NOT NULL, micros INTEGER NOT NULL, calls INTEGER NOT NULL)""",
        "CREATE INDEX reservation_of_day ON reservation (deployment, day)",
    ),
    (
        "CREATE TABLE ever_served (deployment TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (deployment, number))",
        # Nobody wrote down until now which of them did: each counts as one that may have.
        "INSERT INTO ever_served SELECT deployment, number FROM revision",
    ),
    (
        """CREATE TABLE fence (
            deployment TEXT NOT NULL, agent TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (deployment, agent))""",
        """CREATE TABLE effect (
            call TEXT PRIMARY KEY, deployment TEXT NOT NULL, agent TEXT NOT NULL, function TEXT NOT NULL,
            epoch INTEGER NOT NULL, at REAL NOT NULL)""",
        "CREATE INDEX effect_by_time ON effect (at)",
        "CREATE TABLE receipt (key TEXT PRIMARY KEY, deployment TEXT NOT NULL, at REAL NOT NULL, result TEXT NOT NULL)",
        "CREATE INDEX receipt_by_time ON receipt (at)",
    ),
    ("ALTER TABLE run ADD COLUMN kept_until REAL NOT NULL DEFAULT 0",),
)
"""A released step is never changed: a later version adds one. ``PRAGMA user_version`` counts those that were taken."""


def refuse_newer(path: Path, version: int) -> None:
    """Raise ``StateUnusable`` where the file has steps that this version does not know."""
    if version > len(STEPS):
        raise StateUnusable(
            f"the state database {path} was written by a newer version of the program",
            cure="use that version, or set ORCHESTRATOR_HOME to another folder",
        )


def migrate(file: StateFile) -> None:
    """Bring the file to this version; a file of a newer program is refused untouched."""
    version = int(file.rows("PRAGMA user_version")[0][0])
    refuse_newer(file.path, version)
    if version == len(STEPS):
        return
    with file.transaction() as connection:
        # Looked at again: two processes may open a new file at once.
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        for step in STEPS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(STEPS)}")
