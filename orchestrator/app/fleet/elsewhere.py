"""The other nodes of a fleet as a run sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, Final

import anyio

from orchestrator.app.fleet.worker import HOP
from orchestrator.core import errors
from orchestrator.core.errors import LeaseLost, NoHolder, RunError
from orchestrator.core.forwarded import part_id
from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.core.request import Request, Result
from orchestrator.node.asking import Way
from orchestrator.node.mesh import Mesh
from orchestrator.ports.effects import Effect, EffectStore
from orchestrator.serve.disk import Disk

NOT_YET: Final = "this node is not linked to its fleet yet"
START_SECONDS: Final = 3.0
"""How long a request waits for this node's part of the mesh to start."""
LOOK_SECONDS: Final = 5.0
"""How long another node has to say what has become of a run."""
_GLANCE: Final = 0.05


class FleetElsewhere:
    """``Elsewhere`` by a mesh, which is there once the node has started. A request goes there under a name of its own, as parts of
    one run are several requests to the others."""

    def __init__(self, node: str, mesh: Callable[[], Mesh | None], effects: EffectStore | None = None) -> None:
        self.node = node
        self.away = 0
        self._mesh = mesh
        self._effects = effects
        self._numbers = count(1)
        self._on_disk = Disk().do

    def sooner(self, agent: str) -> bool:
        """As the heartbeats tell; what was handed on once stays where it came to."""
        mesh = self._mesh()
        return mesh is not None and HOP.get() == 0 and mesh.sooner(agent)

    def begin(self, agent: str) -> int | None:
        """As the mesh has it; a node that has not started has no lease."""
        mesh = self._mesh()
        return mesh.begin(agent) if mesh is not None else None

    def end(self, agent: str, epoch: int) -> None:
        """As the mesh has it."""
        if (mesh := self._mesh()) is not None:
            mesh.end(agent, epoch)

    def holds(self, agent: str, epoch: int) -> bool:
        """As the mesh has it."""
        mesh = self._mesh()
        return mesh is not None and mesh.holds(agent, epoch)

    async def answer(
        self, request: Request, say: Callable[[str], None] | None, key: str = "", handed: Handed = NOTHING_HANDED
    ) -> Result:
        """What the node says that holds the agent."""
        mesh = await self._started(request.agent)

        async def pass_on(text: str) -> None:
            if say is not None:
                say(text)

        own = replace(request, id=key or part_id(request.id, next(self._numbers)))
        heard = pass_on if say is not None else None
        self.away += 1
        try:
            answer = await mesh.ask(own, request.agent, heard, Way(HOP.get() + 1, kept=bool(key), handed=handed))
        finally:
            self.away -= 1
        if answer.result.error:
            fault = fault_of(answer.result.error)
            fault.there = replace(answer.result, node=answer.result.node or answer.node)
            fault.node = fault.there.node
            raise fault
        return replace(answer.result, node=answer.result.node or answer.node, asked=answer.node)

    async def look(self, node: str, run: str, agent: str) -> Result:
        """What that node says of it."""
        mesh = await self._started(agent)
        request = Request("", id=run, agent=agent, timeout=LOOK_SECONDS)
        return replace((await mesh.ask(request, agent, way=Way(HOP.get() + 1, looks_at=node))).result, asked=node)

    async def act(self, effect: Effect) -> None:
        """Of this epoch still, and of none below the highest that has acted."""
        if not self.holds(effect.agent, effect.epoch):
            raise LeaseLost(
                f"{effect.function} is not called: {self.node} has lost the lease of agent.{effect.agent} while it worked",
                cure="ask again: whoever has acted meanwhile is taken into account then",
            )
        if self._effects is not None:
            await self._on_disk(self._effects.act, effect)
            if not self.holds(effect.agent, effect.epoch):  # a slow disk
                raise LeaseLost(f"{effect.function} is not called: the lease ended while it was written down")

    async def _started(self, agent: str) -> Mesh:
        """A runtime answers a moment before its part of the mesh has started: what comes then waits for it."""
        with anyio.move_on_after(START_SECONDS):
            while True:
                mesh = self._mesh()
                if mesh is not None and mesh.started:
                    return mesh
                await anyio.sleep(_GLANCE)
        raise NoHolder(f"agent.{agent} is on another node, and {NOT_YET}", cure="orchestrator node status")


def fault_of(told: Mapping[str, Any]) -> RunError:
    """A fault that another node told, as what it was there where this version knows its kind."""
    kind = getattr(errors, str(told.get("kind", "")), None)
    known = isinstance(kind, type) and issubclass(kind, RunError)
    message, cure = str(told.get("message", "")), str(told.get("cure", ""))
    return kind(message, cure=cure) if known and kind is not None else RunError(message, cure=cure)
