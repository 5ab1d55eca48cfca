"""What a person refused in a run stays refused in it: no agent of the run asks for the same call again, and whoever comes next is
told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.approval import Approval
from orchestrator.core.denial import denial_of, digest_of_wish
from orchestrator.core.errors import ApprovalDenied
from orchestrator.core.marks import marks_of
from orchestrator.serve.run import Run
from orchestrator.serve.steps.shorten import shortened

ASK_ELSE: Final = "Ask for something else."
LONGEST_TOLD: Final = 1_000
"""Characters of one refusal that the next model or person is shown."""


def denied(approval: Approval) -> ApprovalDenied:
    """That a person said no, in words."""
    what = approval.call.function if approval.call else "the question"
    return ApprovalDenied(_told(approval.by, what, approval.answer), cure=ASK_ELSE)


def remember(run: Run, approval: Approval, arguments: Mapping[str, Any]) -> None:
    """A person refused this call of the run."""
    if approval.call is None:
        return
    denial = denial_of(approval.call.function, arguments, approval.by, approval.answer)
    run.denials = (*run.denials, denial)
    if run.passage is not None:  # an agent in the cloud may be told of it
        told = denial.told()
        run.passage.learn(arguments, {})
        run.passage.learn_marked(told, marks_of(arguments, told, run.passage.fields, None))


def check_not_refused(run: Run, function: str, arguments: Mapping[str, Any]) -> None:
    """Raise ``ApprovalDenied`` where a person refused this very call before in this run, whichever agent wanted it then."""
    if not run.denials:
        return
    digest = digest_of_wish(function, arguments)
    for each in run.denials:
        if each.digest == digest:
            what = f"{function} with these arguments before, in this run"
            raise ApprovalDenied(_told(each.by, what, each.words), cure=ASK_ELSE)


def refused_before(run: Run) -> tuple[str, ...]:
    """What was refused in the run so far, a sentence each."""
    return tuple(_short(run, each.told()) for each in run.denials)


def _short(run: Run, told: str) -> str:
    marks = run.passage.standing(told) if run.passage is not None and len(told) > LONGEST_TOLD else ()
    return shortened(told, LONGEST_TOLD, marks)[0]


def _told(by: str, what: str, words: str) -> str:
    return f"{by or 'a person'} refused {what}{f': {words}' if words else ''}"
