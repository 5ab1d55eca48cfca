"""What is restricted stays near also where no manifest could say so: past the proofs, over a new revision, after a wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import Withheld
from orchestrator.core.message import Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.gateway.lines import event_in_short, line
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.serve.ask import Ask
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.ledger import Account, Ledger
from orchestrator.serve.outbound import Customs, Passage, Rules
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.people.parts import by_rule, desked, paying
from tests.people.parts import shop as paying_tool
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
CANARY = "canary-7f3a"
ONE: dict[str, Any] = {"cloud": ["m@1"]}


async def test_a_restricted_agent_that_a_server_brings_to_the_cloud_is_not_asked() -> None:
    """No proof has seen it: the endpoint turned out to be there."""
    async with serving(Wanted([agent_spec("a", data_class="restricted")], **ONE)) as served:
        result = await served.run(CANARY)
    assert served.server.records == []
    assert result.error is not None and result.error["code"] == "ORC502" and result.data_class == "restricted"


async def test_an_agent_that_works_offline_asks_no_cloud() -> None:
    async with serving(Wanted([agent_spec("a", offline=True)], **ONE)) as served:
        result = await served.run(CANARY)
    assert served.server.records == []
    assert result.error is not None and "zone: the agent works offline" in result.error["message"]


async def test_a_router_that_leads_to_a_restricted_agent_asks_no_model_in_the_cloud() -> None:
    """The request is not restricted yet when the router reads it."""
    ways = {"a": "never", "b": "never"}
    front = router_spec("front", ways, strategy="intent", models=["m"], default="a", on_unsure="default")
    parts: list[Any] = [front, agent_spec("a", data_class="restricted", reflex=[rule("kept")]), agent_spec("b")]
    async with serving(Wanted(parts, **ONE)) as served:
        result = await served.run(CANARY)
    assert served.server.records == [] and result.text == "kept"


async def test_an_agent_that_hands_over_to_a_restricted_one_asks_no_model_in_the_cloud() -> None:
    """A server turned out to be there: the request is handed over as it came."""
    desk = agent_spec("desk", escalate_to="a", escalate_when=["error"])
    private = agent_spec("a", role="escalation", data_class="restricted", models=[], reflex=[rule("kept")])
    async with serving(Wanted([desk, private], **ONE)) as served:
        result = await served.run(CANARY)
    assert served.server.records == [] and result.text == "kept"
    assert "and a restricted agent may get this request after it" in result.why


@pytest.mark.parametrize("data_class", ["restricted", "internal"])
async def test_nor_does_a_judge_of_its_answer(data_class: str) -> None:
    """The control: where nobody behind it is restricted the judge reads it."""
    desk = agent_spec("desk", escalate_to="a", gate={"judge": {"model": "far"}})
    private = agent_spec("a", role="escalation", data_class=data_class, models=[], reflex=[rule("kept")])
    models, bound = {"m": model_spec(), "far": model_spec("far")}, {"m": ("m@1",), "far": ("m@2",)}
    wanted = Wanted([desk, private], models=models, bound=bound, cloud=["m@2"])
    async with serving(wanted, simulated(["m"]), simulated(["m"])) as served:
        await served.run(CANARY)
    near, far = (len(each.records) for each in served.servers)
    assert (near, far) == (1, 0 if data_class == "restricted" else 1)


async def test_only_what_reaches_a_restricted_agent_is_restricted() -> None:
    """Another agent of the same deployment uses the cloud as before, in a session of its own too."""
    parts: list[Any] = [
        router_spec("front", {"a": "^secret", "b": "^open"}),
        agent_spec("a", data_class="restricted", reflex=[rule("kept")]),
        agent_spec("b"),
    ]
    async with serving(Wanted(parts, **ONE)) as served:
        results = [await served.run(text, session=text) for text in ("open one", "secret", "open two")]
        public = await served.run("open three", history=(Message("assistant", "said before"),), data_class="public")
    assert [each.data_class for each in results] == ["internal", "restricted", "internal"]
    assert [each.status for each in (*results, public)] == ["completed"] * 4
    assert len(served.server.records) == 3


async def test_a_new_revision_knows_what_restricted_runs_wrote() -> None:
    """Its agents are restricted no more, and what they wrote is there still."""
    tool = FakeTool("notes", {"add": "done", "all": CANARY})
    writes = agent_spec("a", data_class="restricted", tools=["notes"], reflex=[rule("ok", call="notes.add")])
    async with serving(Wanted([writes], [tool], **ONE)) as served:
        await served.run("keep it")
        old, later = served.engine, Wanted([agent_spec("a", tools=["notes"])], [tool], **ONE)
        provider = next(iter(old.deployment.endpoints.values())).provider
        urls = {"m@1": next(iter(old.deployment.endpoints.values())).target.api_base}
        fresh = Engine(later.deployment(provider, urls), served.loop, old._sessions, served.events.append)
        table = EngineTable()
        table.switch("shop", old)
        before = fresh.privacy.off
        table.switch("shop", fresh)
        assert (before, fresh.privacy.off) == (True, False)
        assert all(fresh.privacy.may_give(each) for each in tool.functions)


async def test_a_run_that_waited_for_a_person_marks_its_session(tmp_path: Path) -> None:
    """The restricted agent's call is allowed later: what it said then stays near too, after a restart."""
    wanted = by_rule(paying_tool("paid"), data_class="restricted")
    async with desked(tmp_path, wanted) as there:
        waiting = await there.served.run("pay 5", session="s")
        assert (await there.after(waiting, "approve"))["data_class"] == "restricted"
        assert there.stores.sessions.is_restricted("shop", "s")


async def test_a_restricted_run_that_failed_leaves_nothing_in_its_session(tmp_path: Path) -> None:
    """Neither what was asked nor what was said by then: the next message may go to the cloud, and does, with nothing of it."""
    parts: list[Any] = [
        router_spec("front", {"a": "^secret", "b": "^open"}),
        agent_spec("a", data_class="restricted"),
        agent_spec("b", models=["far"]),
    ]
    models, bound = {"m": model_spec(), "far": model_spec("far")}, {"m": ("m@1",), "far": ("m@2",)}
    wanted = Wanted(parts, models=models, bound=bound, cloud=["m@2"])
    broken = simulated(["m"], Script(default=CANARY), faults=["abort@1-99"])
    async with desked(tmp_path, wanted, broken, simulated(["m"])) as there:
        failed = await there.served.run(f"secret {CANARY}", session="s")
        assert (failed.status, failed.data_class) == ("failed", "restricted") and broken.records
        assert there.stores.sessions.load("shop", "s") == ()
        said = await there.served.run("open", session="s")
        assert (said.text, said.data_class) == ("open", "internal")
        (record,) = there.served.servers[1].records
        assert CANARY not in str(record.asked.messages)
        assert not there.stores.sessions.is_restricted("shop", "s")


async def test_a_run_that_waited_and_failed_as_a_restricted_one_marks_its_session(tmp_path: Path) -> None:
    """What was asked stands in the session since it waited, and a restricted agent was shown it then: a restart knows it."""
    a = agent_spec("a", tools=["shop"], escalate_to="b", escalate_when=["error"])
    b = agent_spec("b", role="escalation", data_class="restricted", models=["other"])
    models, bound = {"m": model_spec(), "other": model_spec("other")}, {"m": ("m@1",), "other": ("m@2",)}
    wanted = Wanted([a, b], [paying_tool("paid")], models=models, bound=bound)
    first = simulated(["m"], paying(5), faults=["abort@2-99"])
    async with desked(tmp_path, wanted, first, simulated(["m"], faults=["abort@1-99"])) as there:
        waiting = await there.served.run(f"pay {CANARY}", session="s")
        assert not there.stores.sessions.is_restricted("shop", "s")
        ended = await there.after(waiting, "approve")
        assert (ended["status"], ended["data_class"], ended["path"]) == ("failed", "restricted", ["agent.a", "agent.b"])
        assert CANARY in there.stores.sessions.load("shop", "s")[0].content
        assert there.stores.sessions.is_restricted("shop", "s")


class Trap:
    """A provider in the cloud that nothing may reach."""

    kind = "trap"

    def __init__(self) -> None:
        self.asked: list[ChatCall] = []

    async def chat(self, call: ChatCall) -> Any:
        self.asked.append(call)

    async def embed(self, target: Target, texts: tuple[str, ...], timeout: float) -> Any:
        self.asked.append(ChatCall(target, tuple(Message("user", text) for text in texts)))


async def test_the_crossing_itself_lets_nothing_restricted_through() -> None:
    """Whoever forgot to look before."""
    trap: Any = Trap()
    far = EndpointSpec("far", Target("trap", "", "m", zone="cloud"), trap)
    passage = Passage(Rules(None, Account("shop", {}, {})), Ledger())
    way: Any = Customs(passage, "a", closed=True).way(far)
    call = ChatCall(far.target, (Message("user", CANARY),))
    with pytest.raises(Withheld):
        await way.chat(call)
    with pytest.raises(Withheld):
        await way.embed(far.target, (CANARY,), 1.0)
    with pytest.raises(Withheld):
        await anext(way.stream(call))
    assert trap.asked == []


async def test_a_call_without_customs_reaches_no_cloud() -> None:
    """A new place that asks models cannot forget what may be sent: it gets nothing out."""
    async with serving(Wanted([agent_spec("a")], **ONE), simulated(["m"])) as served:
        call = ChatCall(Target("", "", ""), (Message("user", CANARY),))
        with pytest.raises(Withheld):
            await served.loop.chat(Ask(call, ("m@1",), deadline=1e9))
    assert served.server.records == []


@pytest.mark.parametrize("data_class", ["restricted", "internal"])
async def test_the_event_log_of_a_restricted_run_quotes_nothing(data_class: str) -> None:
    """The reason of an escalation and an error may quote; of another run they stand there."""

    def fails(arguments: Any, context: Any) -> Any:
        raise RuntimeError(f"no file for {context.text}")

    parts: list[Any] = [
        router_spec("front", {"a": "canary.*", "b": "never"}),
        agent_spec(
            "a",
            models=[],
            data_class=data_class,
            tools=["files"],
            reflex=[rule("ok", call="files.find")],
            escalate_to="b",
            escalate_when=["tool_failed"],
        ),
        agent_spec("b", role="escalation", models=[], tools=["files"], reflex=[rule("ok", call="files.find")]),
    ]
    async with serving(Wanted(parts, [FakeTool("files", {"find": fails})])) as served:
        result = await served.run(CANARY)
    assert result.status == "failed"
    lines = [line(event_in_short(event)).decode() for event in served.events]
    quoting = [json.loads(each)["kind"] for each in lines if CANARY in each]
    assert quoting == ([] if data_class == "restricted" else ["run.escalated", "run.finished"])
    assert len(lines) >= 5


@pytest.mark.parametrize("data_class", ["restricted", "internal"])
async def test_why_a_router_chose_a_restricted_agent_is_in_no_log(data_class: str) -> None:
    parts: list[Any] = [
        router_spec("front", {"a": "my .* file", "b": "never"}),
        agent_spec("a", models=[], data_class=data_class, reflex=[rule("ok")]),
        agent_spec("b"),
    ]
    async with serving(Wanted(parts, **ONE)) as served:
        await served.run(f"my {CANARY} file")
    quoting = [event.kind for event in served.events if CANARY in line(event_in_short(event)).decode()]
    assert quoting == ([] if data_class == "restricted" else ["run.routed"])


@pytest.mark.parametrize("private", [True, False])
async def test_a_part_for_a_restricted_agent_restricts_all_parts_before_any_begins(private: bool) -> None:
    """The other part says that it could not be answered, and no event quotes the request. The control: without a restricted agent
    the other part is answered in the cloud, and they do."""
    front = router_spec("front", {"medic": "ill.*", "broker": "stocks"})
    front["several"] = True
    medic = agent_spec("medic", models=[], reflex=[rule("noted")], data_class="restricted" if private else "internal")
    async with serving(Wanted([front, medic, agent_spec("broker")], **ONE)) as served:
        result = await served.run(f"buy stocks about my illness {CANARY}")
    parts = {part.to: (part.status, part.text.partition(":")[0]) for part in result.parts}
    assert parts["medic"] == ("completed", "noted")
    note = "a part of the request is for medic, and so all of its parts count as restricted"
    quoting = [event.kind for event in served.events if CANARY in line(event_in_short(event)).decode()]
    if private:
        assert served.server.records == [] and parts["broker"] == ("failed", "This part could not be answered")
        assert (result.data_class, result.notes, quoting) == ("restricted", (note,), [])
    else:
        assert len(served.server.records) == 1 and parts["broker"][0] == "completed"
        assert (result.data_class, result.notes) == ("internal", ()) and quoting


async def test_texts_at_which_an_answer_ends_leave_with_placeholders() -> None:
    """They are of the caller too."""
    async with serving(Wanted([agent_spec("a")], **ONE)) as served:
        await served.run("mail a@x.org", options={"stop": ["b@x.org"]})
    (record,) = served.server.records
    assert record.asked.messages[-1]["content"] == "mail [EMAIL_1]" and record.asked.stop == ("[EMAIL_2]",)
