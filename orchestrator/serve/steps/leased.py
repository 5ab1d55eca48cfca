"""Agents that may act on one node of a fleet only: their lease is looked at when they begin, and right before each effect."""

from __future__ import annotations

from orchestrator.deploy.deployment import Agent
from orchestrator.ports.effects import Effect
from orchestrator.ports.tool import ToolFunction
from orchestrator.serve.run import Run


def take_lease(run: Run, agent: Agent) -> None:
    """The agent begins. Raises ``LeaseLost`` where this node may not answer for it. On one device there is nobody to share with."""
    exclusive = bool(agent.spec.get("exclusive")) and run.elsewhere is not None
    run.epoch = run.elsewhere.lease(agent.spec["name"]) if exclusive and run.elsewhere is not None else 0


async def may_act(run: Run, agent: Agent, function: ToolFunction, call: str) -> None:
    """It is about to call a function. Raises ``LeaseLost`` where it began under another holding of the lease."""
    if run.epoch and run.elsewhere is not None and function.effect != "read":
        await run.elsewhere.act(Effect(run.deployment.name, agent.spec["name"], function.name, call, run.epoch))
