"""Which answers were right, and what was fitted on that. It stays when the runs themselves are forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.fitted import Fitted, Scale
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.ports.store import Outcome

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

    def keep_fitted(self, deployment: str, revision: int, fitted: Mapping[Scale, Fitted]) -> None:
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

    def fitted(self) -> Mapping[str, Mapping[Scale, Fitted]]:
        """By deployment; a row of another version of the program, which cannot be read, is as none."""
        found: dict[str, dict[Scale, Fitted]] = {}
        for deployment, *scale, text in self._file.rows(
            "SELECT deployment, agent, model, signal, version, fitted FROM calibration"
        ):
            try:
                fitted = Fitted.from_json(json.loads(text))
            except (KeyError, TypeError, ValueError):
                continue
            found.setdefault(deployment, {})[Scale(*scale)] = fitted
        return found

    def close(self) -> None:
        """Close its connection."""
        self._file.close()
