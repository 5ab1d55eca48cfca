"""Agents that another node holds: two engines of one fleet, each with its share, joined by a link in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from orchestrator.core.blueprint import AgentSpec
from orchestrator.core.delivery import Delivery
from orchestrator.core.errors import LeaseLost, NoHolder, RunError
from orchestrator.core.event import DELTA, Event
from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.core.message import Message
from orchestrator.core.request import Request, Result
from orchestrator.ports.effects import Effect
from orchestrator.ports.outbox import Deferring
from orchestrator.serve.held import going_on
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Script
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio


class Link:
    """The other node, asked directly; ``cut`` where it does not answer."""

    def __init__(self, node: str, other: Served, there: str) -> None:
        self.node = node
        self.away = 0
        self.busy = False
        self.cut = False
        self.asked: list[Request] = []
        self.handed: list[Handed] = []
        self.keys: list[str] = []
        self.epoch: int | None = None
        self.acted: list[Effect] = []
        self._other = other
        self._there = there

    async def answer(
        self, request: Request, say: Callable[[str], None] | None, key: str = "", handed: Handed = NOTHING_HANDED
    ) -> Result:
        """As the other node's engine answers it."""
        self.keys.append(key)
        if self.cut:
            raise NoHolder(f"no node that holds {request.agent} answers")
        self.asked.append(request)
        self.handed.append(handed)

        def listen(event: Event) -> None:
            if event.kind == DELTA and say is not None:
                say(event.fields["text"])

        result = await self._other.engine.run(request, listen if say is not None else None, from_node=handed)
        if result.error:
            raise RunError(result.error["message"])
        return replace(result, node=self._there)

    async def look(self, node: str, run: str, agent: str) -> Result:
        """Nothing waits there."""
        raise NoHolder(f"{node} does not answer")

    def sooner(self, agent: str) -> bool:
        """Whether this node is the busier one."""
        return self.busy

    def begin(self, agent: str) -> int | None:
        """The lease of every agent, where this node has it."""
        return self.epoch

    def end(self, agent: str, epoch: int) -> None:
        """Nothing waits for it."""

    def holds(self, agent: str, epoch: int) -> bool:
        """As it has it now."""
        return self.epoch == epoch

    async def act(self, effect: Effect) -> None:
        """Of this epoch only."""
        if self.epoch != effect.epoch:
            raise LeaseLost("it is of another epoch")
        self.acted.append(effect)


def front() -> Wanted:
    """The node that is asked: a router, an agent of its own, and two of another node."""
    here = [
        agent_spec("orders", models=[], reflex=[rule("ordered here")]),
        agent_spec("desk", models=[], reflex=[rule("the desk")]),
    ]
    ways = {"orders": "order", "repairs": "repair", "clinic": "pain"}
    return Wanted(
        [
            router_spec("front", ways),
            *here,
            elsewhere("repairs", escalate_to="desk"),
            elsewhere("clinic", data_class="restricted"),
        ]
    )


def elsewhere(name: str, **fields: object) -> AgentSpec:
    """An agent of the other node, as this one knows it."""
    spec = agent_spec(name, models=[], instructions="", **fields)
    spec["elsewhere"] = True
    return spec


def back(**fields: object) -> Wanted:
    """The node that holds it."""
    return Wanted([agent_spec("repairs", **fields), agent_spec("clinic")])


@asynccontextmanager
async def fleet(there: Wanted | None = None) -> AsyncIterator[tuple[Served, Served, Link]]:
    """Both nodes, and the link from the first to the second."""
    other = simulated(["m"], Script(default="it takes two days"), pace=Pace(ttft=0.5))
    async with serving(there or back(), other) as holder, serving(front()) as asked:
        link = Link("edge-1", holder, "edge-2")
        asked.engine.elsewhere = link
        yield asked, holder, link


async def test_a_request_goes_to_the_node_that_holds_its_agent_and_the_result_tells_where() -> None:
    """Its steps there are on the clock of the run here, after the choice."""
    async with fleet() as (asked, _, _):
        result = await asked.run("repair my drill")
    assert (result.text, result.agent, result.node) == ("it takes two days", "repairs", "edge-2")
    assert result.path == ("router.front", "agent.repairs")
    assert [(step.kind, step.detail.get("node")) for step in result.steps] == [("route", None), ("model", "edge-2")]
    assert result.steps[0].at_ms <= result.steps[1].at_ms
    assert result.usage.model_calls == 1 and result.timings["model"] >= 500


async def test_an_agent_of_this_node_is_not_asked_for_elsewhere() -> None:
    """And the result says that it was here."""
    async with fleet() as (asked, _, link):
        result = await asked.run("my order")
    assert (result.text, result.node, link.asked) == ("ordered here", "edge-1", [])


async def test_the_other_node_gets_the_turns_of_the_session_that_is_kept_here() -> None:
    """It keeps none itself."""
    async with fleet() as (asked, holder, link):
        await asked.run("repair my drill", session="s")
        await asked.run("and repair my saw", session="s")
        said = holder.sent()
    assert link.asked[1].session == "" and link.asked[1].agent == "repairs"
    assert ("user", "repair my drill") in said and ("assistant", "it takes two days") in said


async def test_an_answer_from_elsewhere_comes_in_pieces() -> None:
    """What is heard is what the result says."""
    heard: list[str] = []
    async with fleet() as (asked, _, _):
        result = await asked.run(
            "repair it", lambda event: heard.append(str(event.fields.get("text"))) if event.kind == DELTA else None
        )
    assert "".join(heard) == result.text and len(heard) > 1


async def test_a_node_that_does_not_answer_is_escalated_here() -> None:
    """The one who takes over is of this node."""
    async with fleet() as (asked, _, link):
        link.cut = True
        result = await asked.run("repair my drill")
    assert (result.text, result.agent, result.node) == ("the desk", "desk", "edge-1")
    assert "no node that holds repairs answers" in result.why


async def test_a_fault_that_the_other_node_tells_is_not_escalated_twice() -> None:
    """It has handed over already, where it should."""
    async with fleet(back(models=["m"], max_total_tokens=0)) as (asked, _, _):
        result = await asked.run("repair my drill")
    assert result.error is not None and "spent 0 of 0 tokens" in result.error["message"]
    assert result.path == ("router.front", "agent.repairs")


async def test_restricted_data_does_not_leave_its_node() -> None:
    """Neither a restricted request, nor what is for a restricted agent."""
    async with fleet() as (asked, _, link):
        for_anyone = await asked.run("repair my drill", data_class="restricted")
        for_clinic = await asked.run("I have pain")
    assert for_anyone.agent == "desk"  # who takes over is here
    assert for_clinic.error is not None and for_clinic.error["code"] == "ORC575"
    assert "does not leave this one" in for_clinic.error["message"] and link.asked == []


async def test_without_a_link_it_says_so() -> None:
    """A node that has just started, or left its fleet."""
    async with serving(Wanted([elsewhere("repairs")])) as asked:
        result = await asked.run("repair my drill", history=(Message("user", "hello"),))
    assert result.error is not None and result.error["code"] == "ORC572"


async def test_an_exclusive_agent_answers_only_under_its_lease_and_each_effect_carries_the_epoch() -> None:
    """Also a request that came to this very node; what only reads needs none."""
    book = FakeTool("book", {"add": "booked"})
    agent = agent_spec("calendar", models=[], tools=["book"], reflex=[rule("{{ result }}", call="book.add")])
    agent["exclusive"] = True
    async with fleet() as (_, _, link), serving(Wanted([agent], tools=[book])) as served:
        served.engine.elsewhere = link
        without = await served.run("tomorrow at nine", data_class="restricted")  # else the node is asked that has it
        link.epoch = 7
        done = await served.run("tomorrow at nine")
    assert without.error is not None and without.error["kind"] == "LeaseLost"
    [(_, _, context)] = book.calls
    assert (done.text, context.epoch) == ("booked", 7)
    assert [(each.agent, each.function, each.epoch) for each in link.acted] == [("calendar", "book.add", 7)]
    assert link.acted[0].call == context.call_id
    assert [step.detail["epoch"] for step in done.steps if step.kind == "tool"] == [7]


async def test_what_is_kept_for_another_node_has_the_same_key_at_each_try() -> None:
    """One that is not kept has none."""
    async with fleet() as (asked, _, link):
        await asked.run("repair my drill")
        spec = cast(dict[str, Any], asked.engine.deployment.agents["repairs"].spec)
        spec["store_and_forward"] = {}
        await asked.run("repair my drill")
    assert link.keys[0] == "" and link.keys[1].endswith(".repairs.1") and link.keys[1].startswith("once_")


async def test_what_was_kept_for_another_node_brings_the_attempts_before() -> None:
    """Also after a restart: they are kept with it."""
    async with fleet() as (asked, holder, link):
        spec = cast(dict[str, Any], asked.engine.deployment.agents["repairs"].spec)
        spec |= {"store_and_forward": {}, "escalate_to": None}
        began = Result("run_1", "shop", 1, "waiting", "later", "repairs", path=("agent.desk", "agent.repairs"))
        held: dict[str, Any] = {
            "request": Request("my drill").as_json(),
            "result": began.as_json(),
            "at": {"again": []},
        }
        attempt = {"agent": "agent.desk", "reason": "unsure", "text": "oil it", "calls": ["db.row (ok)"]}
        held |= {"typed": "my drill", "nonce": "once_7", "attempts": [attempt]}
        waits = Delivery("dlv_1", "shop", 1, "run_1", "repairs", "my drill", 0.0, 9e9, "nobody", held=held)
        result = await asked.engine.resume(going_on(waits))
        said = "\n".join(content for _, content in holder.sent())
    assert [each.as_json() for each in link.handed[0].attempts] == [attempt] and link.keys == ["once_7.repairs.1"]
    assert 'agent.desk could not finish this request (unsure). It had said: "oil it".' in said
    assert (result.status, result.text) == ("completed", "it takes two days")


class AsksPeople(Link):
    """The other node has put a question to a person, who has not decided."""

    async def answer(
        self, request: Request, say: Callable[[str], None] | None, key: str = "", handed: Handed = NOTHING_HANDED
    ) -> Result:
        self.asked.append(request)
        self.keys.append(key)
        return Result(key, "shop", 1, "waiting", "Maria is asked", request.agent, approval="apr_9", node="edge-2")


class Post:
    """An outbox that remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[Deferring] = []

    def now(self) -> float:
        return 1_000.0

    async def defer(self, deferring: Deferring) -> None:
        self.given.append(deferring)


async def test_a_kept_request_that_waits_for_a_person_there_goes_on_waiting_for_its_end_there() -> None:
    """It was asked under its key, with its conversation. What it waited for before is done with."""
    async with fleet() as (asked, holder, _):
        link = asked.engine.elsewhere = AsksPeople("edge-1", holder, "edge-2")
        spec = cast(dict[str, Any], asked.engine.deployment.agents["repairs"].spec)
        spec |= {"store_and_forward": {}, "escalate_to": None}
        at = {"again": [Message("user", "it smokes").as_json(), Message("assistant", "what does?").as_json()]}
        began = Result("run_1", "shop", 1, "waiting", "later", "repairs", path=("router.front", "agent.repairs"))
        held: dict[str, Any] = {"request": Request("my drill").as_json(), "result": began.as_json(), "at": at}
        held |= {"typed": "my drill", "nonce": "once_7", "attempts": []}
        waits = Delivery("dlv_1", "shop", 1, "run_1", "repairs", "my drill", 0.0, 9e9, "nobody", held=held)
        post = asked.engine.outbox = Post()
        result = await asked.engine.resume(going_on(waits))
    assert (link.keys, [turn.content for turn in link.asked[0].history]) == (
        ["once_7.repairs.1"],
        ["it smokes", "what does?"],
    )
    [given] = post.given
    assert (result.status, result.approval, given.delivery.settles) == ("waiting", "apr_9", "dlv_1")
    assert given.delivery.there == "edge-2" and given.delivery.held["at"]["there"]["run"] == "once_7.repairs.1"


async def test_an_agent_that_two_nodes_hold_is_answered_on_the_less_loaded_one() -> None:
    """And here after all, where that one cannot; what is restricted stays here in any case."""
    mine = Wanted([agent_spec("repairs", models=[], reflex=[rule("here")])])
    there = Wanted([agent_spec("repairs", models=[], reflex=[rule("there")])])
    async with fleet(there) as (_, _, link), serving(mine) as served:
        served.engine.elsewhere = link
        calm = await served.run("my drill smokes")
        link.busy = True
        busy, kept = await served.run("my drill smokes"), await served.run("my drill smokes", data_class="restricted")
        link.cut = True
        cut = await served.run("my drill smokes")
    said = [(each.text, each.node) for each in (calm, busy, kept, cut)]
    assert said == [("here", "edge-1"), ("there", "edge-2"), ("here", "edge-1"), ("here", "edge-1")]
