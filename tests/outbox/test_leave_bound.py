"""A person's leave is bound to what the person saw: to the endpoints that were shown, and to each message as it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.core.approval import Approval
from orchestrator.ports.tool import ToolOutcome
from orchestrator.serve.steps.outward import OTHERWISE
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.outbox.parts import Kept, far, kept
from tests.outbox.test_forward import away
from tests.outbox.test_leave import approve
from tests.policy.test_leave import MAIL, Asking
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, rule

pytestmark = pytest.mark.anyio
SAYS = f"my mail is {MAIL}, please"
HIDDEN = "my mail is [EMAIL_1], please"


class Plain(Asking):
    """A revision that hides nothing any more."""

    policy: Mapping[str, Any] = {"approval": "always", "redaction": {"kinds": []}}


def revision(*endpoints: str, kind: type[Asking] = Asking, **fields: Any) -> Wanted:
    """An agent whose requests wait for its model, which these endpoints in the cloud serve."""
    return kind(far(**fields).parts, bound={"m": endpoints or ("m@1",)}, cloud=["m@1", "m@2"])


def both(**faults: list[str]) -> tuple[SimulatedEndpoint, SimulatedEndpoint]:
    """The servers of ``m@1`` and ``m@2``."""
    return simulated(["m"], faults=faults.get("first", [])), simulated(["m"], faults=faults.get("second", []))


async def allowed(folder: Path, first: Wanted, text: str = "hello") -> tuple[str, str]:
    """A run of the revision ``first`` that waits for leave, with its approval."""
    async with kept(folder, first, *both(), works=False) as it:
        run = await it.served.run(text)
    return run.id, run.approval


async def deferred(folder: Path, first: Wanted, text: str = "hello") -> tuple[str, str]:
    """A run of the revision ``first`` that a person let out and that waits in the outbox, with its delivery."""
    async with kept(folder, first, away(10**6), away(10**6), works=False) as it:
        run = await it.served.run(text)
        await approve(it, run.approval)
        found = await it.end_of(run.id, run.approval)
    assert found["approval"].startswith("dlv_")
    return run.id, found["approval"]


async def asked_anew(it: Kept, run: str, waiting: str) -> Approval:
    """The leave that a run asks for in place of what it waited for; nothing was sent."""
    with anyio.fail_after(600):
        found = await it.end_of(run, waiting)
    assert (found["status"], found["approval"][:4]) == ("waiting", "apv_"), found
    assert [server.records for server in it.served.servers] == [[], []]
    asked = await it.desk.find(found["approval"])
    assert asked.state == "pending" and asked.why.startswith(OTHERWISE)
    return asked


def shown(asked: Approval) -> tuple[str, str, str]:
    """The endpoint, the system's message and the request that a person sees."""
    arguments: Any = asked.call.arguments if asked.call is not None else {}
    return (arguments["endpoint"], arguments["messages"][0]["content"], arguments["messages"][-1]["content"])


def got(it: Kept) -> list[list[str]]:
    """The request of each call, by server."""
    return [[each.asked.messages[-1]["content"] for each in server.records] for server in it.served.servers]


async def test_a_leave_for_one_endpoint_is_none_for_another(tmp_path: Path) -> None:
    """The revision that came meanwhile knows only another one."""
    run, approval = await allowed(tmp_path, revision("m@1"))
    async with kept(tmp_path, revision("m@2"), *both()) as it:
        await approve(it, approval)
        asked = await asked_anew(it, run, approval)
        assert shown(asked)[0] == "m@2"
        await approve(it, asked.id)
        assert (await it.end_of(run))["text"] == "hello" and got(it) == [[], ["hello"]]


async def test_of_several_endpoints_the_ones_that_were_shown_are_asked(tmp_path: Path) -> None:
    """A revision brought one that is asked first."""
    run, approval = await allowed(tmp_path, revision("m@1"))
    async with kept(tmp_path, revision("m@2", "m@1"), *both()) as it:
        await approve(it, approval)
        ended = await it.end_of(run)
        assert (ended["status"], ended["served_by"], got(it)) == ("completed", "m@1", [["hello"], []])
        assert "agent.far did not ask m@2: approval: missing" in ended["notes"]


async def test_the_person_sees_each_endpoint_that_may_answer_in_place_of_the_first(tmp_path: Path) -> None:
    """One that was shown needs no second leave."""
    async with kept(tmp_path, revision("m@1", "m@2"), *both(first=["server-error@*"])) as it:
        run = await it.served.run("hello")
        asked = await it.desk.find(run.approval)
        assert asked.call is not None
        assert (asked.call.arguments["endpoint"], asked.call.arguments["others"]) == ("m@1", ["m@2"])
        await approve(it, asked.id)
        ended = await it.end_of(run.id)
        assert (ended["status"], ended["served_by"]) == ("completed", "m@2")
        assert len(it.events("approval.asked")) == 1


async def test_what_waits_in_the_outbox_goes_to_no_other_endpoint(tmp_path: Path) -> None:
    run, delivery = await deferred(tmp_path, revision("m@1"))
    async with kept(tmp_path, revision("m@2"), *both()) as it:
        assert shown(await asked_anew(it, run, delivery))[0] == "m@2"


@pytest.mark.parametrize("lives", [1, 2])
async def test_what_waits_in_the_outbox_is_not_sent_in_other_words(tmp_path: Path, lives: int) -> None:
    """The instructions are others by now; also where a life in between had no model for it."""
    run, delivery = await deferred(tmp_path, revision())
    if lives == 2:
        async with kept(tmp_path, Asking(far().parts, bound={}), *both()) as it:
            await it.until(lambda: bool(it.events("delivery.tried")))
    async with kept(tmp_path, revision(instructions="Say it in French."), *both()) as it:
        asked = await asked_anew(it, run, delivery)
        assert shown(asked) == ("m@1", "Say it in French.", "hello")
        await approve(it, asked.id)
        assert (await it.end_of(run))["text"] == "hello" and got(it) == [["hello"], []]


async def test_what_was_allowed_with_placeholders_is_not_sent_plain(tmp_path: Path) -> None:
    """From the outbox, once the revision that serves hides nothing."""
    run, delivery = await deferred(tmp_path, revision(), SAYS)
    async with kept(tmp_path, revision(kind=Plain), *both()) as it:
        asked = await asked_anew(it, run, delivery)
        assert shown(asked)[2] == SAYS


async def test_nor_where_it_waits_for_the_verdict(tmp_path: Path) -> None:
    run, approval = await allowed(tmp_path, revision(), SAYS)
    async with kept(tmp_path, revision(kind=Plain), *both()) as it:
        await approve(it, approval)
        ended = await it.end_of(run)
        assert (ended["error"]["code"], got(it)) == ("ORC543", [[], []])


PAYS = Script([Rule("mail", say="it said: {result}", calls=(("shop_pay", {}),))])


def paying(kind: type[Asking]) -> Wanted:
    """An agent in the cloud with a function that a person must allow too."""
    tool = FakeTool("shop", {"pay": "paid"}, approval="always")
    return kind([agent_spec("far", tools=["shop"])], [tool], cloud=["m@1"])


@pytest.mark.parametrize("kind", [Asking, Plain])
async def test_nor_where_a_function_of_it_was_allowed_meanwhile(tmp_path: Path, kind: type[Asking]) -> None:
    """Under the same rules the leave holds on, whatever else a person was asked in the run."""
    async with kept(tmp_path, paying(Asking), simulated(["m"], PAYS), works=False) as it:
        first = await it.served.run(SAYS)
        await approve(it, first.approval)
        call = (await it.end_of(first.id, first.approval))["approval"]
        assert len(it.served.server.records) == 1
    async with kept(tmp_path, paying(kind), simulated(["m"], PAYS)) as it:
        await approve(it, call)
        if kind is Plain:
            found = await it.end_of(first.id, call)
            asked = await it.desk.find(found["approval"])
            assert asked.state == "pending" and asked.why.startswith(OTHERWISE) and got(it) == [[]]
            await approve(it, asked.id)
        ended = await it.end_of(first.id)
        assert (ended["status"], ended["text"]) == ("completed", 'it said: "paid"'), ended
        assert len(it.served.server.records) == 1


class Hiding(Asking):
    """What stands in a field of what a tool gives is hidden."""

    policy: Mapping[str, Any] = {"approval": "always", "redaction": {"fields": ["patient"]}}


async def test_what_a_run_learned_to_hide_since_asks_nobody_again(tmp_path: Path) -> None:
    """The first call held the name; the second try of it holds [PATIENT_1], which the person need not see."""
    tool = FakeTool("shop", {"look": lambda arguments, context: ToolOutcome({"patient": "Canella"})})
    asks = Hiding([agent_spec("far", tools=["shop"]) | {"store_and_forward": {}}], [tool], cloud=["m@1"])
    script = Script([Rule("look", say="done", calls=(("shop_look", {}),))])
    async with kept(tmp_path, asks, simulated(["m"], script, faults=["unavailable@2-1000"]), works=False) as it:
        run = await it.served.run("look for Canella")
        await approve(it, run.approval)
        found = await it.end_of(run.id, run.approval)
        assert found["approval"].startswith("dlv_") and got(it)[0][0] == "look for Canella"
    async with kept(tmp_path, asks, simulated(["m"], script)) as it:
        ended = await it.end_of(run.id, found["approval"])
        assert (ended["status"], ended["text"]) == ("completed", "done")
        assert got(it)[0][0].startswith("look for [PATIENT_1") and it.events("approval.asked") == []


async def test_a_leave_that_an_older_version_kept_by_the_agents_name_is_none(tmp_path: Path) -> None:
    """Nobody knows what it was for."""
    run, delivery = await deferred(tmp_path, revision())
    async with kept(tmp_path, revision(), *both(), works=False) as it:
        held = dict((await it.forwarder.find(delivery))[0].held)
        with it.stores.outbox._file.transaction() as connection:
            connection.execute("UPDATE delivery SET held = ?", (json.dumps(held | {"consents": ["far"]}),))
    async with kept(tmp_path, revision(), *both()) as it:
        found = await it.end_of(run, delivery)
        assert found["approval"].startswith("apv_") and got(it) == [[], []]


@pytest.mark.parametrize("judges", ["m@1", "m@2"])
async def test_a_judge_elsewhere_in_the_cloud_is_not_asked_under_the_leave(tmp_path: Path, judges: str) -> None:
    """The one at the endpoint that was shown is: what the agent sends later goes with its leave."""
    agent = agent_spec("far", gate={"judge": {"model": "j"}}, escalate_to="up", escalate_when=["judge"])
    up = agent_spec("up", role="escalation", models=[], reflex=[rule("taken over")])
    models = {"m": model_spec(), "j": model_spec("j")}
    judged = Asking([agent, up], models=models, bound={"m": ("m@1",), "j": (judges,)}, cloud=["m@1", "m@2"])
    async with kept(tmp_path, judged, *both()) as it:
        run = await it.served.run("hello")
        await approve(it, run.approval)
        ended = await it.end_of(run.id, run.approval)
        assert ended["status"] == "completed"
        assert [len(each) for each in got(it)] == [2 if judges == "m@1" else 1, 0]
