"""An escalation to a person: a ticket is opened with the conversation and the reason, and the user is told."""

from __future__ import annotations

from orchestrator.core.errors import ToolFailed
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.run import Outcome, Run
from orchestrator.serve.steps.tools import call_function


async def hand_to_person(run: Run, agent: Agent) -> Outcome:
    """Open a ticket in the person's queue; the answer names it. Raises ``ToolFailed`` where no ticket can be opened."""
    create = next((f for f in agent.functions.values() if f.name.endswith(".create")), None)
    if create is None or agent.human_say is None:
        raise ToolFailed(f"{agent.address} has no tickets tool", cure='Add "tickets" to its tools.')
    human = agent.spec["human"] or {}
    arguments = {
        "subject": run.request.text[:120].strip() or "request",
        "body": _body(run, str(human.get("queue", ""))),
    }
    outcome = await call_function(run, agent, create, arguments, f"{run.request.id}:human")
    ticket = outcome.value.get("number", outcome.value) if isinstance(outcome.value, dict) else outcome.value
    text = agent.human_say({"ticket": ticket, "text": run.request.text, "queue": human.get("queue", "")})
    return Outcome(text, served_by="person", value=outcome.value)


def _body(run: Run, queue: str) -> str:
    lines = [f"queue: {queue}", f"run: {run.request.id}", f"session: {run.request.session}", ""]
    lines += [f"{message.role}: {message.content}" for message in run.history[-20:]]
    lines.append(f"user: {run.request.text}")
    for attempt in run.attempts:
        lines.append(
            f"{attempt.agent} handed over: {attempt.reason}" + (f" (had said: {attempt.text})" if attempt.text else "")
        )
    return "\n".join(lines)
