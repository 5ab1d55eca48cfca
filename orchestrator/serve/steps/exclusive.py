"""An agent that one node of a fleet at most may answer for: it does so under its lease, and stops where that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from orchestrator.core.errors import LeaseLost
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.effects import Effect
from orchestrator.ports.tool import ToolFunction
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.elsewhere import answer_elsewhere

Here = Callable[[Run, Agent], Awaitable[Outcome]]


async def answer_alone(run: Run, agent: Agent, here: Here) -> Outcome:
    """What it answers ``here`` under one lease; without one it is asked of whichever node has it, but for what is restricted.
    Raises ``LeaseLost`` where the lease was over before the answer was ready: another node may have answered since. On one device
    there is nobody to share with."""
    run.epoch = 0
    if run.elsewhere is None or not agent.spec.get("exclusive"):
        return await here(run, agent)
    name = agent.spec["name"]
    epoch = run.elsewhere.begin(name)
    if epoch is None and run.restricted:
        raise _over(run.elsewhere.node, agent)
    if epoch is None:
        return await answer_elsewhere(run, agent)
    run.epoch = epoch
    try:
        outcome = await here(run, agent)
        if outcome.to == "" and not run.elsewhere.holds(name, epoch):
            raise _over(run.elsewhere.node, agent)
        return outcome
    finally:
        run.elsewhere.end(name, epoch)


async def may_act(run: Run, agent: Agent, function: ToolFunction, call: str) -> None:
    """It is about to call a function. Raises ``LeaseLost`` where it began under another holding of the lease."""
    if run.epoch and run.elsewhere is not None and function.effect != "read":
        await run.elsewhere.act(Effect(run.deployment.name, agent.spec["name"], function.name, call, run.epoch))


def _over(node: str, agent: Agent) -> LeaseLost:
    return LeaseLost(
        f"{agent.address} is exclusive, and {node} does not have its lease now: another node may answer for it",
        cure="ask again in some seconds; who has it: orchestrator node status",
    )
