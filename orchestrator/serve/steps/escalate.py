"""When a fault goes up to a stronger agent or a person instead of back to the user."""

from __future__ import annotations

import anyio

from orchestrator.core.errors import (
    DeadlinePassed,
    ModelError,
    QueueFull,
    RunCancelled,
    RunError,
    SchemaInvalid,
    ToolFailed,
    WouldMissDeadline,
)
from orchestrator.deploy.deployment import Agent
from orchestrator.serve.run import Run


def escalation_of(run: Run, agent: Agent, error: RunError) -> str:
    """The agent that takes over after ``error``, or an empty text.

    Never after a piece of the answer has reached the caller, and never when the run's own time is over.
    """
    spec = agent.spec
    if not spec["escalate_to"] or run.streamed or isinstance(error, RunCancelled):
        return ""
    if anyio.current_time() >= run.deadline:
        return ""
    return spec["escalate_to"] if signals(error) & set(spec["escalate_when"]) else ""


def signals(error: RunError) -> set[str]:
    """The words of ``escalate_when`` that a fault answers to. ``error`` covers every fault but a time-out and overload."""
    match error:
        case DeadlinePassed():
            return {"timeout"}
        case QueueFull() | WouldMissDeadline():
            return {"overloaded"}
        case SchemaInvalid():
            return {"schema_invalid", "error"}
        case ToolFailed():
            return {"tool_failed", "error"}
        case _:
            return {"error"}


def partial_text(error: RunError) -> str:
    """What had been said before the fault."""
    return error.partial if isinstance(error, ModelError) else ""
