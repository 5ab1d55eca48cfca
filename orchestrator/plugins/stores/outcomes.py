"""Which answers were right, and what was fitted on that. It stays when the runs themselves are forgotten."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.fitted import Scale
from orchestrator.core.refined import Fit, fit_from_json
from orchestrator.plugins.stores.schema import refuse_newer
from orchestrator.plugins.stores.statefile import StateFile, translated
from orchestrator.ports.store import Outcome

_ALL_FITTED: Final = "SELECT deployment, agent, model, signal, version, fitted FROM calibration"

declare("outcomes.labelling", "outcomes.labelled")

KEEP: Final = 20_000
"""Labels of a deployment that are kept, the newest."""


class SqliteOutcomes:
    """An ``OutcomeStore``."""

    def __init__(self, file: StateFile, now: Callable[[], float] = time.time, keep: int = KEEP) -> None:
        self._file = file
        self._now = now
        self._keep = keep

    def label(self, outcomes: Sequence[Outcome]) -> None:
        """Store labels in one transaction, and forget what is beyond the limit."""
        now = self._now()
        rows = [
            (
                *(each.run, each.scale.agent, each.scale.signal, each.deployment, each.revision),
                *(each.scale.version, each.scale.model, each.score, each.right, now, each.by),
            )
            for each in outcomes
        ]
        with self._file.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO outcome (run, agent, signal, deployment, revision, version, model, score, correct, "
                "labelled, by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            failpoint("outcomes.labelling")
            for deployment in {each.deployment for each in outcomes}:
                connection.execute(
                    "DELETE FROM outcome WHERE deployment = ?1 AND seq <= "
                    "(SELECT seq FROM outcome WHERE deployment = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                    (deployment, self._keep),
                )
        failpoint("outcomes.labelled")

    def outcomes(self, deployment: str) -> Sequence[Outcome]:
        """All of a deployment, the oldest label first."""
        rows = self._file.rows(
            "SELECT revision, run, agent, model, signal, version, score, correct, by FROM outcome "
            "WHERE deployment = ? ORDER BY seq",
            (deployment,),
        )
        return [
            Outcome(deployment, revision, run, Scale(agent, model, signal, version), score, bool(correct), by)
            for revision, run, agent, model, signal, version, score, correct, by in rows
        ]

    def keep_fitted(self, deployment: str, revision: int, fitted: Mapping[Scale, Fit]) -> None:
        """Store curves with the revision that served as they were fitted."""
        rows = [
            (
                *(deployment, scale.agent, scale.model, scale.signal, scale.version),
                *(revision, json.dumps(each.as_json()), self._now()),
            )
            for scale, each in fitted.items()
        ]
        with self._file.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO calibration (deployment, agent, model, signal, version, revision, fitted, made) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def fitted(self) -> Mapping[str, Mapping[Scale, Fit]]:
        """By deployment; a row of another version of the program, which cannot be read, is as none."""
        return _read(self._file.rows(_ALL_FITTED))

    def close(self) -> None:
        """Close its connection."""
        self._file.close()


def fitted_at(path: Path) -> Mapping[str, Mapping[Scale, Fit]]:
    """By deployment, all that was fitted in the database at ``path``, which is only read; nothing of an old one that has no place
    for it. Raises ``StateUnusable``."""
    with translated(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        refuse_newer(path, version)
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'calibration'").fetchone()
        return _read(connection.execute(_ALL_FITTED).fetchall()) if made else {}


def _read(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[Scale, Fit]]:
    found: dict[str, dict[Scale, Fit]] = {}
    for deployment, *scale, text in rows:
        try:
            fitted = fit_from_json(Scale(*scale), json.loads(text))
        except (KeyError, TypeError, ValueError):
            continue
        found.setdefault(deployment, {})[Scale(*scale)] = fitted
    return found
