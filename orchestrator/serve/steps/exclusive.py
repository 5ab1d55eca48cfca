"""An agent that one node of a fleet at most may answer for: it does so under its lease, and stops where that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from orchestrator.core.errors import NoHolder
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.elsewhere import answer_elsewhere

Here = Callable[[Run, Agent], Awaitable[Outcome]]


async def answer_alone(run: Run, agent: Agent, here: Here) -> Outcome:
    """What it answers ``here`` under one lease; without one it is asked of whichever node has it. Raises ``NoHolder`` where
    the lease was over before the answer was ready: another node may have answered since."""
    if run.elsewhere is None or not agent.spec.get("exclusive"):
        return await here(run, agent)
    epoch = run.elsewhere.epoch_of(agent.spec["name"])
    if epoch is None and run.restricted:
        check_lease(run, agent)
    if epoch is None:
        return await answer_elsewhere(run, agent)
    outcome = await here(run, agent)
    if outcome.to == "" and run.elsewhere.epoch_of(agent.spec["name"]) != epoch:
        raise _over(run.elsewhere.node, agent)
    return outcome


def check_lease(run: Run, agent: Agent) -> None:
    """Right before an effect: raises ``NoHolder`` unless the agent may answer here at this moment."""
    if run.elsewhere is None or not agent.spec.get("exclusive"):
        return
    if run.elsewhere.epoch_of(agent.spec["name"]) is None:
        raise _over(run.elsewhere.node, agent)


def _over(node: str, agent: Agent) -> NoHolder:
    return NoHolder(
        f"{agent.address} is exclusive, and {node} does not have its lease now: another node may answer for it",
        cure="ask again; who has the lease: orchestrator node status",
    )
