"""One change of one deployment: a draft is made, takes over, and what served before is drained."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.deploy.draft import Draft
from orchestrator.deploy.live import Drain, Live, LiveTable, close_tools
from orchestrator.deploy.plane import Door, Serving
from orchestrator.plan.observed import Facets
from orchestrator.plan.plan import AgentServing

declare("execute.door-opened", "execute.given-up")


class Rollout:
    """Owned by the reconciler for the time of one plan. ``parts`` and ``agents`` describe what it leads to."""

    def __init__(
        self,
        table: LiveTable,
        draft: Draft,
        parts: Mapping[str, Facets],
        agents: tuple[AgentServing, ...] = (),
        patience: float | None = None,
    ) -> None:
        self.draft = draft
        self._table = table
        self._parts = parts
        self._agents = agents
        self._patience = patience
        self._old = table.get(draft.blueprint.name)
        self._door: Door | None = None
        self.draining: Drain | None = None

    async def open_door(self) -> None:
        """Listen on the deployment's own port, before requests are switched."""
        self._door = await self._table.open_door(self.draft.blueprint)
        failpoint("execute.door-opened")

    def activate(self) -> None:
        """From now on the draft serves."""
        deployment = self.draft.finish()

        def live(serving: Serving) -> Live:
            return Live(deployment, self._parts, serving, self._door or self._kept_door(), self._agents)

        self._table.activate(deployment, live)
        self.draft.opened = {}
        self._door = None

    def drain(self) -> int:
        """Let what served before finish; gives how many requests that are."""
        if self._old is None:
            return 0
        self.draining = self._table.drain(self._old, self._patience)
        return self._old.serving.in_flight

    def renumber(self) -> None:
        """What serves is what is wanted, under a newer number: a later revision never came to serve."""
        self.activate()
        self.drain()

    def remove(self) -> None:
        """Refuse new requests."""
        self._table.remove(self.draft.blueprint.name)

    async def give_up(self) -> None:
        """Close what only the draft holds."""
        with anyio.CancelScope(shield=True):
            if self._door is not None:
                await self._door.aclose()
            await close_tools(self.draft.opened, self._table.report)
        failpoint("execute.given-up")

    def _kept_door(self) -> Door | None:
        same = self._old is not None and _same_door(self._old.deployment.blueprint, self.draft.blueprint)
        return self._old.door if self._old is not None and same else None


def _same_door(one: Blueprint, other: Blueprint) -> bool:
    return one.serve == other.serve
