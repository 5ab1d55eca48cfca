"""The engine of a deployment as the worker of a node: it holds what it is given, and answers for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

import anyio

from orchestrator.app.fleet.receipts import Receipts
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import (
    AnswerLost,
    DeployError,
    FleetBusy,
    KeptNear,
    LeaseLost,
    NoHolder,
    NoSuchDeployment,
    QueueFull,
    RunCancelled,
    StaysHere,
    WentRound,
    WouldMissDeadline,
)
from orchestrator.core.event import DELTA, Event
from orchestrator.core.request import Result
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.live import Live
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.deploy.wanted import Wanted
from orchestrator.node.speed import Took, averaged
from orchestrator.node.tallies import Tallies
from orchestrator.node.worker import Asked, Emit, Held, Load
from orchestrator.plan.diff import diff
from orchestrator.plan.plan import AgentServing, Plan
from orchestrator.plan.serving import answered, silenced
from orchestrator.plan.share import bears_as_much, share_of
from orchestrator.serve.clock import current_time
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.later import FORWARDED
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.serve.steps.elsewhere import is_elsewhere

WAITING: Final = SchedulerLimits().classes["interactive"].length
"""Requests that may wait on a node."""
HOP: ContextVar[int] = ContextVar("hop", default=0)
"""How many nodes have handed on the request that is answered now."""
UNLIMITED: Final = 64
"""Requests that a node takes at once where neither the manifest nor its model servers say how many."""
DRAIN_SECONDS: Final = 30.0
CAUSE: Final = "generation {} of the fleet"
_USUAL_SECONDS: Final = 0.2
"""The weight of the newest answer in the average of how long one takes."""

_NOT_OURS: Final = frozenset(
    each.__name__ for each in (NoHolder, AnswerLost, FleetBusy, StaysHere, KeptNear, WentRound, LeaseLost, RunCancelled)
)
"""Faults that say nothing of the manifest that this node serves: the other nodes', or the caller's."""
_FULL: Final = frozenset(each.__name__ for each in (QueueFull, WouldMissDeadline))
"""Faults of a node that has too much to do: they say something of a manifest only where it can do less by that."""


class EngineWorker:
    """A ``Worker``: one deployment on the ``node`` that this runtime is."""

    def __init__(self, name: str, node: str, reconciler: Reconciler, engines: EngineTable) -> None:
        self.receipts: Receipts | None = None
        """Where answers are kept for nodes that ask until they are answered; set before the first of them."""
        self.lacking: Callable[[], tuple[AgentServing, ...]] = tuple
        """Tells who of it would gain from a model that is not served here."""
        self.ended: Callable[[Result], None] = lambda result: None
        """Hears of each run of this runtime that has ended."""
        self._name = name
        self._node = node
        self._reconciler = reconciler
        self._engines = engines
        self._service_ms = 0.0
        self._took: dict[str, Took] = {}
        self._tallies = Tallies()
        self._served: set[str] = set()

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        """Serve this share of the manifest from now on, warm beside what served before. Raises ``DeployError`` where it cannot,
        where nothing would answer for an agent that something answers for now, or where the node has a deployment of its own
        under that name: what served before serves on."""
        blueprint = Blueprint.from_json(manifest)
        desired = self._reconciler.desired.get(self._name)
        if desired is not None and not desired.blueprint.node:
            if not blueprint.elements:
                return
            raise DeployError(
                f"{self._node} has a deployment of its own that is called {self._name}",
                cure=f"orchestrator down {self._name}, on that node; or give the fleet's another name",
            )
        if not blueprint.elements:  # the fleet serves it no more
            if desired is not None:
                await self._reconciler.down(self._name, DRAIN_SECONDS, _unheard)
            return
        share = share_of(blueprint, self._node, agents)
        is_new = revision != self._tallies.generation
        less = is_new and (desired is None or not bears_as_much(desired.blueprint, share))
        if desired is None or desired.blueprint.digest != share.digest or self._name not in self._engines.names():
            await self._apply(share, revision)
        self._served.add(share.digest)
        self._tallies.serves(revision, can_do_less=less)

    async def _apply(self, share: Blueprint, revision: int) -> None:
        desired, live = self._reconciler.desired.get(self._name), self._reconciler.table.get(self._name)
        before = answered(live.agents) if live is not None else ()
        fresh = share.digest not in self._served  # what has served well here is gone back to in any case
        if fresh and before:
            _refuse_less(diff(share, await self._reconciler.observe(share)), before)
        origin = desired.revision.origin if desired is not None else ""
        wanted = Wanted(share, origin=origin, cause=CAUSE.format(revision))
        applied = await self._reconciler.apply(wanted, _unheard)
        if fresh:  # a server that was to be started may not have come
            _refuse_less(applied.plan, before)

    def note(self, result: Result) -> None:
        """A run of this runtime has ended. What other nodes answered says nothing of this one."""
        self.ended(result)
        kind = (result.error or {}).get("kind")
        if result.node in ("", self._node) and result.status != "waiting" and kind not in _NOT_OURS:
            took = result.timings.get("total", 0.0)
            self._tallies.note(took, failed=result.status == "failed", full=kind in _FULL)
            if result.status != "failed" and result.path:  # what fails at once is no quick answer
                asked = result.path[0].partition(".")[2]
                worked = took - result.timings.get("queue", 0.0)
                self._took[asked] = averaged(self._took.get(asked), worked, current_time())

    def load(self) -> Load:
        """What it answers for, and how much it has to do."""
        try:
            engine = self._engines.get(self._name)
        except NoSuchDeployment:
            return Load(slots=0, room=0)
        if not engine.deployment.blueprint.node:  # the node's own, under the same name
            return Load(slots=0, room=0)
        here = [agent for agent in engine.deployment.agents.values() if not is_elsewhere(agent)]
        slots = _slots(engine, here)
        names = [agent.spec["name"] for agent in here]
        away = engine.elsewhere.away if engine.elsewhere is not None else 0
        told = load_of(names, slots, engine.in_flight - away, self._service_ms)
        return replace(
            told, took=self._took, before=self._tallies.before, since=self._tallies.since, lacking=self.lacking()
        )

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        """Answer a request of another node, or of this one. One that is kept until it is answered is worked on once: its answer is
        on the disk before it is told. So is that one waits for a person here: whoever asked is told later what came of it."""
        if asked.looks and self.receipts is not None:
            return self._of_node(await self.receipts.known(asked.request.id, asked.caller, self._node))
        receipts = self.receipts if asked.kept else None
        known = await receipts.find(asked.request.id, asked.caller) if receipts is not None else None
        if known is not None:
            return known
        result = await self._worked(asked, emit)
        if receipts is not None and (result.error or {}).get("kind") not in FORWARDED:
            await receipts.keep(self._name, asked.request.id, asked.caller, result)
        elif result.status == "waiting" and self.receipts is not None:
            await self.receipts.keep(self._name, asked.request.id, asked.caller, result)
        return result

    def _of_node(self, result: Result) -> Result:
        return result if result.node else replace(result, node=self._node)

    async def _worked(self, asked: Asked, emit: Emit) -> Result:
        engine = self._engines.get(self._name)
        HOP.set(asked.hop)
        began = anyio.current_time()
        send, receive = anyio.create_memory_object_stream[str](float("inf"))

        def hear(event: Event) -> None:
            if event.kind == DELTA:
                send.send_nowait(event.fields["text"])

        async def pass_on() -> None:
            async with receive:
                async for text in receive:
                    await emit.piece(text)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on)
            with send:
                # What waits for a target waits where it came from: there somebody was told so.
                result = await engine.run(replace(asked.request, agent=asked.agent), hear, from_node=asked.handed)
        self._average((anyio.current_time() - began) * 1e3)
        return self._of_node(result)

    def _average(self, took: float) -> None:
        share = _USUAL_SECONDS if self._service_ms else 1.0
        self._service_ms += share * (took - self._service_ms)


def lacking(live: Live | None) -> tuple[AgentServing, ...]:
    """Who of a deployment would gain from a model that is not served."""
    return tuple(each for each in live.agents if each.gain) if live is not None else ()


def load_of(agents: Iterable[str], slots: int, in_work: int, service_ms: float) -> Load:
    """What a node says of itself: as many requests may wait as in the queue of one model, whoever sent them. ``in_work`` are
    without those that wait for other nodes."""
    warm, room = dict.fromkeys(agents, True), max(0, slots + WAITING - in_work)
    return Load(agents=warm, slots=slots, inflight=in_work, room=room, service_ms=service_ms)


def _refuse_less(plan: Plan, before: Collection[str]) -> None:
    """Raises where an agent would have nothing to answer with that has something now, on this node: one that another node held
    until now, or nobody, is no worse off here, and the others of the share shall not wait for it."""
    if lost := silenced(plan.serving, before):
        raise DeployError(
            "; ".join(f"{each.agent} would have nothing to answer with: {each.gain}" for each in lost),
            cure=lost[0].cure,
        )


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
