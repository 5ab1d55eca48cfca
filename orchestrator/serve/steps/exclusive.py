"""An agent that one node of a fleet at most may answer for: it does so under its lease, and stops where that is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from orchestrator.core.errors import LeaseLost
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.effects import Effect
from orchestrator.ports.tool import ToolFunction
from orchestrator.serve.clock import current_time
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.elsewhere import answer_elsewhere

Here = Callable[[Run, Agent], Awaitable[Outcome]]


async def answer_alone(run: Run, agent: Agent, here: Here) -> Outcome:
    """What it answers ``here`` under one lease; without one it is asked of whichever node has it, but for what is restricted. So
    it is too where the lease was over before the answer was ready, as another node may have answered since: whoever has the next
    one begins anew, as long as nothing was told and no function was called. Raises ``LeaseLost`` where that is not so. On one
    device there is nobody to share with."""
    run.epoch = 0
    if run.elsewhere is None or not agent.spec.get("exclusive"):
        return await here(run, agent)
    name = agent.spec["name"]
    epoch = run.elsewhere.begin(name)
    if epoch is None and run.restricted:
        raise _over(run.elsewhere.node, agent)
    if epoch is None:
        return await answer_elsewhere(run, agent)
    before, history = _done(run), run.history
    may_repeat = run.grant is None  # what a person has decided on is done once
    run.epoch = epoch
    outcome: Outcome | None = None
    try:
        outcome = await here(run, agent)
        if outcome.to or run.elsewhere.holds(name, epoch):
            return outcome
        lost = _over(run.elsewhere.node, agent)
    except LeaseLost as fault:
        lost = fault
    finally:
        run.elsewhere.end(name, epoch)
    waits = outcome is not None and outcome.status == "waiting"  # a person is asked already
    if waits or not may_repeat or run.restricted or _done(run) != before or current_time() >= run.until:
        raise lost
    run.epoch, run.history = 0, history
    return await answer_elsewhere(run, agent)


def _done(run: Run) -> tuple[int, int]:
    """What of a run cannot be done again as if it had not been: pieces that were told, and functions that were called."""
    return len(run.said), run.usage.tool_calls


async def may_act(run: Run, agent: Agent, function: ToolFunction, call: str) -> None:
    """It is about to call a function. Raises ``LeaseLost`` where it began under another holding of the lease."""
    if run.epoch and run.elsewhere is not None and function.effect != "read":
        await run.elsewhere.act(Effect(run.deployment.name, agent.spec["name"], function.name, call, run.epoch))


def _over(node: str, agent: Agent) -> LeaseLost:
    return LeaseLost(
        f"{agent.address} is exclusive, and {node} does not have its lease now: another node may answer for it",
        cure="ask again in some seconds; who has it: orchestrator node status",
    )
