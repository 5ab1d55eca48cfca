"""A request that a deployment really answers, for whoever has just applied it and asks what to type.

Nothing is asked of a model and nothing is written: the examples of its agents and of their rules are followed through the
routers to the rule that would fire, and only functions that read are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import Any, Final

import anyio

from orchestrator.core.address import Address
from orchestrator.core.conditions import Matter
from orchestrator.core.schema_check import check_arguments
from orchestrator.deploy.deployment import Agent, Deployment, Router
from orchestrator.deploy.reflex import ESCALATE, Firing, fill_value
from orchestrator.plan.serving import asks_models
from orchestrator.ports.strategy import RouteQuestion
from orchestrator.ports.tool import Fillable, ToolContext, ToolFunction
from orchestrator.serve.steps.answer import does_tools
from orchestrator.serve.steps.plain import plain_outcome

PATIENCE: Final = 2.0
"""Seconds that looking may take."""
MOST: Final = 400
"""Examples that are looked at."""
_PLAIN: Final = re.compile(r"[\w ,'-]+")
GREETING: Final = "hello"
"""For agents without examples, which a model may serve."""


class Grade(IntEnum):
    """How well a request is answered: ``UNTRIED`` where that writes or reaches outside, so that it was not tried; ``BARE``
    where the answer is that there is nothing, as of a calendar without events."""

    NOT = 0
    UNTRIED = 1
    BARE = 2
    ANSWERED = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """``text`` is a request that is answered; empty where none was found. ``cures`` say then what its tools lack, and
    ``example`` is what could be asked after that. ``router`` is the one whose model has to choose who gets ``text``: then nothing
    is known but that an agent that says so answers it."""

    text: str = ""
    cures: tuple[str, ...] = ()
    example: str = ""
    router: str = ""

    def as_json(self) -> dict[str, Any]:
        """A plain form."""
        return {"text": self.text, "cures": list(self.cures), "example": self.example, "router": self.router}


async def find_request(deployment: Deployment) -> Trial:
    """The first example of the best grade; where none is answered, what to do about it."""
    looking = _Looking(deployment)
    with anyio.move_on_after(PATIENCE):
        for text, agent in islice(examples_of(deployment), MOST):
            await looking.at(text, agent)
            if looking.best is Grade.ANSWERED:
                break
    if looking.best is not Grade.NOT:
        return Trial(looking.text)
    if looking.left_to:
        return Trial(looking.left, router=looking.left_to)
    return Trial(cures=tuple(looking.cures), example=next(examples_of(deployment))[0])


def examples_of(deployment: Deployment) -> Iterator[tuple[str, Agent]]:
    """What its agents say that they answer, then what their rules do, then words that their rules look for, each with the agent; at
    last a greeting for any of them."""
    agents = deployment.agents.values()
    for agent in agents:
        yield from ((text, agent) for text in agent.spec["examples"])
        for skill in agent.spec["skills"]:
            yield from ((text, agent) for text in skill.get("examples") or ())
    for agent in agents:
        for rule in agent.spec["reflex"]:
            yield from ((text, agent) for text in rule["when"].get("examples") or ())
    for agent in agents:
        for rule in agent.spec["reflex"]:
            yield from ((text, agent) for text in _words_of(rule["when"]))
    yield from ((GREETING, agent) for agent in agents)


def _words_of(when: Mapping[str, Any]) -> Iterator[str]:
    """Texts for which a rule without examples may fire: a keyword, or a pattern that is plain words."""
    keywords = when.get("keywords") or ()
    plain = [source for key in ("asks", "regex") if (source := when.get(key)) and _PLAIN.fullmatch(str(source))]
    yield from [keywords] if isinstance(keywords, str) else [str(each) for each in keywords]
    yield from map(str, plain)


@dataclass(slots=True)
class _Looking:
    """What was found so far: the best request, and what tools lack that found nothing; and the first request that was ``left``
    to the model of a router (``left_to``)."""

    deployment: Deployment
    best: Grade = Grade.NOT
    text: str = ""
    cures: dict[str, None] = field(default_factory=dict)
    left: str = ""
    left_to: str = ""

    async def at(self, text: str, of: Agent) -> None:
        """Look at an example of the agent ``of``."""
        name = await self._reached(text)
        agent = self.deployment.agents.get(name)
        grade = Grade.NOT if agent is None else await self._graded(agent, text)
        if grade > self.best:
            self.best, self.text = grade, text
        if name in self.deployment.routers and not self.left_to and await self._graded(of, text) is not Grade.NOT:
            self.left, self.left_to = text, name

    async def _reached(self, text: str) -> str:
        """Who gets it in the end: an agent, or a router that asks its model; an empty text where one asks back."""
        name, passed = self.deployment.entry, set[str]()
        while name in self.deployment.routers and name not in passed:
            passed.add(name)
            name = await _chosen(self.deployment.routers[name], text)
        return name

    async def _graded(self, agent: Agent, text: str) -> Grade:
        if agent.spec["human"] is not None:
            return Grade.NOT
        served = self._served(agent)
        for firing in agent.reflexes.fire(Matter(text), first=served):
            grade = await self._fired(agent, firing, text)
            if grade is not None:
                return grade
        return Grade.ANSWERED if served else Grade.NOT

    def _served(self, agent: Agent) -> bool:
        """Whether a model answers for it: where it has tools, one whose server calls functions."""
        known = self.deployment.endpoints
        return any(
            not agent.schemas or name not in known or does_tools(known[name].capabilities) for name in agent.endpoints
        )

    async def _fired(self, agent: Agent, firing: Firing, text: str) -> Grade | None:
        """``None`` where the rule has nothing to say, so that the next is tried."""
        rule = firing.reflex
        if rule.unsure or rule.call == ESCALATE:
            return Grade.NOT
        values: dict[str, Any] = {**firing.values, "text": text, "session": ""}
        try:
            if rule.call:
                refused = await self._called(agent, firing, values)
                if refused is not None:
                    return refused
            said = rule.say(values)
        except Exception:  # noqa: BLE001 - a tool's fault may be anything, and would fail the request just the same
            return Grade.NOT
        return _grade_of(values.get("result")) if said else None

    async def _called(self, agent: Agent, firing: Firing, values: dict[str, Any]) -> Grade | None:
        """The function's result goes into ``values``; a grade where it is not called, or finds nothing. Raises what
        the function does, and ``TimeoutError``."""
        function = agent.functions.get(firing.reflex.call.replace(".", "_"))
        if function is None or function.name in agent.guarded:
            return Grade.NOT
        checked = check_arguments(fill_value(firing.reflex.arguments, values), function.parameters)
        if checked.fault:
            return Grade.NOT
        if function.effect != "read":
            return Grade.UNTRIED
        with anyio.fail_after(agent.tool_timeouts.get(function.name, PATIENCE)):
            outcome = await function.run(checked.value, ToolContext(agent=agent.spec["name"], text=values["text"]))
        values["result"] = plain_outcome(function.name, outcome).value
        if not _finds_nothing(firing, values):
            return None
        self._note_lack(function)
        return Grade.NOT

    def _note_lack(self, function: ToolFunction) -> None:
        tool = function.name.partition(".")[0]
        for address in (Address.of("tool", tool), Address.of("knowledge", tool)):
            found: object = self.deployment.tools.get(address)
            if isinstance(found, Fillable) and found.filled_by:
                self.cures[found.filled_by] = None


async def _chosen(router: Router, text: str) -> str:
    """Who gets it next: the router itself where it would ask its model first, nobody where it would ask back."""
    spec, question = router.spec, RouteQuestion(text)
    instant = router.instant
    decision = instant.decide_now(question) if instant is not None else await router.strategy.decide(question)
    if decision.choice is not None:
        return decision.choice
    if router.endpoints and asks_models(spec):
        return spec["name"]
    return {"default": spec["default"], "escalate": spec["escalate_to"]}.get(spec["on_unsure"]) or ""


def _finds_nothing(firing: Firing, values: Mapping[str, Any]) -> bool:
    """Whether a result is empty, or the rule says the same of it as of an empty one: nothing in it was good enough."""
    result = values["result"]
    if result is None or result in ([], {}, ""):
        return True
    say = firing.reflex.say
    return isinstance(result, list) and say(values) == say({**values, "result": []}) != ""


def _grade_of(result: Any) -> Grade:
    """Of what a rule says of this."""
    if not isinstance(result, Mapping):
        return Grade.ANSWERED
    if result.get("unsure"):
        return Grade.NOT
    lists = [value for value in result.values() if isinstance(value, list)]
    return Grade.BARE if lists and not any(lists) else Grade.ANSWERED
