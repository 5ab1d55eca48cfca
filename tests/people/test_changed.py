"""What has changed while a run waited: nothing is called that was not approved, nothing twice, and nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orchestrator.core.errors import ApprovalClosed
from orchestrator.core.event import Event
from orchestrator.core.request import Request, Result
from orchestrator.testing.endpoint import simulated
from tests.people.parts import Desked, by_model, by_rule, desked, paying, person, shop
from tests.serve.engine.parts import Wanted, agent_spec, rule

pytestmark = pytest.mark.anyio


async def test_a_swapped_argument_after_the_approval_is_refused(tmp_path: Path) -> None:
    """Also by who can write into the database: the engine computes the digest of what it is about to call."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5)), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
        held = dict((await it.desk.find(result.approval)).held)
        (asked,) = held["at"]["wish"]["tool_calls"]
        asked["function"]["arguments"] = json.dumps({"amount": 5_000})
        with it.stores.people._file.transaction() as connection:
            connection.execute("UPDATE approval SET held = ?", (json.dumps(held),))
    async with desked(tmp_path, by_model(tool)) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], tool.calls) == ("ORC543", [])
    assert "other arguments than those that were approved" in found["error"]["message"]


@pytest.mark.parametrize("act", ["approve", "deny"])
async def test_a_manifest_that_changed_its_rule_calls_nothing(tmp_path: Path, act: str) -> None:
    """Not even where the tool needs no approval any more."""
    tool, changed = shop(), shop(approval="never")
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, act)
    wanted = by_rule(changed)
    spec = wanted.parts[0]
    spec["reflex"][0]["arguments"] = {"amount": 9}  # type: ignore[typeddict-item] # the keys are those of the test
    async with desked(tmp_path, wanted) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], changed.calls) == ("ORC543", [])


async def test_a_refusal_holds_where_the_manifest_lets_the_call_pass_by_now(tmp_path: Path) -> None:
    """A person said no to this call."""
    tool, free = shop(), shop(approval="never")
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "deny")
    async with desked(tmp_path, by_rule(free)) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], free.calls) == ("ORC540", [])


async def test_a_rule_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    """With what happened."""
    async with desked(tmp_path, by_rule(shop()), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
    wanted = Wanted([agent_spec("a", models=[], reflex=[rule("hello")])], bound={})
    async with desked(tmp_path, wanted) as it:
        found = await it.end_of(result.id)
    assert found["error"]["message"] == "rule 1 of agent.a is not what it was"


async def test_a_desk_that_opens_again_lets_the_run_go_on(tmp_path: Path) -> None:
    """Whether the verdict came before or after."""
    for number, works in enumerate([False, True]):
        tool, run = shop(), f"run_{number}"
        async with desked(tmp_path, by_rule(tool), works=False) as it:
            result = await it.served.run("pay 5", id=run)
            if not works:
                await it.decide(result, "approve")
        async with desked(tmp_path, by_rule(tool)) as it:
            if works:
                await it.decide(result, "approve")
            assert (await it.end_of(run))["text"] == "done: paid"
        assert len(tool.calls) == 1


async def test_a_call_that_was_cut_off_is_not_made_again(tmp_path: Path) -> None:
    """Nobody knows whether it was made: the run says so."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
        await it.desk.begin(result.approval)
    async with desked(tmp_path, by_rule(tool)) as it:
        found = await it.end_of(result.id)
    assert (found["error"]["code"], tool.calls) == ("ORC543", [])
    assert "it may have been done, or not" in found["error"]["message"]


@pytest.mark.parametrize(
    "outcome", [{"value": "paid once", "text": ""}, {"error": {"message": "closed", "cure": "later"}}]
)
async def test_a_run_goes_on_from_what_its_call_gave(tmp_path: Path, outcome: dict[str, Any]) -> None:
    """Where the runtime ended just after the call."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
        await it.desk.begin(result.approval)
        await it.desk.record(result.approval, outcome)
    async with desked(tmp_path, by_rule(tool)) as it:
        found = await it.end_of(result.id)
    told = found["text"] if "value" in outcome else found["error"]["message"]
    assert (told, tool.calls) == ("done: paid once" if "value" in outcome else "closed", [])


async def test_a_run_that_another_version_kept_ends_and_says_so(tmp_path: Path) -> None:
    """It keeps nothing else back."""
    async with desked(tmp_path, person(), works=False) as it:
        first = await it.served.run("one")
        second = await it.served.run("two", id="run_2")
        await it.decide(first, "answer", "yes")
        await it.decide(second, "answer", "yes")
        with it.stores.people._file.transaction() as connection:
            connection.execute("UPDATE approval SET held = '{}' WHERE id = ?", (first.approval,))
    async with desked(tmp_path, person()) as it:
        assert (await it.end_of("run_2"))["text"] == "yes"
        assert (await it.end_of(first.id))["text"] == "yes"  # an answer needs nothing of what was kept


async def test_a_model_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """After a start, model servers come later than the runtime: nothing is called and nothing lost meanwhile."""
    tool, server = shop(), simulated(["m"], paying(5))
    async with desked(tmp_path, by_model(tool), server, works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
    async with desked(tmp_path, replace(by_model(tool), bound={})) as it:
        while result.approval not in it.desk._rest:  # noqa: ASYNC110 - it gives no sign of it
            await anyio.sleep(0.01)  # the disk is real, and so is its time
        waits = await it.desk.result_of(result.id)
        assert waits is not None and (waits["status"], tool.calls) == ("waiting", [])
        assert it.events("run.finished") == []
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        assert (await it.end_of(result.id))["text"] == 'it said: "paid"'


@pytest.mark.parametrize("fault", ["rate-limit:300s", "unavailable", "server-error"])
async def test_a_model_that_has_no_time_just_now_is_waited_for(tmp_path: Path, fault: str) -> None:
    """What was called is called once, and what came of it waits for the model's next turn; so it does while its server fails."""
    tool, server = shop(), simulated(["m"], paying(5), faults=[f"{fault}@2-50"])
    async with desked(tmp_path, by_model(tool), server) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
        with anyio.fail_after(20):
            while result.approval not in it.desk._rest:  # noqa: ASYNC110 - it gives no sign of it
                await anyio.sleep(0.01)  # the disk is real, and so is its time
        waits = await it.desk.result_of(result.id)
        assert waits is not None and waits["status"] == "waiting"
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        assert (await it.end_of(result.id))["text"] == 'it said: "paid"'
    assert len(tool.calls) == 1


async def tried(it: Desked, result: Result, times: int) -> None:
    """Wait until the desk has tried it so often, each time in vain, and rests."""
    with anyio.fail_after(20):
        while it.desk._tries.get(result.approval, 0) < times:
            it.desk.wake()
            await anyio.sleep(0.01)  # the disk is real, and so is its time


async def test_a_model_that_never_comes_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the patience with it is over."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5)), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
    monkeypatch.setattr("orchestrator.serve.people.PATIENCE", 0.0)
    async with desked(tmp_path, replace(by_model(tool), bound={})) as it:
        await tried(it, result, 1)
        it.desk.wake()
        found = await it.end_of(result.id)
    assert (found["error"]["kind"], tool.calls) == ("NoModel", [])


async def test_a_start_long_after_the_verdict_waits_for_the_deployment(tmp_path: Path) -> None:
    """The device was off over the weekend: what was approved is done once it serves again, and is not thrown away before."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        it.clock.now += 200_000.0
        it.engines.remove("shop")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.desk.run)
            await tried(it, result, 2)
            it.engines.switch("shop", it.served.engine)
            it.desk.wake()
            assert (await it.end_of(result.id))["text"] == "done: paid"
            tasks.cancel_scope.cancel()


async def test_what_is_applied_and_never_serves_ends_the_run_and_says_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before what is applied was brought back, however long that takes; and it does not say that it is not applied."""
    monkeypatch.setattr("orchestrator.serve.people.PATIENCE", 0.0)
    tool = shop()
    async with desked(tmp_path, by_rule(tool)) as it:
        it.restored = False
        result = await it.served.run("pay 5")
        it.engines.remove("shop")
        await it.decide(result, "approve")
        await tried(it, result, 3)
        it.restored = True
        await tried(it, result, 4)
        it.desk.wake()
        found = await it.end_of(result.id)
    assert (found["error"]["code"], tool.calls) == ("ORC543", [])
    assert found["error"]["message"].startswith("shop is applied, and did not come to serve for 0 s")
    assert found["error"]["cure"].startswith("Mend what `orchestrator status shop` says.")


async def test_a_caller_that_goes_away_leaves_what_waits(tmp_path: Path) -> None:
    """The run is kept as waiting, and not as cancelled."""
    async with desked(tmp_path, person()) as it:
        kept = anyio.Event()

        def listen(event: Event) -> None:
            if event.kind == "approval.asked":
                kept.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.served.engine.run, Request("help me", id="run_1"), listen)
            await kept.wait()
            tasks.cancel_scope.cancel()
        waits = await it.desk.result_of("run_1")
        assert waits is not None and waits["status"] == "waiting"
        assert {event.fields["result"].status for event in it.events("run.finished")} == {"waiting"}


async def test_a_stop_just_after_it_was_kept_leaves_what_waits(tmp_path: Path) -> None:
    """Its caller is told that it waits, and not that it was cancelled."""
    async with desked(tmp_path, person()) as it:

        def listen(event: Event) -> None:
            if event.kind == "approval.asked":
                it.served.engine.cancel("the runtime stops")

        result = await it.served.run("help me", listen, session="s")
        waits = await it.desk.result_of(result.id)
    assert waits is not None and (result.status, waits["status"]) == ("waiting", "waiting")


async def test_two_who_decide_at_once_have_one_outcome(tmp_path: Path) -> None:
    """The call is made once, or not at all."""
    tool, lost = shop(), []
    async with desked(tmp_path, by_rule(tool)) as it:
        result = await it.served.run("pay 5")

        async def decide(act: str) -> None:
            try:
                await it.decide(result, act, by=act)
            except ApprovalClosed as error:
                lost.append(error.message)

        async with anyio.create_task_group() as tasks:
            for act in ("approve", "deny", "approve"):
                tasks.start_soon(decide, act)
        found = await it.end_of(result.id)
    assert len(lost) == 2
    assert len(tool.calls) == (found["status"] == "completed")


async def test_a_stop_while_a_run_goes_on_leaves_it_for_the_next_start(tmp_path: Path) -> None:
    """After the approved call, while the model speaks: the call is not made again."""
    tool = shop()
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5)), works=False) as it:
        result = await it.served.run("pay it")
        await it.decide(result, "approve")
    stuck = simulated(["m"], paying(5))
    stuck.arm("hang-before")
    async with desked(tmp_path, by_model(tool), stuck) as it:
        while not tool.calls or (await it.desk.find(result.approval)).outcome is None:  # noqa: ASYNC110 - it gives no sign of it
            await anyio.sleep(0.01)  # the disk is real, and so is its time
        it.served.engine.cancel("the runtime stops")
        await it.served.engine.drained()
        waits = await it.desk.result_of(result.id)
        assert waits is not None and waits["status"] == "waiting"
    async with desked(tmp_path, by_model(tool), simulated(["m"], paying(5))) as it:
        assert (await it.end_of(result.id))["text"] == 'it said: "paid"'
    assert len(tool.calls) == 1


async def test_what_was_put_off_and_then_done_keeps_the_desk_no_longer_awake(tmp_path: Path) -> None:
    """It sleeps until something changes."""
    tool = shop()
    async with desked(tmp_path, by_rule(tool), works=False) as it:
        result = await it.served.run("pay 5")
        await it.decide(result, "approve")
        async with anyio.create_task_group() as tasks:
            it.engines.remove("shop")
            tasks.start_soon(it.desk.run)
            while result.approval not in it.desk._rest:  # noqa: ASYNC110 - it gives no sign of it
                await anyio.sleep(0.01)  # the disk is real, and so is its time
            it.engines.switch("shop", it.served.engine)
            it.desk.wake()
            assert (await it.end_of(result.id))["text"] == "done: paid"
            tasks.cancel_scope.cancel()
        assert (it.desk._rest, it.desk._tries, it.desk._in_work) == ({}, {}, set())
