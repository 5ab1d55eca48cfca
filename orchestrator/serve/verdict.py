"""The end of a run that waited, where a verdict alone decides it: an answer, a refusal of a question, a time that is over, a
call that was cut off."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.approval import SEND, Approval
from orchestrator.core.errors import ApprovalExpired, HeldRunLost, RunError
from orchestrator.core.request import Result, StepRecord
from orchestrator.serve.held import marks_in, person_detail, waited
from orchestrator.serve.steps.refused import denied


def end_of(approval: Approval) -> Result | None:
    """The end; nothing where the run itself must go on first."""
    if approval.state == "expired":
        what = approval.call.function if approval.call else "the question"
        return _failed(
            approval,
            ApprovalExpired(f"nobody decided on {what} in time ({approval.id}); it was not done", cure="Ask again."),
        )
    if approval.kind == "question":
        return _failed(approval, denied(approval)) if approval.state == "denied" else _answered(approval)
    function = approval.call.function if approval.call else ""
    if approval.begun is not None and approval.outcome is None and function != SEND:
        return lost(approval, f"the runtime ended while {function} was being called: it may have been done, or not")
    return None


def lost(approval: Approval, why: str, first: str = "") -> Result:
    """It cannot go on. ``first``: what must be done before the rest of the cure."""
    cure = f"{first}See by hand whether it was done, then ask again."
    return _failed(approval, HeldRunLost(f"{why} ({approval.id})", cure=cure))


def never_served(approval: Approval, seconds: float) -> Result:
    """It was waited for in vain."""
    why = f"{approval.deployment} is applied, and did not come to serve for {seconds:g} s"
    return lost(approval, why, f"Mend what `orchestrator status {approval.deployment}` says. ")


def _answered(approval: Approval) -> Result:
    """A person may repeat what the run hides from the cloud, and a later turn of the session may go there."""
    text, marks = approval.answer, marks_in(approval.answer, approval)
    return replace(_told(approval), status="completed", text=text, marks=marks, finish_reason="stop")


def _failed(approval: Approval, error: RunError) -> Result:
    return replace(_told(approval), status="failed", text="", error=error.as_json(), finish_reason="error")


def _told(approval: Approval) -> Result:
    """The run as it waited, with what the person did as its last step."""
    try:
        result = waited(approval)
    except HeldRunLost:
        result = Result(approval.run, approval.deployment, approval.revision, "waiting", "", agent=approval.agent)
    at = result.timings.get("total", 0.0)
    step = StepRecord("person", f"agent.{approval.agent}", at, 0.0, person_detail(approval))
    return replace(result, steps=(*result.steps, step), served_by="person", approval=approval.id)
