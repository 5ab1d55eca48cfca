"""A run begins to wait for a person: what the person sees, what the caller is told, all of it kept together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.approval import Approval, Call, digest_of_call
from orchestrator.core.errors import ToolFailed
from orchestrator.core.message import Message
from orchestrator.core.request import Result, new_id
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.template import compile_template
from orchestrator.ports.people import Asking, Desk
from orchestrator.serve.held import kept
from orchestrator.serve.outcome import Held, Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.refused import refused_before
from orchestrator.serve.steps.shorten import shortened
from orchestrator.serve.turns import turns_of

EXPIRES: Final = 86_400.0
"""Seconds that something waits where the manifest says nothing."""
MOST_WAITING: Final = 1_000
"""Things of a deployment that may wait at once where the manifest says nothing."""
QUEUE: Final = "front-desk"
SAY: Final = "A colleague must allow this first ({{ approval }}). It goes on by itself then."
LONGEST_TALK: Final = 8_000
LONGEST_ATTEMPT: Final = 2_000
LEFT_OUT: Final = "(earlier turns left out)"


async def hold_call(run: Run, agent: Agent, held: Held) -> Outcome:
    """Let a call wait until a person allows it. Raises ``ToolFailed`` where nobody can be asked."""
    people = run.deployment.blueprint.people
    function, arguments = held.name, dict(held.arguments)
    if run.desk is None:
        raise ToolFailed(
            f"{function} needs a person's approval, and nobody can be asked here",
            cure="Apply the deployment (orchestrator apply): the runtime keeps what waits for people.",
        )
    approval = new_id("apv")
    values = {"approval": approval, "function": function, "text": run.request.text}
    text = compile_template(people.get("say") or SAY)(values)
    digest = digest_of_call(run.deployment.name, agent.spec["name"], function, arguments)
    call = Call(function, arguments, held.effect, held.source, digest)
    outcome = Outcome(text, "waiting", served_by="person", approval=approval)
    return await hold(
        run, agent, run.desk, Wish(str(people.get("queue", QUEUE)), call=call, at=held.at, why=held.why), outcome
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a person: in whose ``queue``, how long it may wait (``None``: as the deployment says), which ``call``, and
    the place ``at`` which the run goes on, and ``why`` it is asked, beyond how the run came there."""

    queue: str
    expires: float | None = None
    call: Call | None = None
    at: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


async def hold(run: Run, agent: Agent, desk: Desk, wish: Wish, outcome: Outcome) -> Outcome:
    """Keep the run with what it waits for, in one transaction; gives what the caller is told. Raises ``DeskFull``."""
    promise, streamed = outcome.text, run.streamed
    if streamed:
        told = "\n\n".join(filter(None, ["".join(run.said), promise]))
        outcome = Outcome(told, "waiting", served_by="person", approval=outcome.approval)
    if run.is_part:
        run.goes_alone()
    result = run.result(agent.spec["name"], outcome)
    approval = _approval(run, wish, result, desk.now())
    people = run.deployment.blueprint.people
    said = turns_of(run, run.typed, result)
    asking = Asking(
        approval,
        result,
        () if run.is_part else said[bool(run.going_on) :],  # what a part says is said with the other parts
        restricted=run.restricted,
        channels=tuple(people.get("notify", {})),
        most=most_waiting(run),
    )
    await desk.ask(asking)  # from here on nothing waits: a caller that goes away leaves a run that waits
    if streamed:  # not before: it may be that nothing can be kept
        run.pause()
        run.say(promise)
    fields = {"approval": approval.id, "waits": approval.kind, "agent": approval.agent, "queue": approval.queue}
    run.tell("approval.asked", fields | {"function": wish.call.function if wish.call else ""})
    return outcome


def most_waiting(run: Run) -> int:
    """How many things of its deployment may wait."""
    return int(run.deployment.blueprint.people.get("most_waiting", MOST_WAITING))


def _approval(run: Run, wish: Wish, result: Result, now: float) -> Approval:
    expires = wish.expires or run.deployment.blueprint.people.get("expires", EXPIRES)
    return Approval(
        id=result.approval,
        deployment=result.deployment,
        revision=result.revision,
        run=result.id,
        agent=result.agent,
        queue=wish.queue,
        kind="call" if wish.call else "question",
        text=run.request.text,
        created=now,
        expires=now + expires,
        session=result.session,
        why="; ".join(filter(None, [wish.why, *_refused(run), _why(run, result.why)])),
        talk=talk_of(run, LONGEST_TALK),
        data_class=result.data_class,
        call=wish.call,
        held=kept(run, result, wish.at),
        settles=run.going_on.waited.id if run.going_on else "",
    )


def _refused(run: Run) -> list[str]:
    """What this run was refused before counts too: its agents may want the same in other words."""
    return [f"before, in this run, {each}" for each in refused_before(run)]


def _why(run: Run, why: str) -> str:
    """How it came to a person, with what those before had said and done: it counts in what the person decides."""
    done = [
        f"{each.agent}: {told}"
        for each in run.attempts
        if (told := each.done(shortened(each.text, LONGEST_ATTEMPT)[0]))
    ]
    return "; ".join([why, *done])


def talk_of(run: Run, room: int) -> str:
    """The newest turns before the request that fit into so many characters, a line each."""
    turns = newest_turns(run.history, room)
    return "\n".join([*([LEFT_OUT] if len(turns) < len(run.history) else []), *turns])


def newest_turns(turns: Sequence[Message], room: int) -> list[str]:
    """As many whole turns as ``room`` characters hold with their line ends."""
    lines: list[str] = []
    for turn in reversed(turns):
        line = f"{turn.role}: {turn.content}"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return lines[::-1]
