"""An escalation to a person: a ticket is opened with the conversation and the reason, and the user is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.core.errors import ToolFailed
from orchestrator.core.message import Message
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.tool import ToolFunction
from orchestrator.serve.run import Outcome, Run
from orchestrator.serve.steps.shorten import shortened
from orchestrator.serve.steps.tools import call_function

LONGEST_SUBJECT = 120
LONGEST_BODY = 8_000
LONGEST_REASONS = 3_000
"""Characters of the body for why the agents before handed over, all together."""
LONGEST_LINE = 300
"""Characters of a line of its head."""
LEFT_OUT = "(earlier turns left out)"


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
    """Room is for the reasons first, then for the request, then for as many of the newest turns as it leaves. What is missing is
    marked where it would stand, and told with the result."""
    head = [f"queue: {queue}", f"run: {run.request.id}", f"session: {run.request.session}"]
    head = [*(shortened(line, LONGEST_LINE)[0] for line in head), ""]
    reasons = [
        f"{each.agent} handed over: {each.reason}" + (f" (had said: {each.text})" if each.text else "")
        for each in run.attempts
    ]
    reasons = [shortened(each, LONGEST_REASONS // len(reasons))[0] for each in reasons]
    room = LONGEST_BODY - sum(len(line) + 1 for line in (*head, *reasons, LEFT_OUT))
    request, missing = shortened(f"user: {run.request.text}", room)
    turns = _newest(run.history, room - len(request) - 1)
    earlier = len(run.history) - len(turns)
    if missing:
        _tell(run, f"{missing} characters of the middle of the request")
    if earlier:
        _tell(run, f"the {earlier} earliest turns")
    return "\n".join([*head, *([LEFT_OUT] if earlier else []), *turns, request, *reasons])


def _tell(run: Run, missing: str) -> None:
    run.remark(run.path[-1], "", f"the ticket lacks {missing}, for which it has no room")


def _newest(turns: Sequence[Message], room: int) -> list[str]:
    """As many whole turns as ``room`` characters hold with their line ends."""
    lines: list[str] = []
    for turn in reversed(turns):
        line = f"{turn.role}: {turn.content}"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return lines[::-1]
