"""A person's leave before anything goes to the cloud: bound to what is sent, given once a run, kept over a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.people.parts import Desked, desked
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio
MAIL = "anna@example.org"


class Asking(Wanted):
    """A deployment in which a person must allow what leaves."""

    policy: Mapping[str, Any] = {"approval": "always"}

    def deployment(self, provider: Any, urls: Any) -> Any:
        made = super().deployment(provider, urls)
        return replace(made, blueprint=replace(made.blueprint, policy=self.policy))


def wanted(*parts: Any, **fields: Any) -> Wanted:
    """Agents on one endpoint, which is in the cloud."""
    return Asking(list(parts) or [agent_spec("a")], cloud=["m@1"], **fields)


@asynccontextmanager
async def shop(folder: Path, it: Wanted, script: Script | None = None) -> AsyncIterator[Desked]:
    async with desked(folder, it, simulated(["m"], script)) as there:
        yield there


async def test_the_run_waits_with_what_would_be_sent_and_goes_on_when_it_may(tmp_path: Path) -> None:
    """The person sees the endpoint and every message as it leaves, with placeholders."""
    async with shop(tmp_path, wanted()) as there:
        waiting = await there.served.run(f"write to {MAIL}")
        assert waiting.status == "waiting" and there.served.server.records == []
        (told,) = there.events("approval.asked")
        assert told.fields["function"] == "cloud.send"
        asked = await there.desk.find(waiting.approval)
        assert asked.call is not None and asked.call.arguments["endpoint"] == "m@1"
        assert asked.call.arguments["messages"][-1] == {"role": "user", "content": "write to [EMAIL_1]"}
        assert waiting.decisions[-1].why.endswith("redaction: on; approval: missing")
        assert waiting.notes == ("agent.a did not ask m@1: approval: missing",)
        ended = await there.after(waiting, "approve")
        assert ended["status"] == "completed" and ended["text"] == f"write to {MAIL}"
        (record,) = there.served.server.records
        assert record.asked.messages[-1]["content"] == "write to [EMAIL_1]"
        assert ended["decisions"][-1]["why"].endswith("approval: given")
        assert not [note for note in ended["notes"] if "did not ask" in note]  # it did


async def test_a_no_sends_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path, wanted()) as there:
        waiting = await there.served.run("hello")
        ended = await there.after(waiting, "deny", "not this one")
        assert ended["status"] == "failed" and ended["error"]["code"] == "ORC540"
        assert "refused cloud.send: not this one" in ended["error"]["message"]
        assert there.served.server.records == []


async def test_leave_is_asked_for_once_in_a_run(tmp_path: Path) -> None:
    """Later calls of the same agent, after its tools, go with it; another run asks anew."""
    tool = FakeTool("shop", {"look": "5 left"})
    script = Script([Rule("look", say="it says: {result}", calls=(("shop_look", {}),))])
    async with shop(tmp_path, wanted(agent_spec("a", tools=["shop"]), tools=[tool]), script) as there:
        waiting = await there.served.run("look")
        ended = await there.after(waiting, "approve")
        assert ended["text"] == 'it says: "5 left"' and len(there.served.server.records) == 2
        assert (await there.served.run("look")).status == "waiting"


async def test_each_agent_needs_its_own(tmp_path: Path) -> None:
    """One fails and another takes over: what that would send holds more."""
    first = agent_spec("a", escalate_to="b")
    parts = (first, agent_spec("b", role="escalation"))
    async with desked(tmp_path, wanted(*parts), simulated(["m"], faults=["unauthorized@1"])) as there:
        waiting = await there.served.run("hello")
        second = await there.after(waiting, "approve")
        assert second["status"] == "waiting" and second["path"] == ["agent.a", "agent.b"]
        assert len(there.served.server.records) == 1


async def test_an_agent_with_a_model_nearby_asks_that_one(tmp_path: Path) -> None:
    both = Asking([agent_spec("a")], bound={"m": ("m@1", "m@2")}, cloud=["m@1"])
    async with desked(tmp_path, both, simulated(["m"]), simulated(["m"])) as there:
        result = await there.served.run("hello")
        assert result.status == "completed" and result.served_by == "m@2"
        assert there.served.servers[0].records == []


async def test_where_nobody_can_be_asked_nothing_is_sent() -> None:
    """In a deployment of one process."""
    async with serving(wanted()) as served:
        result = await served.run("hello")
    assert served.server.records == []
    assert result.error is not None and result.error["code"] == "ORC550"
    assert result.error["message"] == "agent.a needs a person's leave to ask m@1, and nobody can be asked here"


class Counting(Asking):
    """A deployment that may call the cloud once in a run."""

    policy: Mapping[str, Any] = {"budget": {"per_run": {"calls": 1}}}


async def test_what_a_run_had_spent_before_it_waited_counts_after_it(tmp_path: Path) -> None:
    """Its tool needs leave; its model may not be asked again once that is given."""
    tool = FakeTool("shop", {"pay": "paid"}, approval="always")
    script = Script([Rule("pay", say="{result}", calls=(("shop_pay", {}),))])
    counted = Counting([agent_spec("a", tools=["shop"])], [tool], cloud=["m@1"])
    async with shop(tmp_path, counted, script) as there:
        waiting = await there.served.run("pay it")
        assert waiting.status == "waiting" and len(there.served.server.records) == 1
        ended = await there.after(waiting, "approve")
        assert [name for name, _, _ in tool.calls] == ["shop.pay"]
        assert ended["error"]["code"] == "ORC551" and "this run is used up: 1 of 1 calls" in ended["error"]["message"]
        assert len(there.served.server.records) == 1


async def test_what_a_run_had_spent_is_kept_while_no_model_is_in_the_cloud(tmp_path: Path) -> None:
    """It waits twice, and between the two its server turned out to be near: the next one there still counts on."""
    tool = FakeTool("shop", {"pay": "paid"}, approval="always")
    script = Script([Rule("pay", say="{result}", calls=(("shop_pay", {}), ("shop_pay", {})))])
    agent = agent_spec("a", tools=["shop"])
    async with shop(tmp_path, Counting([agent], [tool], cloud=["m@1"]), script) as there:
        first = await there.served.run("pay both")
        spent = (await there.desk.find(first.approval)).held["spent"]
    assert [calls for _, _, calls in spent.values()] == [1]
    async with shop(tmp_path, Counting([agent], [tool]), script) as there:
        again = await there.after(first, "approve")
        assert again["status"] == "waiting" and again["approval"] != first.approval
        assert (await there.desk.find(again["approval"])).held["spent"] == spent


class Paying(Asking):
    """A deployment that limits money and knows no price: its server turned out to be in the cloud."""

    policy: Mapping[str, Any] = {"budget": {"per_day": {"money": 100}}}


async def test_no_price_is_not_a_price_of_nothing() -> None:
    """The manifest could not know; nothing is sent, and the cure says what to write."""
    async with serving(Paying([agent_spec("a")], cloud=["m@1"])) as served:
        result = await served.run("hello")
    assert served.server.records == [] and result.error is not None
    assert result.error["message"] == (
        "agent.a: m@1 has no price, and the budget limits money: no price is not a price of 0"
    )
    assert result.error["cure"].startswith("Write price: {input: …, output: …} for the model that m@1 serves")
    assert result.notes == (
        "agent.a did not ask m@1: budget: m@1 has no price, and the budget limits money: no price is not a price of 0",
    )
