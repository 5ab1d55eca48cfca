"""What a run learned from its tools is hidden by whoever sends later: after a wait, in the next turn, in what a judge is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.tool import ToolOutcome
from orchestrator.serve.held import going_on
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.outbox.parts import kept
from tests.people.parts import PERSON, desked
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, serving

pytestmark = pytest.mark.anyio

ROWS: list[dict[str, Any]] = [
    {"id": 1, "patient": "Anna", "tax_code": "CAN1", "smokes": "no"},
    {"id": 2, "patient": "Canella, Eva [2]", "tax_code": "CANTAX99", "smokes": "yes"},
]
SECRETS = ("Anna", "CAN1", "Canella", "Eva", "CANTAX99", "| no", "| yes")
FIELDS = ("patient", "tax_code", "smokes")


def table(rows: Any) -> str:
    """Rows as a tool of ours writes them."""
    return "\n".join([" | ".join(rows[0]), *(" | ".join(str(each) for each in row.values()) for row in rows)])


TABLE = table(ROWS)


class Hiding(Wanted):
    """A deployment with hidden fields; ``near`` is on this device, ``big`` in the cloud."""

    policy: Mapping[str, Any] = {"redaction": {"fields": list(FIELDS)}}

    def deployment(self, provider: Any, urls: Any) -> Any:
        made = super().deployment(provider, urls)
        return replace(made, blueprint=replace(made.blueprint, policy=type(self).policy))


class Asking(Hiding):
    """And a person must allow what leaves."""

    policy: Mapping[str, Any] = {**Hiding.policy, "approval": "always"}


def wanted(*parts: Any, kind: type[Hiding] = Hiding, gives: Any = None, approval: str = "never") -> Wanted:
    """Agents on a server nearby (``m``) and one in the cloud (``big``), and a table for their tools."""
    outcome = gives if gives is not None else lambda arguments, context: ToolOutcome.shown(ROWS, table)
    return kind(
        list(parts),
        [FakeTool("db", {"one": outcome}, approval=approval)],
        models={"m": model_spec(), "big": model_spec("big")},
        bound={"m": ("m@1",), "big": ("m@2",)},
        cloud=["m@2"],
    )


NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def failing(**fields: Any) -> Any:
    """An agent nearby that reads the table, answers with it where JSON is wanted, and hands over."""
    handed = {"escalate_to": "up", "escalate_when": ["schema_invalid"], "output_schema": NUMBER}
    return agent_spec("a", tools=["db"], **{**handed, **fields})


def up(**fields: Any) -> Any:
    """The one in the cloud that takes over."""
    return agent_spec("up", role="escalation", models=["big"]) | fields


def near(*more: Rule) -> SimulatedEndpoint:
    """It looks the table up and repeats it, also when it is told to answer otherwise."""
    looks = Rule("look", say="it says: {result}", calls=(("db_one", {}),))
    return simulated(["m"], Script([*more, looks, Rule("does not fit", say=f"it says: {TABLE}")]))


def cloud(*faults: str) -> SimulatedEndpoint:
    return simulated(["m"], Script(default="done"), list(faults))


def sent(server: SimulatedEndpoint) -> list[str]:
    """All words of each request that it got."""
    return [json.dumps([*record.asked.messages], ensure_ascii=False) for record in server.records]


def leaked(server: SimulatedEndpoint) -> list[str]:
    """Hidden values that it got."""
    return [secret for each in sent(server) for secret in SECRETS if secret in each]


async def test_a_hand_over_that_waited_in_the_outbox_hides_what_the_attempt_told(tmp_path: Path) -> None:
    """The target is away at first: what is sent later is what would have been sent at once."""
    async with kept(tmp_path, wanted(failing(), up(store_and_forward={})), near(), cloud("reset@1-6")) as it:
        result = await it.served.run("look")
        assert (result.status, result.served_by) == ("waiting", "outbox")
        found = await it.end_of(result.id)
        far = it.served.servers[1]
    assert found["status"] == "completed" and far.records
    assert leaked(far) == [] and "[PATIENT_1] | [TAX_CODE_1]" in sent(far)[-1]
    assert sent(far)[-1] == sent(far)[0]


async def test_what_waited_hides_after_a_restart_too(tmp_path: Path) -> None:
    parts = (failing(), up(store_and_forward={}))
    async with kept(tmp_path, wanted(*parts), near(), cloud("reset@1-9"), works=False) as it:
        result = await it.served.run("look")
        first = sent(it.served.servers[1])[0]
    async with kept(tmp_path, wanted(*parts), near(), cloud()) as it:
        await it.end_of(result.id)
        assert sent(it.served.servers[1]) == [first]


async def test_leave_is_for_what_the_run_had_learned(tmp_path: Path) -> None:
    """What is sent is what was allowed, with the same placeholders, after a restart too."""
    parts = (failing(), up())
    async with desked(tmp_path, wanted(*parts, kind=Asking), near(), cloud()) as there:
        waiting = await there.served.run("look")
        assert waiting.status == "waiting"
        asked = await there.desk.find(waiting.approval)
        assert asked.call is not None
    async with desked(tmp_path, wanted(*parts, kind=Asking), near(), cloud()) as there:
        ended = await there.after(waiting, "approve")
        assert (ended["status"], ended["text"]) == ("completed", "done"), ended["error"]
        (record,) = there.served.servers[1].records
        assert asked.call.arguments["messages"] == list(record.asked.messages)
        assert leaked(there.served.servers[1]) == []


async def test_placeholders_of_earlier_calls_stay_where_leave_was_waited_for(tmp_path: Path) -> None:
    """Its agent in the cloud had sent an address before a call of its waited: it stands for the same value after it."""
    script = Script([Rule("look", say="{result}", calls=(("db_one", {}),))])
    parts = [agent_spec("a", models=["big"], tools=["db"])]
    given = [wanted(*parts, approval="always") for _ in range(2)]
    async with desked(tmp_path, given[0], near(), simulated(["m"], script)) as there:
        waiting = await there.served.run("look up bob@example.org for anna@example.org")
    async with desked(tmp_path, given[1], near(), simulated(["m"], script)) as there:
        ended = await there.after(waiting, "approve")
        (record,) = there.served.servers[1].records
    assert ended["text"] == TABLE
    assert "look up [EMAIL_1] for [EMAIL_2]" in record.asked.messages[-3]["content"]
    assert leaked(there.served.servers[1]) == []


async def test_what_an_approved_call_gave_before_the_end_of_the_process_is_learned(tmp_path: Path) -> None:
    """It is not called again, and what it gave is hidden all the same in the attempt that goes up."""
    given = wanted(failing(), up(), approval="always")
    async with desked(tmp_path, given, near(), cloud(), works=False) as there:
        waiting = await there.served.run("look")
        asked = await there.desk.find(waiting.approval)
        gave = {"value": ROWS, "text": json.dumps(ROWS)}
        recorded = replace(asked, state="approved", decided=1_000.0, begun=1_000.0, outcome=gave)
        ended = await there.served.engine.resume(going_on(recorded))
        far = there.served.servers[1]
    assert ended.text == "done" and given.tools[0].calls == []
    assert (
        not {"Anna", "CAN1", "Canella", "Eva", "CANTAX99"}.intersection(leaked(far)) and "[TAX_CODE_2]" in sent(far)[0]
    )


async def session_of(tmp_path: Path, *texts: str, **fields: Any) -> SimulatedEndpoint:
    """The turns of one session, the last of them of the agent in the cloud, by another process than the first ones."""
    parts = [agent_spec("a", tools=["db"]), agent_spec("far", models=["big"])]
    far = cloud()
    for number, text in enumerate(texts, 1):
        stores = open_stores(tmp_path / "state.db")
        async with serving(wanted(*parts, **fields), near(), far, sessions=Sessions(stores.sessions)) as served:
            result = await served.run(text, session="s", agent="far" if number == len(texts) else "a")
            assert result.error is None
        stores.close()
    return far


async def test_the_next_turn_hides_what_the_first_one_hid(tmp_path: Path) -> None:
    """The answer nearby held the table; another process sends it to the cloud as history."""
    far = await session_of(tmp_path, "look for Canella, Eva [2]", "thanks")
    (got,) = sent(far)
    assert leaked(far) == []
    assert "look for [PATIENT_1]" in got and "1 | [PATIENT_2] | [TAX_CODE_1] | [SMOKES_1]" in got


async def test_a_turn_that_is_told_again_later_is_hidden_too(tmp_path: Path) -> None:
    """The second answer repeats what the first turn's tool gave; that turn called none."""
    repeats = Rule("again", say="it was CANTAX99")
    parts = [agent_spec("a", tools=["db"]), agent_spec("far", models=["big"])]
    far, sessions = cloud(), Sessions()
    async with serving(wanted(*parts), near(repeats), far, sessions=sessions) as served:
        for text, agent in (("look", "a"), ("again", "a"), ("thanks", "far")):
            await served.run(text, session="s", agent=agent)
    assert leaked(far) == [] and "it was [TAX_CODE_2]" in sent(far)[0]


async def test_a_model_nearby_reads_the_session_as_it_was(tmp_path: Path) -> None:
    server = near()
    async with serving(wanted(agent_spec("a", tools=["db"])), server, cloud()) as served:
        await served.run("look", session="s")
        await served.run("thanks", session="s")
        assert served.sent()[-2] == ("assistant", f"it says: {TABLE}")
    assert all(message.keys() <= {"role", "content"} for message in server.records[-1].asked.messages)


async def test_an_answer_that_waited_is_hidden_in_the_next_turn(tmp_path: Path) -> None:
    """The call waited for a person: the end of the run is said in the session by whoever settles it."""
    parts = [agent_spec("a", tools=["db"]), agent_spec("far", models=["big"])]
    async with desked(tmp_path, wanted(*parts, approval="always"), near(), cloud()) as there:
        waiting = await there.served.run("look", session="s")
        ended = await there.after(waiting, "approve")
        assert ended["text"] == f"it says: {TABLE}"
    async with desked(tmp_path, wanted(*parts, approval="always"), near(), cloud()) as there:
        await there.served.run("thanks", session="s", agent="far")
        assert leaked(there.served.servers[1]) == [] and "[PATIENT_1]" in sent(there.served.servers[1])[0]


async def test_what_a_person_repeats_is_hidden_in_the_next_turn(tmp_path: Path) -> None:
    """The run that called the tool handed over to a person, who answers in its place."""
    clerk = agent_spec("clerk", role="escalation", models=[], human=PERSON)
    parts = [failing(escalate_to="clerk"), agent_spec("far", models=["big"]), clerk]
    async with desked(tmp_path, wanted(*parts), near(), cloud()) as there:
        waiting = await there.served.run("look", session="s")
        ended = await there.after(waiting, "answer", "as for 1 | Anna | CAN1 | no, ask canella, eva [2]")
        assert ended["status"] == "completed"
        await there.served.run("thanks", session="s", agent="far")
        far = there.served.servers[1]
    assert leaked(far) == [] and "as for 1 | [PATIENT_1] | [TAX_CODE_1] | [SMOKES_1], ask [PATIENT_2]" in sent(far)[0]


async def test_a_deployment_without_the_cloud_keeps_marks_for_a_later_one(tmp_path: Path) -> None:
    parts = [agent_spec("a", tools=["db"])]
    stores = open_stores(tmp_path / "state.db")
    nearby = wanted(*parts)
    nearby.cloud = []
    async with serving(nearby, near(), cloud(), sessions=Sessions(stores.sessions)) as served:
        await served.run("look", session="s")
    far = cloud()
    later = wanted(agent_spec("far", models=["big"]))
    async with serving(later, near(), far, sessions=Sessions(stores.sessions)) as served:
        await served.run("thanks", session="s")
    stores.close()
    assert leaked(far) == [] and far.records


async def test_turns_of_an_older_version_are_read(tmp_path: Path) -> None:
    """They have no marks."""
    stores = open_stores(tmp_path / "state.db")
    stores.sessions.append("shop", "s", [Message("user", "hi"), Message("assistant", "CANTAX99")])
    assert [each.marks for each in stores.sessions.load("shop", "s")] == [(), ()]
    stores.close()


async def test_a_judge_in_the_cloud_gets_no_short_value_of_a_table(tmp_path: Path) -> None:
    """Neither in what the tool found nor in the answer; nor who takes over, in the attempt."""
    gate = {"judge": {"model": "big"}}
    agent = agent_spec("a", tools=["db"], gate=gate, escalate_to="up", escalate_when=["judge"])
    no = simulated(["m"], Script([Rule("request", say='{"right": "no"}')], default="done"))
    async with serving(wanted(agent, up()), near(), no) as served:
        result = await served.run("look, no smoke and no Ann")
    assert result.text == "done"
    judged, taken = sent(no)
    assert leaked(no) == []
    assert judged.count("1 | [PATIENT_1] | [TAX_CODE_1] | [SMOKES_1]") == 2  # found, and the answer
    assert "1 | [PATIENT_1] | [TAX_CODE_1] | [SMOKES_1]" in taken
    assert "look, no smoke and no Ann" in judged and "look, no smoke and no Ann" in taken


LONG = "9" * 20 + "abcdef" * 12


@pytest.mark.parametrize(
    "row",
    [
        {"a": LONG, "smokes": "no", "b": LONG},
        {"a": LONG, "smokes": "no"},
        {"smokes": "no", "b": LONG},
        {"a": "x" * 79, "smokes": "no", "b": "y" * 80},
        {"a": "x" * 400, "smokes": "no", "b": "y" * 400},
    ],
    ids=["both", "before", "behind", "just", "cut"],
)
async def test_a_short_value_beside_a_long_word_is_hidden(row: Mapping[str, Any]) -> None:
    """A digest or a key: of so long a word its end, or its beginning, tells what stands beside it; also where what the tool gave
    is shortened for the judge."""
    gate = {"judge": {"model": "big"}}
    agent = agent_spec("a", tools=["db"], gate=gate, escalate_to="up", escalate_when=["judge"])
    no = simulated(["m"], Script([Rule("request", say='{"right": "no"}')], default="done"))
    outcome = ToolOutcome.shown([row], table)
    repeats = Script([Rule("look", say="it says: {result}", calls=(("db_one", {}),))])
    async with serving(wanted(agent, up(), gives=outcome), simulated(["m"], repeats), no) as served:
        await served.run("look")
    judged, taken = sent(no)
    for each in (judged, taken):
        assert "[SMOKES_1]" in each and "| no" not in each and "no |" not in each
