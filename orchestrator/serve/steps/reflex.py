"""Answering by rule: the function that a fired reflex calls, and what it says of the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.errors import RunError, ToolFailed, WrongArguments
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.reflex import ESCALATE, Firing, Reflex, fill_value
from orchestrator.serve.clock import current_time
from orchestrator.serve.outcome import Held, Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.steps.tools import call_function


async def act(run: Run, agent: Agent, firing: Firing) -> Outcome | None:
    """Carry a fired rule out. A rule that has nothing to say (``say`` gives an empty text) does not answer: the next is
    tried. A result that is a map with a true ``unsure`` makes the answer an honest non-answer."""
    began = current_time()
    rule = firing.reflex
    values: dict[str, Any] = {**firing.values, "text": run.request.text, "session": run.request.session}
    if rule.call == ESCALATE:
        if not agent.spec["escalate_to"]:
            raise RunError(f"{agent.address} has nobody to hand over to", cure="Give it escalate_to.")
        return Outcome(to=agent.spec["escalate_to"], why=f"rule {rule.number} asks for a hand-over")
    if rule.call:
        try:
            values["result"] = await _result(run, agent, rule, fill_value(rule.arguments, values))
        except Held as held:
            held.source, held.at = f"rule {rule.number} of {agent.address}", {"rule": rule.number}
            raise
    text = rule.say(values)
    run.note("reflex", agent.address, began, {"rule": rule.number, "values": dict(firing.values)})
    if not text:
        return None
    result = values.get("result")
    unsure = rule.unsure or (isinstance(result, Mapping) and bool(result.get("unsure")))
    return Outcome(text, "unsure" if unsure else "completed", served_by="reflex", value=result)


async def _result(run: Run, agent: Agent, rule: Reflex, arguments: Mapping[str, Any]) -> Any:
    function = agent.functions.get(rule.call.replace(".", "_"))
    if function is None:
        known = ", ".join(each.name for each in agent.functions.values()) or "none"
        cure = f"Mend call of its rule {rule.number}; its functions are: {known}."
        raise ToolFailed(f"{agent.address} has no function {rule.call}", cure=cure)
    try:
        return (await call_function(run, agent, function, arguments)).value
    except WrongArguments as error:
        error.cure = f"Mend arguments of rule {rule.number} of {agent.address}, or ask in other words: {error.cure}."
        raise
