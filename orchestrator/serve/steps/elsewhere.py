"""An agent that another node of the fleet holds: the request goes there, with what was said before, and its result comes back."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.errors import NoHolder, RunError, StaysHere
from orchestrator.core.message import Message
from orchestrator.core.request import Request
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.clock import current_time
from orchestrator.serve.handing import handed_on
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.there import outcome_of, take, wait_there


def is_elsewhere(agent: Agent) -> bool:
    """Whether another node holds it."""
    return bool(agent.spec.get("elsewhere"))


def goes_on(run: Run, agent: Agent) -> bool:
    """Whether another node shall answer for an agent that this one holds too, as it is less loaded. What waits for a person here,
    what is bound to this node, and what may not leave it stays."""
    spec = agent.spec
    if run.elsewhere is None or run.restricted or run.grant is not None:
        return False
    stays = spec["human"] is not None or spec.get("exclusive") or spec["data_class"] == "restricted"
    return not stays and run.elsewhere.sooner(spec["name"])


async def answer_elsewhere(run: Run, agent: Agent) -> Outcome:
    """What the node says that holds it. Raises ``StaysHere`` where the request may not leave this one, and ``RunError``."""
    name = agent.spec["name"]
    if run.restricted:
        raise StaysHere(
            f"{agent.address} is on another node, and this request is restricted: it does not leave this one",
            cure="Ask the node that holds it, or place the agent here.",
        )
    if run.elsewhere is None:
        raise NoHolder(
            f"{agent.address} is on another node, and this one has no link to its fleet",
            cure="orchestrator node status",
        )
    began, kept = current_time(), run.grant.at.get("again") if run.grant is not None else None
    if kept is not None:  # it waited for this node: with the conversation as it was
        run.grant, run.history = None, tuple(map(Message.from_kept, kept))
    say = run.say if run.listen is not None else None
    try:
        result = await run.elsewhere.answer(_passed_on(run, name), say, _key(run, agent), handed_on(run))
    except RunError as error:
        if error.there is not None:  # what it met until then is the run's all the same
            take(run, error.there, began)
        raise
    if result.status == "waiting" and run.post is not None:
        return await wait_there(run, run.post, name, result)
    take(run, result, began)
    return outcome_of(result, name)


def _key(run: Run, agent: Agent) -> str:
    """What that node knows the request by, at each try, also after a restart of this one; empty where it is not kept for it."""
    if agent.spec.get("store_and_forward") is None:
        return ""
    return f"{run.nonce}.{agent.spec['name']}.{run.path.count(agent.address)}"


def _passed_on(run: Run, name: str) -> Request:
    """The request as it goes there: with the turns that the session has here, as the other node keeps none of it."""
    left = max(0.0, run.until - current_time())
    return replace(run.request, agent=name, session="", history=run.history, timeout=left)
