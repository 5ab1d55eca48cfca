"""An escalation to a person: a ticket is opened with the conversation and the reason, and the user is told."""

from __future__ import annotations

from typing import Any

from orchestrator.core.errors import ToolFailed
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.tool import ToolFunction
from orchestrator.serve.run import Outcome, Run
from orchestrator.serve.steps.tools import call_function

LONGEST_SUBJECT = 120
LONGEST_BODY = 8_000


class Ticket(dict[str, Any]):
    """A ticket as a template sees it: ``{{ ticket }}`` is its number, ``{{ ticket.subject }}`` one of its fields."""

    def __str__(self) -> str:
        return str(self["id"])


async def hand_to_person(run: Run, agent: Agent) -> Outcome:
    """Open a ticket in the person's queue; the answer names it. Raises ``ToolFailed`` where no ticket can be opened."""
    create = _create_of(agent)
    if create is None or agent.human_say is None:
        raise ToolFailed(f"{agent.address} has no tickets tool", cure='Add "tickets" to its tools.')
    queue = str((agent.spec["human"] or {}).get("queue", ""))
    subject = " ".join(run.request.text.split())[:LONGEST_SUBJECT].strip() or "request"
    outcome = await call_function(run, agent, create, {"subject": subject, "body": _body(run, queue)})
    found = outcome.value if isinstance(outcome.value, dict) else {"number": outcome.value}
    ticket = Ticket({**found, "id": found.get("number", found.get("id", ""))})
    text = agent.human_say({"ticket": ticket, "text": run.request.text, "queue": queue})
    return Outcome(text, served_by="person", value=outcome.value)


def _create_of(agent: Agent) -> ToolFunction | None:
    """The function that opens a ticket: other tools create things too."""
    wanted = {"subject", "body"}
    creating = [function for function in agent.functions.values() if function.name.endswith(".create")]
    return next((each for each in creating if wanted <= each.parameters.get("properties", {}).keys()), None)


def _body(run: Run, queue: str) -> str:
    head = [f"queue: {queue}", f"run: {run.request.id}", f"session: {run.request.session}", ""]
    tail = [f"user: {run.request.text}"]
    tail += [
        f"{each.agent} handed over: {each.reason}" + (f" (had said: {each.text})" if each.text else "")
        for each in run.attempts
    ]
    room = LONGEST_BODY - sum(len(line) + 1 for line in (*head, *tail))
    earlier: list[str] = []
    for message in reversed(run.history[-20:]):
        line = f"{message.role}: {message.content}"
        room -= len(line) + 1
        if room < 0:
            earlier.append("(earlier turns left out)")
            break
        earlier.append(line)
    return "\n".join([*head, *reversed(earlier), *tail])[:LONGEST_BODY]
