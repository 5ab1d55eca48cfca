"""Calling a function: its arguments are checked, its time is bounded, what it did is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import anyio

from orchestrator.core.approval import Approval, digest_of_call
from orchestrator.core.errors import (
    ApprovalDenied,
    DeadlinePassed,
    HeldRunLost,
    RunError,
    ToolFailed,
    WrongArguments,
)
from orchestrator.core.marks import NO_ORIGINS, clipped, marks_of
from orchestrator.core.message import Message, ToolCall, Usage
from orchestrator.core.schema_check import check_arguments
from orchestrator.core.surrogates import whole_value
from orchestrator.deploy.deployment import Agent
from orchestrator.ports.tool import ToolContext, ToolFunction, ToolOutcome
from orchestrator.serve.clock import current_time
from orchestrator.serve.outcome import Held
from orchestrator.serve.run import Run
from orchestrator.serve.steps.exclusive import may_act
from orchestrator.serve.steps.plain import plain_outcome, read_model_json
from orchestrator.serve.steps.refused import check_not_refused, denied, remember

LONGEST_OUTPUT: Final = 16_000
"""Characters of a function's output that a model sees; the rest is named, not silently lost."""
LONGEST_REPEATED: Final = 400
"""Characters of broken arguments that the model is shown again."""
USUAL_TIMEOUT: Final = 10.0
_ITS_OWN: Final = (
    "Mend what the tool tells, or let the agent hand over: escalate_to, with tool_failed in escalate_when."
)
"""Where the tool itself says no more."""
ONE_CALL: Final = Usage(tool_calls=1)


async def call_function(run: Run, agent: Agent, function: ToolFunction, arguments: Mapping[str, Any]) -> ToolOutcome:
    """Call it. Raises ``WrongArguments``, ``ToolFailed`` where it fails or takes too long for it, ``DeadlinePassed`` where
    it takes longer than the agent has; ``Held`` where a person must allow it first, and ``ApprovalDenied`` where one refused it
    in this run."""
    checked = check_arguments(arguments, function.parameters)
    if checked.fault:
        raise WrongArguments(f"{function.name}: {checked.fault}", cure=f"{function.name} takes {taken_by(function)}")
    if run.grant is not None:  # also where the manifest would let it pass by now: a person may have refused it
        return await _by_grant(run, agent, function, checked.value)
    check_not_refused(run, function.name, checked.value)  # also where the manifest would let it pass by now
    if function.name in agent.guarded:
        raise Held(function.name, function.effect, checked.value)
    return await carry_out(run, agent, function, checked.value)


async def _by_grant(run: Run, agent: Agent, function: ToolFunction, arguments: Mapping[str, Any]) -> ToolOutcome:
    """The call that a person decided on: this one, with these arguments, once. What it gave is kept before anything is made
    of it. Raises ``ApprovalDenied``, and ``HeldRunLost`` where it is not the call that was approved."""
    grant, desk, run.grant = run.grant, run.desk, None
    approval = grant.waited if grant and isinstance(grant.waited, Approval) else None
    if approval is None or approval.call is None or desk is None:
        raise Held(function.name, function.effect, arguments)
    if digest_of_call(run.deployment.name, agent.spec["name"], function.name, arguments) != approval.call.digest:
        raise HeldRunLost(
            f"{function.name} would be called with other arguments than those that were approved ({approval.id})",
            cure="The manifest has changed meanwhile: ask again.",
        )
    if approval.state != "approved":
        remember(run, approval, arguments)
        raise denied(approval)
    if approval.outcome is not None:
        _learn(run, approval.outcome.get("value"), approval.outcome.get("origins", NO_ORIGINS))
        return _recorded(approval.outcome)
    await desk.begin(approval.id)
    try:
        outcome = await carry_out(run, agent, function, arguments)
    except RunError as error:
        told = error.value if isinstance(error, ToolFailed) else None
        await desk.record(approval.id, {"error": error.as_json()} | ({"value": told} if told is not None else {}))
        raise
    origins = {"origins": dict(outcome.origins)} if outcome.origins else {}
    await desk.record(approval.id, {"value": outcome.value, "text": outcome.text, **origins})
    return outcome


def _recorded(outcome: Mapping[str, Any]) -> ToolOutcome:
    """What a call gave before the runtime ended."""
    if "error" in outcome:
        error = outcome["error"]
        raise ToolFailed(str(error["message"]), cure=str(error["cure"]), value=outcome.get("value"))
    return ToolOutcome(outcome["value"], str(outcome["text"]), origins=outcome.get("origins", NO_ORIGINS))


async def carry_out(run: Run, agent: Agent, function: ToolFunction, arguments: Mapping[str, Any]) -> ToolOutcome:
    """Call it with arguments that are checked, past every approval; where no work was done for the request before, once there is
    a place for it."""
    if run.place is None:
        return await _carried_out(run, agent, function, arguments)
    came = current_time()
    async with run.place.at_work(run.until, agent.spec["priority"] or run.request.priority):
        run.queue_ms += (current_time() - came) * 1e3
        return await _carried_out(run, agent, function, arguments)


async def _carried_out(run: Run, agent: Agent, function: ToolFunction, arguments: Mapping[str, Any]) -> ToolOutcome:
    await _keep_apart(run, function)
    restricted = run.restricted
    context = _context(run, agent)
    await may_act(run, agent, function, context.call_id)
    began = current_time()
    own_time, time_left = agent.tool_timeouts.get(function.name, USUAL_TIMEOUT), run.until - began
    outcome = "cancelled"
    _learn(run, arguments)  # what it says may repeat them
    try:
        with anyio.fail_after(max(0.0, min(own_time, time_left))):
            result = plain_outcome(function.name, await function.run(arguments, context))
        outcome = "ok"
        _learn(run, result.value, result.origins)
    except TimeoutError as error:
        outcome = "timeout"
        if time_left <= own_time:
            raise DeadlinePassed(f"the time was over while {function.name} worked") from error
        cure = f"Raise timeout of the tool {function.name.partition('.')[0]}, or ask for less."
        raise ToolFailed(f"{function.name} did not finish in {own_time:g} s", cure=cure) from error
    except RunError as error:
        outcome = type(error).__name__
        if isinstance(error, ToolFailed):
            error.cure = error.cure or _ITS_OWN
            error.value = plain_outcome(function.name, ToolOutcome(error.value)).value
            _learn(run, error.value)
        raise
    except Exception as error:
        outcome = type(error).__name__
        raise ToolFailed(f"{function.name} failed: {type(error).__name__}: {error}", cure=_ITS_OWN) from error
    finally:
        _keep_near(run, function)  # once more: a restricted run may have written while it read
        _note(run, function, began, outcome)
    if restricted and run.privacy is not None:
        await run.privacy.wrote(function, done=True)  # it may have put a file in place of the one that was marked
    return result


def _learn(run: Run, value: Any, origins: Mapping[str, str] = NO_ORIGINS) -> None:
    if run.passage is not None:
        run.passage.learn(value, origins)


async def _keep_apart(run: Run, function: ToolFunction) -> None:
    """What a restricted run tells a tool, another run may read there: that one is restricted then."""
    _keep_near(run, function)
    if run.privacy is not None and run.restricted:
        await run.privacy.wrote(function)


def _keep_near(run: Run, function: ToolFunction) -> None:
    """What it gives may be what a restricted run wrote."""
    if run.privacy is not None and not run.restricted and run.privacy.may_give(function):
        run.restrict(f"{function.name} may give what a restricted run wrote, and so the rest of this run is restricted")


def taken_by(function: ToolFunction) -> str:
    """Its arguments, each with what it is, for a person."""
    properties: Mapping[str, Mapping[str, Any]] = function.parameters.get("properties", {})
    required = function.parameters.get("required", ())
    told = [f"{name} ({_what(schema, name in required)})" for name, schema in properties.items()]
    return ", ".join(told) or "no arguments"


def _what(schema: Mapping[str, Any], required: bool) -> str:
    choices = schema.get("enum")
    kind = " or ".join(map(str, choices)) if choices else schema.get("description") or schema.get("type", "anything")
    words = kind if isinstance(kind, str) else " or ".join(map(str, kind))
    return words if required else f"{words}; may be left out"


def _context(run: Run, agent: Agent) -> ToolContext:
    """The call's id is its number in this very run: models give the same id to several calls, and callers to several
    requests, of which none is a repeat of another."""
    call_id = f"{run.nonce}:{run.usage.tool_calls + 1}"
    fields = run.passage.fields if run.passage is not None else ()
    asked = run.request
    return ToolContext(asked.id, asked.session, agent.spec["name"], call_id, asked.text, run.epoch, fields)


def _note(run: Run, function: ToolFunction, began: float, outcome: str) -> None:
    run.usage = run.usage + ONE_CALL
    run.tool_ms += (current_time() - began) * 1e3
    epoch = {"epoch": run.epoch} if run.epoch else {}
    run.note("tool", function.name, began, {"outcome": outcome, "effect": function.effect, **epoch})
    run.tell("run.tool", {"function": function.name, "outcome": outcome})


async def answer_call(run: Run, agent: Agent, call: ToolCall) -> Message:
    """The ``tool`` message for a model's call. A wish that cannot be met is told to the model, so that it can mend it.

    Raises ``ToolFailed`` where the function failed and the agent escalates on that.
    """
    function = agent.functions.get(call.name)
    if function is None:
        known = ", ".join(agent.functions) or "none"
        return _refused(run, call, f"there is no function {call.name!r}; the functions are: {known}")
    arguments = arguments_of(call)
    if isinstance(arguments, str):
        return _refused(run, call, f"{arguments}; they were: {call.arguments[:LONGEST_REPEATED]}")
    try:
        return _told(run, call, await call_function(run, agent, function, arguments))
    except WrongArguments as error:
        return _refused(run, call, error.message, arguments)
    except ApprovalDenied as error:
        return _refused(run, call, f"{error.message}. Do not call it again; say that it was refused", arguments)
    except ToolFailed as error:
        if agent.spec["escalate_to"] and "tool_failed" in agent.spec["escalate_when"]:
            raise
        return _message(run, call, f"error: {error.message}", [error.value, arguments])


def _refused(run: Run, call: ToolCall, fault: str, arguments: Any = None) -> Message:
    """Nothing was done: it counts as no call in the usage, but the run's story has it."""
    run.note("tool", call.name, current_time(), {"outcome": "refused", "fault": fault})
    run.tell("run.tool", {"function": call.name, "outcome": "refused"})
    return _message(run, call, f"error: {fault}", arguments)


def as_sent_back(wish: Message) -> Message:
    """A model's wish as its server gets it again in the conversation.

    llama-server answers 500 to a conversation that holds arguments which are no strict JSON object, so that a call which
    the token limit had cut off would end the run. What the model wrote stands in the answer to its call.
    """
    calls = tuple(ToolCall(call.id, call.name, _strict(call)) for call in wish.tool_calls)
    return wish if calls == wish.tool_calls else Message(wish.role, wish.content, calls)


def _strict(call: ToolCall) -> str:
    """The arguments as they are where any server reads them, else as we understood them."""
    understood = arguments_of(call)
    if isinstance(understood, str):
        return "{}"
    return call.arguments if _reads_anywhere(call.arguments) else json.dumps(understood)


def _reads_anywhere(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return "\\u" not in text or bool(whole_value(value) == value)


def arguments_of(call: ToolCall) -> dict[str, Any] | str:
    """The arguments, or in words what is wrong with them."""
    try:
        arguments = read_model_json(call.arguments or "{}")
    except ValueError as error:
        return f"the arguments are no JSON object: {error}"
    return arguments if isinstance(arguments, dict) else "the arguments are no JSON object"


def as_text(outcome: ToolOutcome) -> str:
    """What a model reads of an outcome."""
    text = outcome.text or json.dumps(outcome.value, ensure_ascii=False, default=str)
    if len(text) > LONGEST_OUTPUT:
        return text[:LONGEST_OUTPUT] + f"\n[{len(text) - LONGEST_OUTPUT} more characters were left out]"
    return text


def _told(run: Run, call: ToolCall, outcome: ToolOutcome) -> Message:
    """What a function gave, as a model reads it; where a part of it must not leave the device, with its place."""
    text = as_text(outcome)
    fields = run.passage.fields if run.passage is not None else ()
    whole_text = outcome.text or text
    marks = marks_of(outcome.value, whole_text, fields, outcome.show, outcome.origins)
    marks = clipped(marks, min(len(whole_text), LONGEST_OUTPUT))
    if run.passage is not None:
        run.passage.learn_marked(text, marks)
    return Message("tool", text, tool_call_id=call.id, marks=marks)


def _message(run: Run, call: ToolCall, text: str, value: Any) -> Message:
    """That it failed. What it says of rows, files and arguments is in ``value``: it leaves no more than a result does."""
    fields = run.passage.fields if run.passage is not None else ()
    return Message("tool", text, tool_call_id=call.id, marks=marks_of(value, text, fields, None))
