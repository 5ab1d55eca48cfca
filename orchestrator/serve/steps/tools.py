"""Calling a function: its arguments are checked, its time is bounded, what it did is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio

from orchestrator.core.errors import RunError, ToolFailed
from orchestrator.core.message import Message, ToolCall, Usage
from orchestrator.core.schema_check import check_arguments
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome
from orchestrator.serve.run import Run

LONGEST_OUTPUT = 16_000
"""Characters of a function's output that a model sees; the rest is named, not silently lost."""
ONE_CALL = Usage(tool_calls=1)


async def call_function(
    run: Run, agent: Agent, function: ToolFunction, arguments: Mapping[str, Any], call_id: str
) -> ToolOutcome:
    """Call it. Raises ``ToolFailed`` where the arguments do not fit, it fails, or its time is over."""
    checked = check_arguments(arguments, function.parameters)
    if checked.fault:
        raise ToolFailed(f"{function.name}: {checked.fault}")
    began = anyio.current_time()
    seconds = min(agent.tool_timeouts.get(function.name, 10.0), max(0.0, run.deadline - began))
    context = ToolContext(run.request.id, run.request.session, agent.spec["name"], call_id, run.request.text)
    try:
        with anyio.fail_after(seconds):
            outcome = await function.run(checked.value, context)
    except TimeoutError as error:
        _note(run, function, began, "timeout")
        raise ToolFailed(f"{function.name} did not finish in {seconds:g} s") from error
    except RunError as error:
        _note(run, function, began, type(error).__name__)
        raise
    except Exception as error:
        _note(run, function, began, type(error).__name__)
        raise ToolFailed(f"{function.name} failed: {type(error).__name__}: {error}") from error
    _note(run, function, began, "ok")
    return outcome


def _note(run: Run, function: ToolFunction, began: float, outcome: str) -> None:
    run.usage = run.usage + ONE_CALL
    run.tool_ms += (anyio.current_time() - began) * 1e3
    run.note("tool", function.name, began, {"outcome": outcome, "effect": function.effect})
    run.tell("run.tool", {"function": function.name, "outcome": outcome})


async def answer_call(run: Run, agent: Agent, call: ToolCall) -> Message:
    """The ``tool`` message for a model's call. A wish that cannot be met is told to the model, so that it can mend it."""
    function = agent.functions.get(call.name)
    if function is None:
        known = ", ".join(agent.functions) or "none"
        return _message(call, f"error: there is no function {call.name!r}; the functions are: {known}")
    try:
        arguments = json.loads(call.arguments or "{}", strict=False)
    except ValueError as error:
        return _message(call, f"error: the arguments are no JSON object: {error}")
    if not isinstance(arguments, dict):
        return _message(call, "error: the arguments are no JSON object")
    try:
        outcome = await call_function(run, agent, function, arguments, f"{run.request.id}:{call.id}")
    except ToolFailed as error:
        return _message(call, f"error: {error.message}")
    return _message(call, as_text(outcome))


def as_text(outcome: ToolOutcome) -> str:
    """What a model reads of an outcome."""
    text = outcome.text or json.dumps(outcome.value, ensure_ascii=False, default=str)
    if len(text) > LONGEST_OUTPUT:
        return text[:LONGEST_OUTPUT] + f"\n[{len(text) - LONGEST_OUTPUT} more characters were left out]"
    return text


def _message(call: ToolCall, text: str) -> Message:
    return Message("tool", text, tool_call_id=call.id)
