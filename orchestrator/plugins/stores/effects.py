"""What exclusive agents did outside, and what this node answered to requests that other nodes keep until they are answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

from orchestrator.core.errors import LeaseLost
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.request import Result
from orchestrator.plugins.stores.statefile import StateFile
from orchestrator.plugins.stores.waiting import ASKER
from orchestrator.ports.effects import Effect

declare("effects.acting", "effects.before-answer", "effects.answered")

KEEP_SECONDS: Final = 30 * 86400.0
"""A request waits for three days by default; who asks again after a month is not known any more."""


class SqliteEffects:
    """An ``EffectStore``."""

    def __init__(self, file: StateFile, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now

    def act(self, effect: Effect) -> None:
        """Look at the highest epoch of the agent and write the effect down, in one transaction."""
        now, place = self._now(), (effect.deployment, effect.agent)
        with self._file.transaction() as connection:
            sql = "SELECT epoch FROM fence WHERE deployment = ? AND agent = ?"
            highest = (connection.execute(sql, place).fetchone() or (0,))[0]
            if effect.epoch < highest:
                raise LeaseLost(
                    f"{effect.function} is not called: agent.{effect.agent} acts under epoch {effect.epoch}, and one of epoch "
                    f"{highest} has acted already",
                    cure="Ask again: the node that holds the agent now answers.",
                )
            connection.execute(
                "INSERT OR REPLACE INTO fence (deployment, agent, epoch) VALUES (?, ?, ?)", (*place, effect.epoch)
            )
            connection.execute(
                "INSERT OR REPLACE INTO effect (call, deployment, agent, function, epoch, at) VALUES (?, ?, ?, ?, ?, ?)",
                (effect.call, *place, effect.function, effect.epoch, now),
            )
            connection.execute("DELETE FROM effect WHERE at < ?", (now - KEEP_SECONDS,))
        failpoint("effects.acting")

    def answered(self, key: str, asker: str) -> Result | None:
        """By the key of the request. What an older version kept names no asker: that is told by the key alone."""
        rows = self._file.rows("SELECT result FROM receipt WHERE key = ?", (key,))
        kept = json.loads(rows[0][0]) if rows else None
        return Result.from_json(kept) if kept is not None and kept.get(ASKER, asker) == asker else None

    def keep_answer(self, deployment: str, key: str, asker: str, result: Result) -> None:
        """Before the answer leaves this node."""
        failpoint("effects.before-answer")
        now, text = self._now(), json.dumps(result.as_kept() | {ASKER: asker})
        with self._file.transaction() as connection:
            sql = "INSERT OR IGNORE INTO receipt (key, deployment, at, result) VALUES (?, ?, ?, ?)"
            connection.execute(sql, (key, deployment, now, text))
            connection.execute("DELETE FROM receipt WHERE at < ?", (now - KEEP_SECONDS,))
        failpoint("effects.answered")

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
