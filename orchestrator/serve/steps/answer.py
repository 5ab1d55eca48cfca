"""A specialist's step: reflex rules, its model, or an honest word that nothing serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from orchestrator.core.conditions import Matter
from orchestrator.core.errors import DoesNotFit, FleetBusy, HeldRunLost, NoHolder, NoModel, Unreachable, Withheld
from orchestrator.core.message import Message
from orchestrator.deploy.deployment import Agent
from orchestrator.deploy.reflex import Reflex
from orchestrator.ports.provider import Capability, Support, can_call
from orchestrator.serve.outcome import GoingOn, Outcome
from orchestrator.serve.run import Run
from orchestrator.serve.selection import Asked, Selection, select
from orchestrator.serve.steps.converse import converse, converse_on
from orchestrator.serve.steps.doubt import stays_above
from orchestrator.serve.steps.elsewhere import answer_elsewhere, goes_on, is_elsewhere
from orchestrator.serve.steps.escalate import may_go_up
from orchestrator.serve.steps.exclusive import answer_alone
from orchestrator.serve.steps.human import hand_to_person
from orchestrator.serve.steps.near import near_enough, stays_near
from orchestrator.serve.steps.reflex import act


async def answer(run: Run, agent: Agent) -> Outcome:
    """Its own rules first, then its model, then the rules of its template; raises ``NoModel`` where none of them can.

    A model whose server does no tool calls cannot serve an agent that has tools: it would answer from imagination what
    it should look up. Such an agent answers by its rules, or says so.
    """
    if is_elsewhere(agent):
        return await answer_elsewhere(run, agent)
    if goes_on(run, agent):
        with suppress(NoHolder, FleetBusy):  # then it is answered here after all
            return await answer_elsewhere(run, agent)
    return await answer_alone(run, agent, _answer_here)


async def _answer_here(run: Run, agent: Agent) -> Outcome:
    spec = agent.spec
    if spec["human"] is not None:
        return await hand_to_person(run, agent)
    if run.grant is not None:
        return await _go_on(run, agent, run.grant)
    if run.request.escalate and may_go_up(run, agent) and "requested" in spec["escalate_when"]:
        return Outcome(to=spec["escalate_to"] or "", why="the request asks for it")
    return await _by_rules_and_model(run, agent)


async def _by_rules_and_model(run: Run, agent: Agent, after: int = 0) -> Outcome:
    """Rules of a number above ``after``, then the model."""
    selection = _able(run, agent)
    matter = Matter(run.request.text, run.request.complexity)
    there = not run.pressure.absent.issuperset(selection.endpoints)
    outcome = await _by_rules(run, agent, matter, first=there, passed=lambda rule: rule.number <= after)
    if outcome is not None:
        return outcome
    passed_over = stays_above(run, agent)
    if passed_over is not None:
        return passed_over
    if selection.endpoints and not there and may_go_up(run, agent) and "error" in agent.spec["escalate_when"]:
        raise NoModel(
            f"the server of {agent.address} is started again", cure="`orchestrator status` says how far it is."
        )
    return await _by_model(run, agent, selection) if selection.endpoints else _nobody(run, agent, matter)


async def _by_rules(
    run: Run, agent: Agent, matter: Matter, *, first: bool, passed: Callable[[Reflex], bool]
) -> Outcome | None:
    """What the first rule says that has something to say; those that are ``passed`` were tried already."""
    outcome = None
    for firing in agent.reflexes.fire(matter, first=first):
        outcome = None if passed(firing.reflex) else await act(run, agent, firing)
        if outcome is not None:
            break
    if matter.unread:
        run.remark(agent.address, "", f"{agent.address}: rules that did not fire look at {matter.unread}")
    return outcome


async def _go_on(run: Run, agent: Agent, grant: GoingOn) -> Outcome:
    """From where the agent waited for a person, or anew where it waited for its target."""
    if "again" in grant.at:
        run.grant, run.history = None, tuple(map(Message.from_kept, grant.at["again"]))
        return await _by_rules_and_model(run, agent)
    selection = _able(run, agent)
    matter = Matter(run.request.text, run.request.complexity)
    if "rule" not in grant.at:
        if not selection.endpoints:
            return _nobody(run, agent, matter)
        return await converse_on(run, agent, selection, grant.at)
    number = grant.at["rule"]
    fired = agent.reflexes.fire(matter, first=False)
    firing = next((each for each in fired if each.reflex.number == number), None)
    outcome = await act(run, agent, firing) if firing is not None else None
    if run.grant is not None:
        raise HeldRunLost(f"rule {number} of {agent.address} is not what it was", cure="Ask again.")
    return outcome or await _by_rules_and_model(run, agent, after=number)


async def _by_model(run: Run, agent: Agent, selection: Selection) -> Outcome:
    """Ask the model. A server that has just gone is still bound until the next look: where none could be reached, the
    rules for an agent without a model answer, as they will from then on. Not after the model has spoken: it may have
    called functions."""
    spoken = run.usage.model_calls
    try:
        return await converse(run, agent, selection)
    except (Unreachable, NoModel, DoesNotFit, Withheld):
        if run.streamed or run.usage.model_calls > spoken:
            raise
        matter = Matter(run.request.text, run.request.complexity)
        outcome = await _by_rules(run, agent, matter, first=False, passed=lambda rule: rule.first)
        if outcome is None:
            raise
        return outcome


def _able(run: Run, agent: Agent) -> Selection:
    """Its endpoints that can do what it needs, in the order for this request; one of which nothing is known counts as able."""
    request, pressure = run.request, run.pressure
    saving = pressure.saving.get(run.deployment.name, "")
    priority = agent.spec["priority"] or request.priority
    selection = select(agent.choices, Asked(request.complexity, priority, saving, pressure.starved))
    if stays_near(run, agent):
        selection = selection.only(run.near(selection.endpoints), "is not for what is restricted")
    if not agent.schemas:
        return selection
    known = run.deployment.endpoints
    able = [name for name in selection.endpoints if name not in known or does_tools(known[name].capabilities)]
    return selection.only(able, "calls no functions")


def does_tools(capabilities: Mapping[Capability, Support]) -> bool:
    """Whether a server calls functions, as far as is known of it."""
    return can_call(capabilities.get(Capability.TOOLS), capabilities.get(Capability.TOOL_TEXT))


def _nobody(run: Run, agent: Agent, matter: Matter) -> Outcome:
    spec = agent.spec
    if not spec["models"] and agent.reflexes.rules:
        fits = matter.unread or "the request"
        if may_go_up(run, agent) and "low_confidence" in spec["escalate_when"]:
            return Outcome(
                to=spec["escalate_to"] or "", why=f"no rule fits {fits}" if matter.unread else "no rule fits"
            )
        return Outcome(_offer(agent), "unsure", served_by="reflex", why=f"{agent.address}: no rule fits {fits}")
    near_enough(run, agent, agent.endpoints)
    if agent.endpoints:
        raise NoModel(
            f"{agent.address} has tools, and no server of its models does tool calls: {', '.join(agent.endpoints)}",
            cure="Serve its model by a server that does tool calls, give it another model, or take its tools away.",
        )
    raise NoModel(f"no model serves {agent.address}", cure=agent.missing or "Give it a model, or reflex rules.")


def _offer(agent: Agent) -> str:
    spec = agent.spec
    examples = [example for skill in spec["skills"] for example in skill.get("examples", ())[:1]] or spec["examples"]
    text = "I am not sure what you mean."
    if examples:
        text += " I can answer requests like: " + "; ".join(f'"{example}"' for example in examples[:4]) + "."
    return text
