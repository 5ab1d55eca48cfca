"""The leases of a deployment as its board tells them: who leads, and who may answer for each exclusive agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from orchestrator.core.errors import BusDown
from orchestrator.node.lease import NOBODY, Holding, holding_in
from orchestrator.node.mesh import Mesh
from orchestrator.node.subjects import Subjects
from orchestrator.ports.bus import Board

LEADER: Final = "leader"
EVERY: Final = 5.0
"""Seconds between two looks: how long ago a holder changed is known as exactly, and an island knows so new a state."""


@dataclass(slots=True)
class Leases:
    """What was read last. A holding is ``_seen`` with the moment from which on this node knows of it."""

    subjects: Subjects
    _seen: Mapping[str, tuple[Holding, float]] = field(default_factory=dict)
    _read: float | None = None

    async def watch(self, board: Board) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await self.look(board)
            await anyio.sleep(EVERY)

    async def look(self, board: Board) -> bool:
        """Read the board; false where it cannot be reached, and what was read before stays."""
        try:
            entries = await board.entries("lease", self.subjects.prefix)
        except BusDown:
            return False
        now, found = anyio.current_time(), dict[str, tuple[Holding, float]]()
        for each in entries:
            held = holding_in(each.value)
            if held is not None and held.node != NOBODY:
                known, since = self._seen.get(each.key, (None, now))
                found[each.key] = (held, since if known == held else now)
        self._seen, self._read = found, now
        return True

    def told(self, exclusive: Iterable[str], own: Mesh | None) -> list[dict[str, Any]]:
        """The one to lead and those of the ``exclusive`` agents, as of the last look. On a node that cannot look (``own``), what it
        held itself is nobody's once it has given up."""
        keys = {LEADER: self.subjects.leader} | {agent: self.subjects.exclusive(agent) for agent in exclusive}
        now = anyio.current_time()
        heard = None if self._read is None else now - self._read
        rows = []
        for name, key in keys.items():
            held, since = self._seen.get(key, (None, now))
            if held is not None and own is not None and own.node == held.node and not _holds(own, name, held.epoch):
                held = None
            rows.append(
                {
                    "lease": name if name == LEADER else f"agent.{name}",
                    "node": held.node if held else "",
                    "epoch": held.epoch if held else None,
                    "held_seconds": round(now - since, 1) if held else None,
                    "heard_seconds_ago": None if heard is None else round(heard, 1),
                }
            )
        return rows


def _holds(mesh: Mesh, name: str, epoch: int) -> bool:
    """Whether a node holds a lease still, by its own clock."""
    return mesh.leading.epoch == epoch if name == LEADER else mesh.holds(name, epoch)
