"""A run's way through the graph: from vertex to vertex until one answers. Bounded by construction."""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import LimitReached, RunError, SchemaInvalid
from orchestrator.core.handed import Attempt
from orchestrator.core.names import did_you_mean
from orchestrator.core.request import Result
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.clock import current_time
from orchestrator.serve.latch import Conversation
from orchestrator.serve.outcome import Held, Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.several import answer_parts
from orchestrator.serve.steps.answer import answer
from orchestrator.serve.steps.defer import defer, may_wait
from orchestrator.serve.steps.escalate import escalation_of, handed_over_enough, partial_text
from orchestrator.serve.steps.hold import hold_call
from orchestrator.serve.steps.route import route
from orchestrator.serve.steps.withheld import instead_of

MOST_HOPS: Final = 8
"""Vertices that one run may visit."""
TELLING_SECONDS: Final = 1.0
"""What there is at least to tell a person, when the time of the request is over. Callers wait a little longer than that."""


async def walk(run: Run) -> Result:
    """Go from the entry to an answer. Raises the ``RunError`` that nobody took over."""
    name = run.grant.agent if run.grant else run.request.agent or run.deployment.entry
    for _ in range(MOST_HOPS):
        router = run.deployment.routers.get(name)
        if router is not None:
            run.path.append(router.address)
            outcome = await route(run, router)
            if outcome.parted is not None:
                return await answer_parts(run, outcome.parted, walk)
        else:
            outcome = await _visit(run, name)
        if not outcome.to:
            return run.result(name if router is None else "", outcome)
        name = outcome.to
    raise LimitReached(f"the request was passed on {MOST_HOPS} times: {' -> '.join(run.path)}")


async def _visit(run: Run, name: str) -> Outcome:
    agent = run.deployment.agents.get(name)
    if agent is None:
        known = [*run.deployment.agents, *run.deployment.routers]
        cure = did_you_mean(name, known) or f"There are: {', '.join(known)}."
        raise RunError(f'no agent is called "{name}"', cure=cure)
    run.comes_to(agent)
    began = current_time()
    if run.grant is None:
        if run.conversation is not None:
            _begin(run, run.conversation, name)
        run.path.append(agent.address)
    timeout = agent.spec["timeout"]
    run.until = min(run.deadline, began + timeout) if timeout else run.deadline
    try:
        outcome = await _answered(run, agent)
    except RunError as error:
        to = escalation_of(run, agent, error) or instead_of(run, agent, error)
        if not to:
            if may_wait(run, agent, error):
                return await defer(run, agent, error)
            raise
        if isinstance(error, SchemaInvalid) and run.conversation is not None:
            run.conversation.note(name, kept=False)
        run.deadline = max(run.deadline, current_time() + TELLING_SECONDS)
        outcome = Outcome(to=to, text=partial_text(error), why=f"{error.message} ({error.code})")
    if outcome.to:
        if handed_over_enough(run):
            raise LimitReached(
                f"the request was handed over {len(run.attempts)} times already: {' -> '.join(run.path)}",
                cure="Raise deployment.escalation.most, or let one of them answer.",
            )
        run.attempts = (*run.attempts, Attempt(agent.address, outcome.why, outcome.text, run.called()))
        run.note("escalate", f"agent.{outcome.to}", began, {"from": agent.address, "reason": outcome.why})
        run.tell("run.escalated", {"from": name, "to": outcome.to, "reason": outcome.why})
    return outcome


def _begin(run: Run, conversation: Conversation, name: str) -> None:
    """The first agent of a request says which task of the conversation it belongs to; not where a router only fell back on it."""
    if not any(address.startswith("agent.") for address in run.path):
        chosen = run.decisions[-1].choice == name if run.decisions else True
        conversation.begin(name, current_time(), chosen=chosen)


async def _answered(run: Run, agent: Agent) -> Outcome:
    """Its answer, or that a person must allow a call first."""
    try:
        return await answer(run, agent)
    except Held as held:
        return await hold_call(run, agent, held)
