"""This runtime's place in a fleet: none until its machine belongs to one, which may become so while it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

from orchestrator.core.errors import OrchestratorError
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.ports.effects import EffectStore
from orchestrator.ports.elsewhere import Elsewhere
from orchestrator.ports.store import RunStore

if TYPE_CHECKING:
    from orchestrator.app.fleet.node import FleetNode
    from orchestrator.app.journal import Journal
    from orchestrator.app.wiring import Planes

LOOK: Final = 1.0
"""Seconds between two looks whether this machine belongs to a fleet by now."""
DRAIN: Final = 30.0
"""Seconds that requests of a fleet have which this machine has left."""


class NodeStores(Protocol):
    """What a node keeps in the runtime's own store."""

    @property
    def effects(self) -> EffectStore:
        """What was done for other nodes."""

    @property
    def runs(self) -> RunStore:
        """What was answered."""


class Seat:
    """``node`` is this runtime as a node, ``None`` while its machine belongs to no fleet. Nothing of fleets is imported before."""

    def __init__(self, folder: Path, log: Any, stores: NodeStores) -> None:
        self._folder = folder
        self._log = log
        self._stores = stores
        self.node: FleetNode | None = None

    def take(self) -> None:
        """Take it, where there is one. Raises ``OrchestratorError`` where a library is missing, or a file cannot be read."""
        if not self._folder.is_dir():
            return
        from orchestrator.app.fleet.identity import FleetFolder

        if FleetFolder(self._folder).read() is None:
            return
        from orchestrator.app.fleet.needs import libraries
        from orchestrator.plugins.hosts.processes import LocalProcesses

        with libraries():
            from orchestrator.app.fleet.node import FleetNode

            folder, stores = FleetFolder(self._folder), self._stores
            self.node = FleetNode(folder, LocalProcesses(), self._log, stores.effects, stores.runs)

    def elsewhere(self, name: str) -> Elsewhere | None:
        """The other nodes, for the runs of a deployment."""
        return self.node.elsewhere(name) if self.node is not None else None

    async def run(self, planes: Planes, journal: Journal) -> None:
        """Be a node until cancelled, from the moment when it has a place."""
        if self.node is None:
            await self._end_shares(planes.reconciler)
            await self._wait()
        from orchestrator.app.fleet.node import Serving

        if self.node is not None:
            serving = Serving(planes.reconciler, planes.engines, journal)
            if (forwarder := planes.forwarder) is not None:
                serving = replace(serving, wake=forwarder.wake, ended=forwarder.hear_end)
            await self.node.run(serving)

    async def _wait(self) -> None:
        told = ""
        while self.node is None:
            await anyio.sleep(LOOK)
            try:
                self.take()
            except OrchestratorError as error:
                if error.line != told:
                    self._log.error("fleet", error=error.line)
                told = error.line

    async def _end_shares(self, reconciler: Reconciler) -> None:
        """Of a fleet that this machine has left nobody gives it what to serve, nor answers for the other agents."""
        await reconciler.restored.wait()
        for name in [each.blueprint.name for each in reconciler.desired.all() if each.blueprint.node]:
            self._log.info("down", deployment=name, why="it is the share of a fleet that this machine has left")
            await reconciler.down(name, DRAIN, lambda _: None)
