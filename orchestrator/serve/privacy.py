"""What is restricted stays near: which runs count as restricted though nobody said so.

A restricted agent (``privacy_mode``, ``compliance``) makes everything restricted that it sees. What it saw can come back in four
ways that the manifest does not show: in the turns of its session, in a history that a caller keeps, in what a tool was told, and in
another part of the same request. All are looked at here; what is restricted then reaches no endpoint in the cloud
(``Run.allowed``).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.message import Message
from orchestrator.deploy.deployment import Agent, Deployment, Router
from orchestrator.ports.tool import ToolFunction

READS = "read"


class Privacy:
    """Of one revision: what restricted runs may have left where others read it. ``off`` where no agent is restricted."""

    __slots__ = ("_stores", "off", "routers", "tools")

    def __init__(self, deployment: Deployment) -> None:
        blueprint = deployment.blueprint
        private = [agent for agent in deployment.agents.values() if is_private(agent)]
        self.off = not private
        self._stores = {each.spec["name"]: _store_of(each.spec, blueprint.folder) for each in blueprint.of_kind("tool")}
        self.tools = {self._store(each) for agent in _followed(deployment, private) for each in written_by(agent)}
        """What holds what restricted runs wrote, as far as is known: the stores behind tools."""
        routers = () if self.off else deployment.routers
        self.routers = frozenset(name for name in routers if leads_to_private(deployment, name))
        """Names of routers that read what is meant for a restricted agent."""

    def follows(self, before: Privacy) -> None:
        """What restricted runs of an earlier revision left is still there."""
        self.off = self.off and before.off
        self.tools |= before.tools

    def wrote(self, function: ToolFunction) -> None:
        """A restricted run called it."""
        if function.effect != READS:
            self.tools.add(self._store(function))

    def may_give(self, function: ToolFunction) -> bool:
        """Whether what it gives may be what a restricted run wrote."""
        return self._store(function) in self.tools

    def _store(self, function: ToolFunction) -> str:
        """What is behind the tool that it belongs to."""
        tool = function.name.partition(".")[0]
        return self._stores.get(tool, tool)


def is_private(agent: Agent) -> bool:
    """Whether what it sees is restricted."""
    return agent.spec["data_class"] == "restricted"


def written_by(agent: Agent) -> Iterator[ToolFunction]:
    """Its functions that change or tell something."""
    return (function for function in agent.functions.values() if function.effect != READS)


def _store_of(spec: Mapping[str, Any], folder: str) -> str:
    """Two tools over one file, or of one module, are two doors to one room."""
    options = spec["options"]
    if "python" in options:
        return f"python {options['python'].partition(':')[0]}"
    path = options.get("path")
    return f"file {posixpath.normpath(posixpath.join(folder, path))}" if path else str(spec["name"])


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
