"""The engine of a deployment as the worker of a node: it holds what it is given, and answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

import anyio

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import NoSuchDeployment
from orchestrator.core.event import DELTA, Event
from orchestrator.core.request import Result
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.deploy.wanted import Wanted
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.plan.share import share_of
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.steps.elsewhere import is_elsewhere

HOP: ContextVar[int] = ContextVar("hop", default=0)
"""How many nodes have handed on the request that is answered now."""
UNLIMITED: Final = 64
"""Requests that a node takes at once where neither the manifest nor its model servers say how many."""
DRAIN_SECONDS: Final = 30.0
CAUSE: Final = "generation {} of the fleet"
_USUAL_SECONDS: Final = 0.2
"""The weight of the newest answer in the average of how long one takes."""


class EngineWorker:
    """A ``Worker``: one deployment on the ``node`` that this runtime is."""

    def __init__(self, name: str, node: str, reconciler: Reconciler, engines: EngineTable) -> None:
        self._name = name
        self._node = node
        self._reconciler = reconciler
        self._engines = engines
        self._service_ms = 0.0

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        """Serve this share of the manifest from now on. Raises ``DeployError`` where it cannot: what served before serves on."""
        blueprint = Blueprint.from_json(manifest)
        desired = self._reconciler.desired.get(self._name)
        if not blueprint.elements:  # the fleet serves it no more
            if desired is not None:
                await self._reconciler.down(self._name, DRAIN_SECONDS, _unheard)
            return
        share = share_of(blueprint, self._node, agents)
        if desired is not None and desired.blueprint.digest == share.digest and self._name in self._engines.names():
            return
        origin = desired.revision.origin if desired is not None else ""
        wanted = Wanted(share, origin=origin, cause=CAUSE.format(revision))
        await self._reconciler.apply(wanted, _unheard)

    def load(self) -> Load:
        """What it answers for, and how much it has to do."""
        try:
            engine = self._engines.get(self._name)
        except NoSuchDeployment:
            return Load(slots=0, room=0)
        here = [agent for agent in engine.deployment.agents.values() if not is_elsewhere(agent)]
        slots = _slots(engine, here)
        return Load(
            agents={agent.spec["name"]: True for agent in here},
            slots=slots,
            inflight=engine.in_flight,
            room=max(0, 2 * slots - engine.in_flight),
            service_ms=self._service_ms,
        )

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        """Answer a request of another node, or of this one."""
        engine = self._engines.get(self._name)
        HOP.set(asked.hop)
        began = anyio.current_time()
        send, receive = anyio.create_memory_object_stream[str](float("inf"))

        def hear(event: Event) -> None:
            if event.kind == DELTA:
                send.send_nowait(event.fields["text"])
            else:
                emit.moved()

        async def pass_on() -> None:
            async with receive:
                async for text in receive:
                    await emit.piece(text)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on)
            with send:
                result = await engine.run(replace(asked.request, agent=asked.agent), hear)
        self._note((anyio.current_time() - began) * 1e3)
        return result if result.node else replace(result, node=self._node)

    def _note(self, took: float) -> None:
        share = _USUAL_SECONDS if self._service_ms else 1.0
        self._service_ms += share * (took - self._service_ms)


def _unheard(event: Event) -> None:
    """Nobody waits for the steps of this; the runtime's own log has them."""
    del event


def _slots(engine: Engine, here: list[Agent]) -> int:
    """How many requests it answers at once."""
    limit = engine.deployment.blueprint.max_concurrent
    if limit is not None:
        return limit
    known = engine.deployment.endpoints
    asked = {name for agent in here for name in agent.endpoints if name in known}
    return sum(known[name].slots for name in asked) or UNLIMITED
