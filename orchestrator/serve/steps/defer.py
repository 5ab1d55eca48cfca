"""A request whose agent cannot be reached is kept, and answered once it can: the store of store and forward."""

from __future__ import annotations

from math import inf
from typing import Any, Final

from orchestrator.core.delivery import Delivery
from orchestrator.core.errors import RunError
from orchestrator.core.request import new_id
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.template import compile_template
from orchestrator.ports.outbox import Deferring
from orchestrator.serve.held import kept
from orchestrator.serve.later import may_be_kept
from orchestrator.serve.outcome import Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.elsewhere import is_elsewhere
from orchestrator.serve.steps.near import stays_near
from orchestrator.serve.turns import turns_of

EXPIRES: Final = 86_400.0
"""Seconds that a request waits for its target where the manifest says nothing."""
MOST_WAITING: Final = 1_000
"""Requests of a deployment that may wait for targets where the manifest says nothing."""
PAUSE: Final = 5.0
"""Seconds that a call waits for a server that asks for a pause, where its request may be kept."""
SAY: Final = (
    "This cannot be answered right now. Your request is kept ({{ delivery }}) and answered as soon as possible."
)


def pause_of(run: Run, agent: Agent) -> float:
    """How long a call of this agent waits for a server that says that it is busy, or takes no more calls for a while: not until
    its time is over where the request is kept instead, or is kept already. Its caller hears so at once, and the outbox waits."""
    if run.outbox is None or agent.spec.get("store_and_forward") is None or run.streamed or not _has_target(run, agent):
        return inf
    return PAUSE


def may_wait(run: Run, agent: Agent, error: RunError) -> bool:
    """Whether the request may be kept until the agent can be reached. Not where a piece of the answer is out, nor where the
    request has waited for this already, nor where it may reach none of the agent's models at all."""
    if run.outbox is None or agent.spec.get("store_and_forward") is None:
        return False
    return may_be_kept(error) and not run.streamed and not run.forwarded and _has_target(run, agent)


def _has_target(run: Run, agent: Agent) -> bool:
    """A restricted request waits for no model in the cloud, and for no other node: it would wait in vain."""
    if is_elsewhere(agent):
        return not run.restricted
    if not stays_near(run, agent):
        return bool(agent.spec["models"])
    if agent.endpoints:
        return bool(run.near(agent.endpoints))
    models = {each.spec["alias"]: each.spec["zone"] for each in run.deployment.blueprint.of_kind("model")}
    return any(models.get(alias) != "cloud" for alias in agent.spec["models"])


async def defer(run: Run, agent: Agent, error: RunError) -> Outcome:
    """Keep the run with the request, in one transaction; gives what the caller is told. Raises ``OutboxFull``."""
    outbox, wish = run.outbox, agent.spec.get("store_and_forward") or {}
    if outbox is None:
        raise error
    id_ = new_id("dlv")
    text = compile_template(wish.get("say") or SAY)(
        {"delivery": id_, "text": run.request.text, "agent": agent.spec["name"]}
    )
    outcome = Outcome(text, "waiting", served_by="outbox", why=f"{agent.address} is away: {error.line}", approval=id_)
    if run.is_part:
        run.goes_alone()
    result = run.result(agent.spec["name"], outcome)
    now = outbox.now()
    delivery = Delivery(
        id=id_,
        deployment=result.deployment,
        revision=result.revision,
        run=result.id,
        agent=agent.spec["name"],
        text=run.request.text,
        created=now,
        expires=now + wish.get("expires", EXPIRES),
        away=error.line,
        session=result.session,
        data_class=result.data_class,
        again=now,
        held=kept(run, result, _place(run)),
        settles=run.going_on.waited.id if run.going_on else "",
    )
    said = turns_of(run, run.typed, result)
    most = int(wish.get("most_waiting", MOST_WAITING))
    new = () if run.is_part else said[bool(run.going_on) :]  # what a part says is said with the other parts
    await outbox.defer(Deferring(delivery, result, new, run.restricted, most))
    run.tell("delivery.deferred", {"delivery": id_, "agent": delivery.agent, "away": error.line})
    return outcome


def _place(run: Run) -> dict[str, Any]:
    """It begins anew with its agent, with the conversation as it was: not as it is by then."""
    return {"again": [each.as_kept() for each in run.history]}
