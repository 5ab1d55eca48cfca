"""A run that waits for a person or its target: what of it is kept, and how it goes on from that, in this process or a later
one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.approval import Approval
from orchestrator.core.delivery import Delivery
from orchestrator.core.denial import Denial
from orchestrator.core.errors import HeldRunLost
from orchestrator.core.handed import Attempt
from orchestrator.core.known_values import KnownValues
from orchestrator.core.marks import Mark
from orchestrator.core.personal import standing_in
from orchestrator.core.request import Request, Result
from orchestrator.deploy.deployment import Deployment
from orchestrator.serve.clock import current_time
from orchestrator.serve.loop import Loop
from orchestrator.serve.outcome import GoingOn
from orchestrator.serve.run import Emit, Run


def kept(run: Run, result: Result, at: Mapping[str, Any]) -> dict[str, Any]:
    """All that the run needs to go on, as plain values."""
    return {
        "request": run.request.as_json(),
        "typed": run.typed,
        "part_of": run.part_of,
        "nonce": run.nonce,
        "result": result.as_json(),
        "attempts": [
            {"agent": each.agent, "reason": each.reason, "text": each.text, "calls": list(each.calls)}
            for each in run.attempts
        ],
        "at": dict(at),
        "denials": [each.as_json() for each in run.denials],
        "consents": run.consents.as_json(run.passage),
        "spent": _spent(run),
        "names": run.passage.as_json() if run.passage is not None else _names_before(run),
    }


def _spent(run: Run) -> Mapping[str, Any]:
    """By agent; of a run that waited before and now had no way to the cloud, what it had spent then."""
    if run.passage is not None:
        return run.passage.purse.as_json()
    return spent_before(run.going_on) if run.going_on is not None else {}


def spent_before(going: GoingOn) -> Mapping[str, Any]:
    """What a run had spent in the cloud when it began to wait, by agent."""
    spent: Mapping[str, Any] = going.waited.held.get("spent", {})
    return spent


def names_before(going: GoingOn) -> Mapping[str, Any]:
    """What a run hid from the cloud when it began to wait, and in which words."""
    names: Mapping[str, Any] = going.waited.held.get("names", {})
    return names


def marks_in(text: str, waited: Approval | Delivery) -> tuple[Mark, ...]:
    """Where in a text, which somebody else wrote, what the run hid stands."""
    known = KnownValues()
    known.goes_on(waited.held.get("names", {}))
    return standing_in(text, known)


def _names_before(run: Run) -> Mapping[str, Any]:
    return names_before(run.going_on) if run.going_on is not None else {}


def going_on(approval: Approval | Delivery, *, sent: bool = False) -> GoingOn:
    """What a run goes on with."""
    return GoingOn(approval, approval.agent, approval.held["at"], sent)


def waited(approval: Approval | Delivery) -> Result:
    """The run as it was when it began to wait. Raises ``HeldRunLost`` where another version of the program kept it."""
    try:
        return Result.from_json(approval.held["result"])
    except (KeyError, TypeError) as error:
        raise HeldRunLost(
            f"{approval.id} was kept by another version of the program: {error!r}", cure="Ask again."
        ) from error


def resumed(going: GoingOn, deployment: Deployment, loop: Loop, emit: Emit) -> Run:
    """The run, as if it had waited no time: its own time begins anew, what it spent stays."""
    held = going.waited.held
    result = waited(going.waited)
    request = Request.from_json(held["request"])
    if isinstance(going.waited, Delivery):  # nobody waits for it on a line
        request = replace(request, timeout=None)
    run = Run(request, deployment, loop, emit, None)
    run.typed, run.nonce = str(held["typed"]), str(held["nonce"])
    run.part_of = str(held.get("part_of", ""))
    run.started -= result.timings.get("total", 0.0) / 1e3
    run.path = list(result.path)
    run.decisions = result.decisions
    run.steps = list(result.steps)
    run.attempts = tuple(Attempt(**{**each, "calls": tuple(each.get("calls", ()))}) for each in held["attempts"])
    run.usage = result.usage
    run.queue_ms, run.model_ms, run.tool_ms = (result.timings.get(name, 0.0) for name in ("queue", "model", "tool"))
    run.notes = list(result.notes)
    run.denials = tuple(Denial(**each) for each in held.get("denials", ()))
    if not going.sent:  # a leave is for one send
        run.consents.goes_on(held.get("consents"))
    run.going_on = run.grant = going
    kind, detail = _waited_for(going.waited)
    run.note(kind, f"agent.{going.waited.agent}", current_time(), detail)
    return run


def _waited_for(waited: Approval | Delivery) -> tuple[str, dict[str, Any]]:
    """What it waited for, as a step of the run's story."""
    if isinstance(waited, Approval):
        return "person", person_detail(waited)
    if waited.there:
        return "forward", {"delivery": waited.id, "node": waited.there, "run": waited.part, "away": waited.away}
    return "forward", {"delivery": waited.id, "tries": waited.tries, "away": waited.away}


def person_detail(approval: Approval) -> dict[str, Any]:
    """What a person decided, for the run's story."""
    decided = approval.decided if approval.decided is not None else approval.created
    detail = {"approval": approval.id, "state": approval.state, "waited_s": round(decided - approval.created, 3)}
    return detail | ({"by": approval.by} if approval.by else {})
