"""A router's step: ask its strategy, and say what happens where it is not sure."""

from __future__ import annotations

from functools import partial
from typing import Final

from anyio import get_cancelled_exc_class

from orchestrator.core.errors import RunError
from orchestrator.core.request import Decision
from orchestrator.deploy.deployment import Router
from orchestrator.ports.provider import ChatCall, ChatReply, Target
from orchestrator.ports.strategy import ModelQuestion, RouteQuestion
from orchestrator.serve.ask import Ask, CallTrace
from orchestrator.serve.clock import current_time
from orchestrator.serve.run import Outcome, Run, fault_name
from orchestrator.serve.steps.served import cut_off_usage, tell_if_cut, windows_of
from orchestrator.serve.steps.window import Prompt, fit

NOWHERE = Target("", "", "")
"""Filled in by the loop with the endpoint that it chooses."""
MOST_CHOICES: Final = 12
"""Choices that a question back names; how many more there are it says."""


async def route(run: Run, router: Router) -> Outcome:
    """Where the request goes next, or an honest question back."""
    began = current_time()
    request = run.request
    if router.instant is not None:
        decision = router.instant.decide_now(RouteQuestion(request.text, run.history, request.complexity))
    else:
        ask = partial(_chat, run, router) if run.allowed(router.endpoints) else None
        decision = await router.strategy.decide(RouteQuestion(request.text, run.history, request.complexity, ask))
    run.add_decision(decision, router.spec["name"])
    for remark in decision.notes:
        run.remark(router.address, "", f"{router.spec['name']}: {remark}")
    run.note("route", router.address, began, {"strategy": decision.strategy, "choice": decision.choice})
    run.tell("run.routed", {"router": router.spec["name"], "choice": decision.choice, "why": decision.why})
    if decision.choice is not None:
        return Outcome(to=decision.choice)
    return _unsure(router, decision)


def _behind(run: Run, router: Router) -> list[str]:
    """The endpoints of those that it may choose, each once."""
    return list(dict.fromkeys(name for way in router.spec["routes"] for name in _first_of(run, way["to"])))


def _first_of(run: Run, name: str) -> tuple[str, ...]:
    """The endpoint that an agent or a router asks first; none where it needs no model."""
    target = run.deployment.agents.get(name) or run.deployment.routers.get(name)
    return target.endpoints[:1] if target is not None else ()


def _unsure(router: Router, decision: Decision) -> Outcome:
    spec = router.spec
    if spec["on_unsure"] == "default" and spec["default"]:
        return Outcome(to=spec["default"])
    if spec["on_unsure"] == "escalate" and spec["escalate_to"]:
        return Outcome(to=spec["escalate_to"])
    return Outcome(text=_choices(router), status="unsure", why=f"{spec['name']}: {decision.why}")


def _choices(router: Router) -> str:
    routes = router.spec["routes"]
    lines = [
        f"- {route['to']}" + (f": {route['description']}" if route["description"] else "")
        for route in routes[:MOST_CHOICES]
    ]
    lines += [f"- and {len(routes) - MOST_CHOICES} more"] if len(routes) > MOST_CHOICES else []
    return "I am not sure what you need. I can help with:\n" + "\n".join(lines) + "\nWhich one is it?"


async def _chat(run: Run, router: Router, question: ModelQuestion) -> ChatReply:
    began, trace = current_time(), CallTrace()
    call = ChatCall(
        NOWHERE,
        question.messages,
        schema=question.schema,
        schema_name=question.schema_name,
        temperature=0.0,
        max_tokens=question.max_tokens,
        top_logprobs=question.top_logprobs,
        request_id=run.request.id,
    )
    priority = run.request.priority
    behind = run.expects(*_behind(run, router)) if run.deployment.pools else None
    endpoints = fit(
        Prompt(call.messages, answer=call.max_tokens), windows_of(run, run.allowed(router.endpoints))
    ).endpoints
    ask = Ask(call, endpoints, run.deadline, priority, trace=trace, queue=run.queue(priority), next=behind)
    try:
        reply = await run.loop.chat(ask)
    except (RunError, get_cancelled_exc_class()) as error:
        run.note_call(router.address, began, trace, cut_off_usage(call, trace, ""), fault_name(error))
        raise
    run.note_call(router.address, began, trace, reply.usage)
    tell_if_cut(run, router.address, trace.endpoint, call, reply)
    return reply
