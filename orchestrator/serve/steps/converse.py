"""Answering by model: the loop of model calls and tool calls, with its caps, and the check of the answer's schema."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import anyio

from orchestrator.core.errors import BrokenReply, LimitReached, SchemaInvalid
from orchestrator.core.message import FunctionSchema, Message, ToolCall
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.make import parse_answer
from orchestrator.ports.provider import ChatCall, ChatReply
from orchestrator.serve.loop import Ask, CallTrace
from orchestrator.serve.run import Outcome, Run
from orchestrator.serve.steps.route import NOWHERE
from orchestrator.serve.steps.tools import answer_call

NOTHING: Mapping[str, Any] = MappingProxyType({})
HAND_OVER = FunctionSchema(
    "escalate",
    "Hand the conversation over to someone more able. Use it when the user asks for a person or you cannot help.",
    {
        "type": "object",
        "properties": {"reason": {"type": "string"}},
        "required": ["reason"],
        "additionalProperties": False,
    },
)


async def converse(run: Run, agent: Agent) -> Outcome:
    """Ask the agent's model until it answers without calling a function, within the agent's caps."""
    spec = agent.spec
    timeout = spec["timeout"]
    deadline = min(run.deadline, anyio.current_time() + timeout) if timeout else run.deadline
    messages = _prompt(run, agent)
    tools = _offered(agent)
    tool_calls = 0
    for _ in range(spec["max_steps"]):
        _check_tokens(run, agent)
        reply, endpoint = await _ask(run, agent, messages, tools, deadline)
        calls = reply.message.tool_calls
        if not calls:
            return await _finish(run, agent, messages, reply, (endpoint, deadline))
        wish = next((call for call in calls if call.name == HAND_OVER.name and spec["escalate_to"]), None)
        if wish is not None:
            return Outcome(to=spec["escalate_to"] or "", why=_reason(wish))
        tool_calls += len(calls)
        if tool_calls > spec["max_tool_calls"]:
            raise LimitReached(
                f"{agent.address} made more than {spec['max_tool_calls']} tool calls", cure="Raise limits.tool_calls."
            )
        messages = (*messages, reply.message, *[await answer_call(run, agent, call) for call in calls])
    raise LimitReached(
        f"{agent.address} did not answer within {spec['max_steps']} steps",
        cure="Raise limits.steps, or mend the agent.",
    )


def _prompt(run: Run, agent: Agent) -> tuple[Message, ...]:
    spec = agent.spec
    system = agent.fixed_prompt
    if system is None and spec["instructions"]:
        values = {"agent": spec["name"], "text": run.request.text, "session": run.request.session}
        system = Message("system", agent.prompt(values))
    turns = spec["history_turns"]
    history = run.history[-turns:] if turns else ()
    head = (system,) if system is not None else ()
    return (*head, *history, *_handed_over(run), Message("user", run.request.text))


def _handed_over(run: Run) -> tuple[Message, ...]:
    if not run.attempts:
        return ()
    attempt = run.attempts[-1]
    said = f' It had said: "{attempt.text}"' if attempt.text else ""
    return (Message("system", f"{attempt.agent} could not finish this request ({attempt.reason}).{said}"),)


def _offered(agent: Agent) -> tuple[FunctionSchema, ...]:
    spec = agent.spec
    if agent.schemas and spec["escalate_to"] and "requested" in spec["escalate_when"]:
        return (*agent.schemas, HAND_OVER)
    return agent.schemas


def _check_tokens(run: Run, agent: Agent) -> None:
    limit = agent.spec["max_total_tokens"]
    if limit is not None and run.usage.total_tokens >= limit:
        raise LimitReached(
            f"{agent.address} spent {run.usage.total_tokens} of {limit} tokens", cure="Raise limits.tokens."
        )


async def _ask(
    run: Run, agent: Agent, messages: tuple[Message, ...], tools: tuple[FunctionSchema, ...], deadline: float
) -> tuple[ChatReply, str]:
    began, trace = anyio.current_time(), CallTrace()
    settings = {**agent.call, **run.request.options} if run.request.options else agent.call
    schema = None if tools else agent.spec["output_schema"]
    call = ChatCall(
        NOWHERE,
        messages,
        tools=tools,
        schema=schema,
        temperature=settings.get("temperature"),
        max_tokens=settings.get("max_tokens"),
        seed=settings.get("seed"),
        stop=tuple(settings.get("stop") or ()),
        extra={"top_p": settings["top_p"]} if "top_p" in settings else NOTHING,
        request_id=run.request.id,
    )
    ask = Ask(call, agent.endpoints, deadline, agent.spec["priority"] or run.request.priority, trace=trace)
    reply = await (_streamed(run, ask) if run.listen is not None and agent.invalid is None else run.loop.chat(ask))
    run.note_call(agent.address, began, trace, reply.usage)
    run.tell("run.model", {"agent": agent.spec["name"], "endpoint": trace.endpoint})
    return reply, trace.endpoint


async def _streamed(run: Run, ask: Ask) -> ChatReply:
    reply: ChatReply | None = None
    async for delta in run.loop.stream(ask):
        run.say(delta.text)
        reply = delta.reply or reply
    if reply is None:
        raise BrokenReply("the stream ended without a reply")
    return reply


async def _finish(
    run: Run, agent: Agent, messages: tuple[Message, ...], reply: ChatReply, call: tuple[str, float]
) -> Outcome:
    endpoint, deadline = call
    text = reply.message.content
    if agent.invalid is None:
        return Outcome(text, served_by=endpoint, finish_reason=reply.finish_reason)
    fault = check_answer(agent, text)
    if fault:
        repair = Message("user", f"The answer does not fit the schema: {fault}. Answer again with JSON that fits it.")
        reply, endpoint = await _ask(run, agent, (*messages, reply.message, repair), (), deadline)
        text = reply.message.content
        fault = check_answer(agent, text)
    if fault:
        raise SchemaInvalid(f"{agent.address}: the answer does not fit its schema after one repair: {fault}")
    return Outcome(text, served_by=endpoint, value=parse_answer(text), finish_reason=reply.finish_reason)


def check_answer(agent: Agent, text: str) -> str:
    """What is wrong with an answer that must fit the agent's schema; empty where it fits."""
    try:
        value = parse_answer(text)
    except ValueError as error:
        return f"it is no JSON: {error}"
    return agent.invalid(value) if agent.invalid else ""


def _reason(call: ToolCall) -> str:
    try:
        reason = parse_answer(call.arguments).get("reason")
    except (ValueError, AttributeError):
        reason = None
    return f"the model asked for a hand-over: {reason}" if reason else "the model asked for a hand-over"
