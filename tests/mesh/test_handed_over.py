"""An escalation agent on another node gets the conversation, the failed attempt and the reason, over the real mesh."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.handed import LONGEST_SAID, MOST_VALUES
from orchestrator.ports.tool import ToolOutcome
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.mesh.test_engines import Fleet, elsewhere, joined
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, rule, serving

pytestmark = pytest.mark.anyio

FIELDS = {"redaction": {"fields": ["patient"]}}
ROW = ToolOutcome([{"patient": "Rossi Canarina"}], "Rossi Canarina")
ANSWER = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "abstain": {"type": "boolean"}},
    "required": ["answer"],
}
DESK: dict[str, Any] = {
    "escalate_to": "up",
    "tools": ["db"],
    "escalate_when": ["abstains"],
    "gate": {"abstains": {}},
    "output_schema": ANSWER,
}


def unsure(said: str) -> Script:
    """A small model that looks who it is, and does not know more."""
    return Script(
        [Rule("who", say=json.dumps({"answer": said, "abstain": True}), calls=(("db_row", {}),))],
        default=json.dumps({"answer": "a first answer"}),
    )


FIRST = unsure("Rossi Canarina is ill; I do not know with what")


def near(**fields: Any) -> Wanted:
    """The node that is asked: a desk on a model nearby, which hands over."""
    desk = agent_spec("desk", **{**DESK, **fields})
    return Wanted([desk, elsewhere("up", role="escalation")], [FakeTool("db", {"row": ROW})], security=FIELDS)


def far(**fields: Any) -> Wanted:
    """The node of the escalation agent, on a model in the cloud."""
    up = agent_spec("up", role="escalation", **fields)
    boss = agent_spec("boss", role="escalation", models=[], reflex=[rule("the boss")])
    return Wanted([elsewhere("desk"), up, boss], cloud=["m@1"], security=FIELDS)


@asynccontextmanager
async def fleet(first: Wanted, second: Wanted, cloud: SimulatedEndpoint, small: Script = FIRST) -> AsyncIterator[Fleet]:
    async with (
        serving(first, simulated(["m"], small)) as asked,
        serving(second, cloud) as holder,
        joined(asked, holder) as nodes,
    ):
        yield nodes


def sent(nodes: Fleet, number: int = -1) -> str:
    return "\n".join(content for _, content in nodes.engines["edge-2"].sent(number))


async def test_it_gets_the_conversation_the_failed_attempt_and_the_reason() -> None:
    """What is sent to the cloud from there has placeholders for values that only a function of the first node gave."""
    cloud = simulated(["m"], Script(default="it is [PATIENT_1]"))
    async with fleet(near(), far(), cloud) as nodes:
        await nodes.engines["edge-1"].run("hello", session="s")
        result = await nodes.engines["edge-1"].run("who is it", session="s")
        told = sent(nodes)
    assert "agent.desk could not finish this request (abstains: " in told
    assert "is ill; I do not know with what" in told and "It has called already: db.row (ok)." in told
    assert "hello" in told and "a first answer" in told
    assert "Canarina" not in told and "[PATIENT_1]" in told
    assert (result.text, result.node, result.agent) == ("it is Rossi Canarina", "edge-2", "up")
    assert result.path == ("agent.desk", "agent.up") and "agent.desk handed over: abstains" in result.why


async def test_what_is_told_of_hand_overs_there_comes_back() -> None:
    """The reason of the second one, which the first node did not see, and the whole path."""
    cloud = simulated(["m"], Script())
    cloud.arm(*["unauthorized"] * 9)
    async with fleet(near(), far(escalate_to="boss"), cloud) as nodes:
        result = await nodes.engines["edge-1"].run("who is it")
    assert (result.text, result.path) == ("the boss", ("agent.desk", "agent.up", "agent.boss"))
    assert result.why.count("handed over: ") == 2 and "agent.up handed over: " in result.why


async def test_hand_overs_are_counted_over_all_nodes() -> None:
    """One that was handed over as often as it may be is not handed over there once more."""
    cloud = simulated(["m"], Script())
    cloud.arm(*["unauthorized"] * 9)
    once = replace(far(escalate_to="boss"), most_escalations=1)
    async with fleet(replace(near(), most_escalations=1), once, cloud) as nodes:
        result = await nodes.engines["edge-1"].run("who is it")
    assert result.error is not None and "boss" not in str(result.path)


async def test_what_failed_there_is_told_with_the_way_that_it_took() -> None:
    """As far as it came: the fault alone would leave out who was asked."""
    cloud = simulated(["m"], Script())
    cloud.arm(*["unauthorized"] * 9)
    async with fleet(near(), far(), cloud) as nodes:
        result = await nodes.engines["edge-1"].run("who is it")
    assert result.error is not None and result.path == ("agent.desk", "agent.up")
    assert ("model", "edge-2") in [(step.kind, step.detail.get("node")) for step in result.steps]


async def test_long_words_are_shortened_where_they_are_sent() -> None:
    """The beginning and the end, as where both are of one node."""
    long = unsure(f"BEGIN {'x' * 9_000} END")
    cloud = simulated(["m"], Script(default="well"))
    async with fleet(near(), far(), cloud, long) as nodes:
        result = await nodes.engines["edge-1"].run("who is it")
        told = sent(nodes)
    assert result.text == "well" and "BEGIN" in told and "END" in told and "characters left out" in told
    assert len(told) < LONGEST_SAID + 1_000


async def test_what_cannot_be_told_whole_does_not_leave_its_node() -> None:
    """More values than go along: some would not be hidden there."""
    rows = [{"patient": f"Canarino{number:04d}"} for number in range(MOST_VALUES + 1)]
    many = ToolOutcome(rows, "many")
    said = " ".join(row["patient"] for row in rows)
    tool = FakeTool("db", {"row": many})
    cloud = simulated(["m"], Script(default="well"))
    async with fleet(replace(near(), tools=[tool]), far(), cloud) as nodes:
        result = await nodes.engines["edge-1"].run(f"who is it of {said}")
        records = nodes.engines["edge-2"].server.records
    assert result.error is not None and result.error["kind"] == "StaysHere" and not records


async def test_what_the_caller_said_before_is_no_more_restricted_there_than_here() -> None:
    """The node that it came from has looked at it: a restricted agent of the fleet makes none of it restricted once more."""
    clinic = agent_spec("clinic", data_class="restricted")
    first, second = near(), far()
    first = replace(first, parts=[*first.parts, clinic])
    second = replace(second, parts=[*second.parts, elsewhere("clinic", data_class="restricted")])
    async with fleet(first, second, simulated(["m"], Script(default="well"))) as nodes:
        await nodes.engines["edge-1"].run("hello", session="s")
        result = await nodes.engines["edge-1"].run("who is it", session="s")
        ill = await nodes.engines["edge-1"].run("I am ill", session="t", agent="clinic")
        later = await nodes.engines["edge-1"].run("who is it", session="t")
    assert (result.text, result.error) == ("well", None)
    assert ill.data_class == "restricted" and later.error is not None and later.error["kind"] == "StaysHere"


async def test_short_values_are_hidden_there_however_often_they_stand_in_what_was_said() -> None:
    """Nothing but its place tells what "wz" is: each place is told, to the last one."""
    often, last = [f"{first}b" for first in "acdefghi"], "wz"
    rows = ToolOutcome([{"patient": name} for name in [*often, last]], "#" + " #".join(often) + f" ~{last}")
    cloud = simulated(["m"], Script(default="well"))
    first = replace(near(), tools=[FakeTool("db", {"row": rows})])
    said = "#" + " #".join(often * 110) + f" ~{last}"
    async with fleet(first, far(), cloud, unsure(said)) as nodes:
        result = await nodes.engines["edge-1"].run("who is it")
        told = sent(nodes)
    assert result.text == "well" and said.count("b") > MOST_VALUES
    assert "~[PATIENT_" in told and not [name for name in [*often, last] if f"#{name}" in told or f"~{name}" in told]
