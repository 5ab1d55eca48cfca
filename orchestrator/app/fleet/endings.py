"""Tells the other nodes at once that a run has ended for which one of them waits, and hears it of them.

A letter may be lost, as may who sends it: who waits asks at growing intervals all the same. All nodes hear
it, so it holds the SHA-256 of the run's id and nothing else; what came of it is told to the one that asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from orchestrator.core.errors import BusDown
from orchestrator.core.forwarded import sign_of, whole_of
from orchestrator.core.request import Result
from orchestrator.node.subjects import Subjects
from orchestrator.ports.bus import Bus, Letter


@dataclass(slots=True)
class Endings:
    """Those of one deployment. ``heard`` gets the sign of a run that has ended on another node."""

    bus: Bus
    subjects: Subjects
    heard: Callable[[str], None]
    _ended: list[str] = field(default_factory=list, init=False)
    _some: anyio.Event = field(default_factory=anyio.Event, init=False)

    def note(self, result: Result) -> None:
        """A run of this node has ended. It is told where it waited, and another node asked for it."""
        asked = whole_of(result.id) != result.id or result.id.startswith("once_")
        if asked and result.approval and result.status != "waiting":
            self._ended.append(sign_of(result.id))
            self._some.set()

    async def run(self) -> None:
        """Tell and hear until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear)
            while True:
                await self._some.wait()
                self._some = anyio.Event()
                while self._ended:
                    try:
                        await self.bus.send(Letter(self.subjects.ended(self.bus.node), self._ended.pop(0).encode()))
                    except BusDown:  # who waits asks
                        continue

    async def _hear(self) -> None:
        async with self.bus.listen(self.subjects.ended("*")) as letters:
            async for letter in letters:
                if run := letter.body.decode("utf-8", "replace"):
                    self.heard(run)
