"""What is restricted stays near: which runs count as restricted though nobody said so.

A restricted agent (``privacy_mode``, ``compliance``) makes everything restricted that it sees. What it saw can come back in four
ways that the manifest does not show: in the turns of its session, in a history that a caller keeps, in what a tool was told, and in
another part of the same request. All are looked at here; what is restricted then reaches no endpoint in the cloud
(``seen_by``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.core.errors import StateUnusable, ToolFailed
from orchestrator.core.message import Message
from orchestrator.deploy.deployment import Agent, Deployment, Router
from orchestrator.ports.tool import ToolFunction
from orchestrator.serve.rooms import Rooms, Stores

READS = "read"
BROUGHT: Final = (
    "the history came with the request, and may hold what a restricted agent said: so the request counts as restricted "
    "(a session tells what was said where; data_class public says that all of it may leave this device)"
)


class Privacy:
    """Of one revision: what restricted runs may have left where others read it. ``off`` where no agent of its deployment is
    restricted, or ever was."""

    __slots__ = ("_deployment", "_rooms", "_stores", "before", "off")

    def __init__(self, deployment: Deployment) -> None:
        private = [agent for agent in deployment.agents.values() if is_private(agent)]
        self.off = not private
        self._deployment = deployment.name
        self._stores = Stores(deployment.blueprint, deployment.places)
        self._rooms = Rooms()
        for agent in _followed(deployment, private):
            for function in written_by(agent):
                for store in self._stores.behind(function.name):
                    self._rooms.mark(store)
        readers = (*deployment.routers, *deployment.agents) if private else ()
        self.before = frozenset(name for name in readers if leads_to_private(deployment, name))
        """Names of routers and agents that read what a restricted agent may get after them."""

    def joins(self, rooms: Rooms) -> None:
        """Know from now on what all deployments of its runtime know, of earlier revisions and lives too: where an agent of theirs
        was restricted, what it said may be in a history still. What it marked itself is known to them too.

        Raises ``StateUnusable`` where that it has a restricted agent cannot be kept."""
        rooms.add(self._rooms)
        self._rooms = rooms
        if not self.off:
            rooms.has_restricted(self._deployment)
        self.off = not rooms.had_restricted(self._deployment)

    async def wrote(self, function: ToolFunction, *, done: bool = False) -> None:
        """A restricted run is about to call it, or it is ``done``. Raises ``ToolFailed`` where that could not be remembered: then
        it may not write."""
        if function.effect == READS:
            return
        try:
            for store in self._stores.behind(function.name):
                await self._rooms.wrote(store)
        except StateUnusable as error:
            called = "was called" if done else "was not called"
            message = f"{function.name} {called}: that a restricted run writes there cannot be kept: {error.message}"
            raise ToolFailed(message, cure=error.cure) from error

    def may_give(self, function: ToolFunction) -> bool:
        """Whether what it gives may be what a restricted run wrote."""
        return any(map(self._rooms.holds, self._stores.behind(function.name)))


def is_private(agent: Agent) -> bool:
    """Whether what it sees is restricted."""
    return agent.spec["data_class"] == "restricted"


def written_by(agent: Agent) -> Iterator[ToolFunction]:
    """Its functions that change or tell something."""
    return (function for function in agent.functions.values() if function.effect != READS)


def holds_talk(history: tuple[Message, ...]) -> bool:
    """Whether anything was said in it; what a caller tells the model as the system is the caller's own."""
    return any(message.role != "system" for message in history)


def _followed(deployment: Deployment, agents: list[Agent]) -> list[Agent]:
    """These, and whoever they may hand over to."""
    found = {agent.spec["name"]: agent for agent in agents}
    waiting = list(agents)
    while waiting:
        to = waiting.pop().spec["escalate_to"]
        agent = deployment.agents.get(to or "")
        if agent is not None and agent.spec["name"] not in found:
            found[agent.spec["name"]] = agent
            waiting.append(agent)
    return list(found.values())


def leads_to_private(deployment: Deployment, name: str) -> bool:
    """Whether what goes to this agent or router may come to a restricted agent: it is one, or a way leads from it to one."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        router, agent = deployment.routers.get(at), deployment.agents.get(at)
        if agent is not None and is_private(agent):
            return True
        waiting += _next_of(router) if router is not None else [agent.spec["escalate_to"] or ""] if agent else []
    return False


def _next_of(router: Router) -> list[str]:
    spec = router.spec
    ways = [route["to"] for route in spec["routes"]]
    return [*ways, *(each for each in (spec["default"], spec["escalate_to"]) if each)]
