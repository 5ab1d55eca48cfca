"""An escalation to a person: the question waits in a queue and a ticket names it; the user is told."""

from __future__ import annotations

from typing import Any

from orchestrator.core.errors import ToolFailed
from orchestrator.core.request import new_id
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.tool import ToolFunction, ToolOutcome
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.hold import LEFT_OUT, Wish, hold, most_waiting, newest_turns
from orchestrator.serve.steps.refused import refused_before
from orchestrator.serve.steps.served import with_model_names
from orchestrator.serve.steps.shorten import shortened
from orchestrator.serve.steps.tools import carry_out

LONGEST_SUBJECT = 120
LONGEST_BODY = 8_000
LONGEST_REASONS = 3_000
"""Characters of the body for why the agents before handed over, all together."""
LONGEST_LINE = 300
"""Characters of a line of its head."""


class Ticket(dict[str, Any]):
    """A ticket as a template sees it: ``{{ ticket }}`` is its number, ``{{ ticket.subject }}`` one of its fields."""

    def __str__(self) -> str:
        return str(self["id"])


async def hand_to_person(run: Run, agent: Agent) -> Outcome:
    """Let the question wait for a person's answer, which the run ends with. Where the agent can open tickets, one is opened
    too; where there is no queue (a deployment of one process), it is all. Raises ``ToolFailed`` where there is neither."""
    human, say = agent.spec["human"] or {}, agent.human_say
    queue, create = str(human.get("queue", "")), _create_of(agent)
    if say is None or (create is None and run.desk is None):
        raise ToolFailed(f"{agent.address} has no tickets tool", cure='Add "tickets" to its tools.')
    approval = ""
    if run.desk is not None:
        approval = new_id("apv")
        await run.desk.check_room(run.deployment.name, most_waiting(run))  # else a ticket would be opened for nothing
    opened = await _open_ticket(run, agent, create, queue) if create is not None else ToolOutcome(None)
    ticket = _ticket(opened.value, approval)
    text = say({"ticket": ticket, "text": run.request.text, "queue": queue, "approval": approval})
    if run.desk is None:
        return Outcome(text, served_by="person", value=opened.value)
    outcome = Outcome(text, "waiting", served_by="person", value=opened.value, approval=approval)
    return await hold(run, agent, run.desk, Wish(queue, human.get("expires")), outcome)


async def _open_ticket(run: Run, agent: Agent, create: ToolFunction, queue: str) -> ToolOutcome:
    """By the engine itself, so that no approval is needed for it."""
    subject = " ".join(run.request.text.split())[:LONGEST_SUBJECT].strip() or "request"
    return await carry_out(run, agent, create, {"subject": subject, "body": _body(run, queue)})


def _ticket(value: Any, approval: str) -> Ticket:
    found = value if isinstance(value, dict) else {"number": value} if value is not None else {}
    return Ticket({**found, "id": found.get("number", found.get("id", approval))})


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
        f"{each.agent} handed over: {with_model_names(run, each.reason)}"
        + (f" ({done})" if (done := each.done(each.text)) else "")
        for each in run.attempts
    ]
    reasons += [f"refused in this run: {each}" for each in refused_before(run)]
    reasons = [shortened(each, LONGEST_REASONS // len(reasons))[0] for each in reasons]
    room = LONGEST_BODY - sum(len(line) + 1 for line in (*head, *reasons, LEFT_OUT))
    request, missing = shortened(f"user: {run.request.text}", room)
    turns = newest_turns(run.history, room - len(request) - 1)
    earlier = len(run.history) - len(turns)
    if missing:
        _tell(run, f"{missing} characters of the middle of the request")
    if earlier:
        _tell(run, f"the {earlier} earliest turns")
    return "\n".join([*head, *([LEFT_OUT] if earlier else []), *turns, request, *reasons])


def _tell(run: Run, missing: str) -> None:
    run.remark(run.path[-1], "", f"the ticket lacks {missing}, for which it has no room")
