"""A router's step: ask its strategy, and say what happens where it is not sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Final

from orchestrator.core.asking import what_is_asked
from orchestrator.core.conditions import shortened
from orchestrator.core.errors import DeadlinePassed, Stalled, WouldMissDeadline
from orchestrator.core.message import Message
from orchestrator.core.request import Decision
from orchestrator.core.spending import MILLION
from orchestrator.deploy.deployment import Agent, Router
from orchestrator.deploy.distant import ASKING_SECONDS, embed
from orchestrator.deploy.guards import barred_by
from orchestrator.ports.provider import ChatCall, ChatReply, Target
from orchestrator.ports.strategy import AskModel, Embed, ModelQuestion, RouteQuestion, without_barred
from orchestrator.serve.ask import Ask
from orchestrator.serve.clock import current_time
from orchestrator.serve.near_only import near_only
from orchestrator.serve.outbound import Customs
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.privacy import leads_to_private
from orchestrator.serve.run import Run
from orchestrator.serve.steps.ask_back import asked_before, question_of, read_answer
from orchestrator.serve.steps.calling import called
from orchestrator.serve.steps.follow_up import continued
from orchestrator.serve.steps.near import seen_by, stays_near
from orchestrator.serve.steps.outward import let_out
from orchestrator.serve.steps.parted import Parted, parted
from orchestrator.serve.steps.served import windows_of
from orchestrator.serve.steps.window import Prompt, any_known, fit

MOST_OF_THE_TIME: Final = 0.5
"""The share of what is left of a request's time that its router's model may take: somebody must still answer."""
NOWHERE = Target("", "", "")
"""Filled in by the loop with the endpoint that it chooses."""


async def route(run: Run, router: Router) -> Outcome:
    """Where the request goes next, or an honest question back."""
    began = current_time()
    decision, found = _answered(run, router), None
    if decision is not None:
        decision = _guarded(run, router, decision)
    else:
        decision = await _decided(run, router, run.request.text)
        found = await _parted(run, router, decision)
    if decision.choice is None and found is None:
        decision = await _continued(run, router) or decision
    detail = {"strategy": decision.strategy, "choice": decision.choice, **_scored(router, decision)}
    if found is not None:  # which of its decisions a label is of could not be told
        detail = {"strategy": decision.strategy, "choice": decision.choice, "parts": [part.to for part in found.parts]}
    run.note("route", router.address, began, detail)
    _restrict(run, decision, found)
    for each in (decision, *(found.decisions if found else ())):
        _keep(run, router, each)
    if found is not None:
        return Outcome(parted=found)
    if decision.choice is not None:
        return Outcome(to=decision.choice)
    return _unsure(router, decision)


def _scored(router: Router, decision: Decision) -> dict[str, Any]:
    """What a label of this decision is put to; nothing where nobody was chosen, or by what has no fitted confidence."""
    if decision.choice is None or decision.raw is None:
        return {}
    server = {"server": decision.kind} if decision.kind else {}
    stage = decision.stage or decision.strategy
    return {"stage": stage, **server, "score": round(decision.raw, 6), "version": router.version}


def _restrict(run: Run, decision: Decision, found: Parted | None) -> None:
    """Before it is told where the request goes, as the reasons may quote it, and before any part begins: parts may share text, and
    no rule of words says surely that they do not. So what is for a restricted agent in one part is kept from the cloud in all."""
    if found is None:
        agent = run.deployment.agents.get(decision.choice or "")
        if agent is not None:
            run.comes_to(agent)
        return
    private = [part.to for part in (*found.parts, *found.left) if leads_to_private(run.deployment, part.to)]
    if private and not run.restricted:
        run.restrict(f"a part of the request is for {private[0]}, and so all of its parts count as restricted")


def _keep(run: Run, router: Router, decision: Decision) -> None:
    name = router.spec["name"]
    run.add_decision(decision, name)
    for remark in decision.notes:
        run.remark(router.address, "", f"{name}: {remark}")
    run.tell("run.routed", {"router": name, "choice": decision.choice, "why": decision.why})


async def _parted(run: Run, router: Router, whole: Decision) -> Parted | None:
    """The parts of the request, where the router may send it to several and it is several. Parts are not parted again."""
    if not router.spec.get("several") or run.is_part:
        return None
    return await parted(run.request.text, whole, partial(_decided, run, router))


async def _continued(run: Run, router: Router) -> Decision | None:
    """Who has the request that this one only goes on with, decided as it was; ``None`` where it is none, or nobody has it."""
    earlier = continued(run.request.text, run.history)
    again = await _decided(run, router, earlier) if earlier else None
    if again is None or again.choice is None:
        return None
    return replace(again, why=f'it goes on with "{shortened(earlier)}": {again.why}')


def _question(
    run: Run, router: Router, text: str, ask: AskModel | None = None, vectors: Embed | None = None
) -> RouteQuestion:
    request, refined = run.request, run.refined.get(router.spec["name"], {})
    load = partial(_load, run)
    known = (text, run.history, request.complexity, ask, vectors, request.session, load)
    return RouteQuestion(*known, refined=refined, barred=_barred(run, router))


def _barred(run: Run, router: Router) -> frozenset[str]:
    """Whom strict routes lead to whose conditions do not hold for the whole request, also where this run has a part of it only."""
    return barred_by(router.guards, run.part_of or run.request.text, run.request.complexity)


def _load(run: Run, name: str) -> float:
    """How much of the endpoint is taken that an agent or a router asks first; infinite where none of its endpoints answers."""
    target = run.deployment.agents.get(name) or run.deployment.routers.get(name)
    if target is None or not target.endpoints:
        return inf if isinstance(target, Agent) and target.missing and not target.reflexes.rules else 0.0
    known = {view.id: view for view in run.loop.snapshot()}
    up = [known[each] for each in target.endpoints if each in known and known[each].breaker != "open"]
    return (up[0].in_flight + up[0].waiting) / max(1, up[0].slots) if up else inf


def _answered(run: Run, router: Router) -> Decision | None:
    """Where this router asked back in the last turn, what the answer to that chooses; then the agent gets what was asked first."""
    wanted = asked_before(router.spec, run.history)
    decision = read_answer(router.spec, run.request.text) if wanted is not None else None
    if decision is not None and wanted is not None and what_is_asked(wanted):
        run.goes_back_to(wanted)
    return decision


async def _decided(run: Run, router: Router, text: str) -> Decision:
    return _guarded(run, router, await _asked(run, router, text))


def _guarded(run: Run, router: Router, decision: Decision) -> Decision:
    """The same, or an abstention where it chose a strict route whose condition does not hold for the whole request."""
    return without_barred(decision, _barred(run, router))


async def _asked(run: Run, router: Router, text: str) -> Decision:
    if router.instant is not None:
        return router.instant.decide_now(_question(run, router, text))
    ask = partial(_chat, run, router) if seen_by(run, router, router.endpoints) else None
    vectors = partial(_embed, run, router) if seen_by(run, router, router.embedders) else None
    return await router.strategy.decide(_question(run, router, text, ask, vectors))


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
    return Outcome(text=question_of(router.spec), status="unsure", why=f"{spec['name']}: {decision.why}")


async def _embed(run: Run, router: Router, text: str) -> Sequence[float]:
    """The vector of a text, of a server that may see it: of one in the cloud, of what the text is with placeholders."""
    began = current_time()
    call = ChatCall(NOWHERE, (Message("user", text),), max_tokens=1, request_id=run.request.id)
    names, customs = await let_out(run, router, seen_by(run, router, router.embedders), call)
    timeout = max(0.0, min(ASKING_SECONDS, run.deadline - began))
    endpoints = [run.deployment.endpoints[name] for name in names]
    bills: dict[str, Customs] = {}
    if customs is not None:  # one for each endpoint, so that it is known which was asked
        bills = {name: Customs(customs.passage, customs.agent, closed=customs.closed) for name in names}
        endpoints = [replace(each, provider=bills[each.id].way(each)) for each in endpoints]
    if stays_near(run, router):
        endpoints = [replace(each, provider=near_only(each.provider, each.provider)) for each in endpoints]
    try:
        (vector,) = await embed(endpoints, (text,), timeout)
    finally:
        for name, bill in bills.items():
            _tell_vectors(run, router, name, began, bill)
    return vector


def _tell_vectors(run: Run, router: Router, endpoint: str, began: float, bill: Customs) -> None:
    """What a vector took in the cloud is a step of the run: the text was there."""
    if bill.priced is None:
        return
    zone = run.deployment.endpoints[endpoint].target.zone
    detail: dict[str, Any] = {"endpoint": endpoint, "zone": zone, "prompt_tokens": bill.spent.tokens}
    if bill.spent.calls:
        detail["spent"] = str(bill.spent)
    if bill.priced:
        detail["paid"] = bill.spent.micros / MILLION
    run.note("vectors", router.address, began, detail)


async def _chat(run: Run, router: Router, question: ModelQuestion) -> ChatReply:
    began = current_time()
    call = ChatCall(
        NOWHERE,
        question.messages,
        schema=question.schema,
        schema_name=question.schema_name,
        temperature=0.0,
        max_tokens=question.max_tokens,
        top_logprobs=question.top_logprobs,
        request_id=run.request.id,
        choice=question.choice,
    )
    priority = run.request.priority
    behind = run.expects(*_behind(run, router)) if run.deployment.pools else None
    endpoints = seen_by(run, router, router.endpoints)
    windows = windows_of(run, endpoints)
    if any_known(windows):
        endpoints = fit(Prompt(call.messages, answer=call.max_tokens), windows).endpoints
    until = began + max(0.0, run.deadline - began) * MOST_OF_THE_TIME
    endpoints, customs = await let_out(run, router, endpoints, call)
    ask = Ask(
        call,
        endpoints,
        until,
        priority,
        queue=run.queue(priority),
        next=behind,
        customs=customs,
        place=run.place,
        near=stays_near(run, router),
    )
    try:
        reply = await called(run, router, ask, run.loop.chat(ask))
    except (DeadlinePassed, WouldMissDeadline) as error:
        raise Stalled("the router's model did not answer within half of the time of the request") from error
    server = run.deployment.endpoints.get(ask.trace.endpoint)
    kind = "/".join(filter(None, (server.target.provider if server is not None else "", reply.kind)))
    # written out, because ``dataclasses.replace`` takes four times as long
    return ChatReply(reply.message, reply.finish_reason, reply.usage, reply.model, reply.logprobs, kind)
