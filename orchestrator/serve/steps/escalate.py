"""When a fault goes up to a stronger agent or a person instead of back to the user."""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import (
    AnswerLost,
    ApprovalDenied,
    DeadlinePassed,
    FleetBusy,
    HeldRunLost,
    ModelError,
    NoHolder,
    QueueFull,
    RateLimited,
    RunCancelled,
    RunError,
    SchemaInvalid,
    ServerBusy,
    Stalled,
    StaysHere,
    ToolFailed,
    WouldMissDeadline,
)
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.clock import current_time
from orchestrator.serve.run import Run
from orchestrator.serve.steps.elsewhere import is_elsewhere
from orchestrator.serve.steps.withheld import kept_here

_SIGNALS: Final[tuple[tuple[tuple[type[RunError], ...], frozenset[str]], ...]] = (
    ((DeadlinePassed,), frozenset({"timeout"})),
    ((Stalled,), frozenset({"timeout", "error"})),
    ((QueueFull, WouldMissDeadline), frozenset({"overloaded"})),
    ((ServerBusy, RateLimited), frozenset({"overloaded", "error"})),
    ((SchemaInvalid,), frozenset({"schema_invalid", "error"})),
    ((ToolFailed,), frozenset({"tool_failed", "error"})),
)
"""``error`` covers every fault but those that say that there was no time or no room."""


def escalation_of(run: Run, agent: Agent, error: RunError) -> str:
    """The agent that takes over after ``error``, or an empty text.

    Never after a piece of the answer has reached the caller, and never past a person who said no: where a model was told so and
    answered, its answer may go up, but nobody makes the call that was refused (``steps/refused.py``). When the run's own time is
    over nobody could answer any more; a person still can be told.
    """
    spec = agent.spec
    if is_elsewhere(agent) and not isinstance(error, (NoHolder, AnswerLost, StaysHere, FleetBusy)):
        return ""  # the node that holds it has handed over already, where it should
    if not may_go_up(run, agent) or run.streamed or isinstance(error, (RunCancelled, ApprovalDenied, HeldRunLost)):
        return ""
    if current_time() >= run.deadline and not _is_person(run, spec["escalate_to"] or ""):
        return ""
    return (spec["escalate_to"] or "") if kept_here(error) or signals(error).intersection(spec["escalate_when"]) else ""


def may_go_up(run: Run, agent: Agent) -> bool:
    """Whether there is somebody to hand over to, and the run was not handed over as often as it may be."""
    return bool(agent.spec["escalate_to"]) and not handed_over_enough(run)


def handed_over_enough(run: Run) -> bool:
    """Whether the run was handed over as often as it may be."""
    return len(run.attempts) >= run.deployment.blueprint.most_escalations


def _is_person(run: Run, name: str) -> bool:
    target = run.deployment.agents.get(name)
    return target is not None and target.spec["human"] is not None


def signals(error: RunError) -> frozenset[str]:
    """The words of ``escalate_when`` that a fault answers to."""
    return next((words for kinds, words in _SIGNALS if isinstance(error, kinds)), frozenset({"error"}))


def partial_text(error: RunError) -> str:
    """What had been said before the fault."""
    if isinstance(error, SchemaInvalid):
        return error.attempt
    return error.partial if isinstance(error, ModelError) else ""
