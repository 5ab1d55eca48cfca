"""What a person refused in a run stays refused in it: no agent of the run asks for the same call again, and whoever comes next is
told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.approval import Approval
from orchestrator.core.denial import Denial, denial_of, digest_of_wish
from orchestrator.core.errors import ApprovalDenied
from orchestrator.core.marks import marks_of
from orchestrator.serve.run import Run
from orchestrator.serve.steps.shorten import shortened

ASK_ELSE: Final = "Ask for something else."
MOST_TOLD: Final = 8
"""Refusals that the next model or person is shown: the newest."""
LONGEST_ARGUMENTS: Final = 400
"""Characters of the arguments of one of them."""
LONGEST_WORDS: Final = 1_000
"""Characters of what the person said to it."""


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
    """What was refused in the run so far, a sentence each; the newest at the end."""
    told = tuple(in_short(run, each).told() for each in run.denials[-MOST_TOLD:])
    earlier = len(run.denials) - len(told)
    return (f"{earlier} calls more were refused before", *told) if earlier else told


def in_short(run: Run, denial: Denial) -> Denial:
    """With no more of its arguments and its words than others are told; what is hidden from the cloud is cut out whole."""
    arguments, words = _cut(run, denial.arguments, LONGEST_ARGUMENTS), _cut(run, denial.words, LONGEST_WORDS)
    return Denial(denial.function, denial.digest, arguments, denial.by, words)


def _cut(run: Run, text: str, room: int) -> str:
    marks = run.passage.standing(text) if run.passage is not None and len(text) > room else ()
    return shortened(text, room, marks)[0]


def _told(by: str, what: str, words: str) -> str:
    return f"{by or 'a person'} refused {what}{f': {words}' if words else ''}"
