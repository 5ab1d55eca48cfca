"""A run that waits for a person on another node: this node keeps it, asks that one how it stands, and ends it as it ended there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.core.delivery import Delivery
from orchestrator.core.errors import HeldRunLost, RunCancelled, RunError, StateUnusable, TooLargeToSend, WaitsThere
from orchestrator.core.handed import Attempt
from orchestrator.core.request import Result, StepRecord, new_id
from orchestrator.ports.outbox import Deferring, Outbox
from orchestrator.serve.clock import current_time
from orchestrator.serve.held import kept
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.hold import EXPIRES
from orchestrator.serve.turns import turns_of

BEYOND: Final = 600.0
"""Seconds beyond those in which a person may decide, for the run there to go on."""
ASKED_AGAIN: Final = frozenset((WaitsThere.__name__, RunCancelled.__name__, StateUnusable.__name__))
"""Faults of this node after which that one is asked again: what else it tells is the end of the run there, and so here."""
THERE: Final = "there"
"""The place at which a run goes on that waits on another node: where, and as what."""


async def wait_there(run: Run, post: Outbox, name: str, told: Result) -> Outcome:
    """Keep the run of agent ``name``, with whom to ask for its end, in one transaction; gives what the caller is told. What it met
    there until now is shown and not kept: its end there tells all of it. That node bounds how many wait for its people."""
    outcome = outcome_of(told, name)
    node, began, patience = told.asked or told.node, current_time(), patience_of(run)
    if run.is_part:
        run.goes_alone()
    at = {THERE: {"node": node, "run": told.id, "approval": told.approval, "patience": patience}}
    held = kept(run, run.result(name, outcome), at)
    take(run, told, began)
    result = run.result(name, outcome)
    now = post.now()
    delivery = Delivery(
        id=new_id("dlv"),
        deployment=result.deployment,
        revision=result.revision,
        run=result.id,
        agent=name,
        text=run.request.text,
        created=now,
        expires=now + patience,
        away=waits_told(told.node, told.approval),
        session=result.session,
        data_class=result.data_class,
        again=now,
        held=held,
        settles=run.going_on.waited.id if run.going_on else "",
        there=node,
        part=told.id,
    )
    said = turns_of(run, run.typed, result)
    new = () if run.is_part else said[bool(run.going_on) :]  # what a part says is said with the other parts
    await post.defer(Deferring(delivery, result, new, run.restricted, sys.maxsize))
    run.tell("delivery.deferred", {"delivery": delivery.id, "agent": name, "away": delivery.away})
    return outcome


def patience_of(run: Run) -> float:
    """Seconds without a word of that node after which nobody waits for it any more."""
    return float(run.deployment.blueprint.people.get("expires", EXPIRES)) + BEYOND


def waits_told(node: str, approval: str) -> str:
    """For whom it waits, in words."""
    return f"it waits for a person on node {node} ({approval})"


def place_there(run: Run) -> Mapping[str, Any] | None:
    """Where it goes on, of a run that waits on another node."""
    found: Mapping[str, Any] | None = run.grant.at.get(THERE) if run.grant is not None else None
    return found


async def look(run: Run, there: Mapping[str, Any]) -> Result:
    """What has become of it there. Raises ``WaitsThere`` while that is nothing new: with the ``node`` where that one said so, and
    without where it was not heard."""
    node, name = str(there["node"]), run.grant.agent if run.grant is not None else ""
    waits = waits_told(node, str(there["approval"]))
    if run.elsewhere is None:
        raise WaitsThere(f"{waits}, and this one has no link to its fleet", cure="orchestrator node status")
    try:
        told = await run.elsewhere.look(node, str(there["run"]), name)
    except TooLargeToSend:  # it has ended, and its answer never comes
        raise
    except RunError as error:
        raise WaitsThere(f"{waits}, which does not answer: {error.message}", cure=error.cure) from error
    if told.status == "waiting" and told.approval == there["approval"]:
        fault = WaitsThere(waits, cure=f"orchestrator approvals show {there['approval']}, on {told.node or node}")
        fault.node = node
        raise fault
    return told


def ended(run: Run, told: Result) -> Result:
    """It has ended there: so it has here, as what it was there."""
    name = run.grant.agent if run.grant is not None else ""
    take(run, told, current_time())
    run.grant = None
    return run.result(name, outcome_of(told, name), as_ended(told))


def as_ended(told: Result) -> Mapping[str, Any] | None:
    """Its error; where that is one after which this node would ask again, as that of a run that is lost: there it was the end."""
    if not told.error or told.error.get("kind") not in ASKED_AGAIN:
        return told.error
    why = f"it failed on {told.node}: {told.error.get('message')}"
    return HeldRunLost(why, cure=str(told.error.get("cure") or "Ask again.")).as_json()


def outcome_of(told: Result, name: str) -> Outcome:
    """What another node says of an agent ``name`` of its."""
    return Outcome(
        text=told.text,
        status=told.status,
        served_by=told.served_by,
        value=told.value,
        finish_reason=told.finish_reason,
        approval=told.approval,
        agent=told.agent or name,
        node=told.node,
    )


def take(run: Run, result: Result, began: float) -> None:
    """What it met there is the run's too, its first vertex left out, which is there already."""
    run.path += result.path[1:]
    for each in result.decisions:
        run.add_decision(each, each.router)
    run.steps += _moved(result, (began - run.started) * 1e3)
    run.attempts += tuple(
        Attempt(str(each.detail.get("from", "")), str(each.detail.get("reason", "")))
        for each in result.steps
        if each.kind == "escalate"
    )
    run.usage = run.usage + result.usage
    run.queue_ms += result.timings.get("queue", 0.0)
    run.model_ms += result.timings.get("model", 0.0)
    run.tool_ms += result.timings.get("tool", 0.0)
    for note in result.notes:
        run.remark("", "", note)
    if run.passage is not None:
        run.passage.learn_marked(result.text, result.marks)
    if result.data_class == "restricted":
        run.restrict()


def _moved(result: Result, by: float) -> Iterator[StepRecord]:
    """Its steps on this run's clock, each with where it was done, and as which run there."""
    for step in result.steps:
        detail = {"node": result.node, "run": result.id, **step.detail}
        yield StepRecord(step.kind, step.subject, step.at_ms + by, step.took_ms, detail)
