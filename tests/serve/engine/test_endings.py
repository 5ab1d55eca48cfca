"""How runs end: callers that go away, gates, and engines that are drained."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import anyio
import pytest

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import DeadlinePassed, NoSuchDeployment, QueueFull
from orchestrator.core.event import Event
from orchestrator.core.request import Result
from orchestrator.serve.engine import EngineTable
from orchestrator.serve.gate import Gate
from orchestrator.serve.scheduler_limits import PRIORITIES, SchedulerLimits
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Script
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, router_spec, rule, serving

CLASSES: Final[tuple[tuple[str, PriorityClass], ...]] = (
    ("b1", "bulk"),
    ("d", "default"),
    ("i1", "interactive"),
    ("b2", "bulk"),
    ("s", "system"),
    ("i2", "interactive"),
)
pytestmark = pytest.mark.anyio
AGENT = Wanted([agent_spec("a")])


@pytest.fixture
async def slow() -> AsyncIterator[Served]:
    """An engine on a model that takes ten seconds and serves two at once."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=10.0), slots=2)) as served:
        yield served


async def test_a_caller_that_goes_away_cancels_the_call_on_the_server() -> None:
    """The server's own log has it, the slot is free again, and the run is told as cancelled."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=10.0), slots=1)) as served:
        with anyio.move_on_after(3.0):
            await served.run("gone")
        assert [record.outcome for record in served.server.records] == ["cancelled"]
        finished = served.events[-1]
        assert finished.kind == "run.finished" and finished.fields["result"].error["kind"] == "RunCancelled"
        began = anyio.current_time()
        assert (await served.run("next")).text == "next"
        assert anyio.current_time() - began == pytest.approx(10)
        assert served.engine.in_flight == 0


async def test_a_listener_that_goes_away_in_the_middle_of_a_stream_stops_it() -> None:
    """The server made only a few tokens."""
    server = simulated(["m"], Script(default="word " * 300), pace=Pace(tps=10))
    heard: list[Event] = []
    async with serving(AGENT, server) as served:
        with anyio.move_on_after(8.0):
            await served.run("go", heard.append)
    assert server.records[0].outcome == "cancelled" and 0 < server.records[0].tokens < 100
    assert any(event.kind == "run.delta" for event in heard)


async def test_a_run_that_is_cut_off_tells_what_it_has_cost() -> None:
    """Reckoned, and marked so: its server gave no counts."""
    server = simulated(["m"], Script(default="word " * 300), pace=Pace(tps=10))
    async with serving(AGENT, server) as served:
        with anyio.move_on_after(8.0):
            await served.run("go", lambda _: None)
        usage = served.events[-1].fields["result"].usage
    assert (usage.model_calls, usage.estimated) == (1, True)
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 50


async def ended_in_the_router(timeout: float | None, patience: float, pace: Pace) -> Result:
    """A run whose router asks a model first, with this timeout, by a caller that waits no longer than ``patience``."""
    router = router_spec("front", {"a": "never"}, strategy="intent", models=["m"], default="a", on_unsure="default")
    wanted = Wanted([router, agent_spec("a", models=[], reflex=[rule("by rule")])])
    async with serving(wanted, simulated(["m"], pace=pace)) as served:
        with anyio.move_on_after(patience):
            await served.run("go", timeout=timeout)
        result = served.events[-1].fields["result"]
    assert isinstance(result, Result)
    return result


@pytest.mark.parametrize(
    ("timeout", "patience", "fault", "text"),
    [(6.0, 60.0, "DeadlinePassed", "by rule"), (None, 3.0, "RunCancelled", "")],
    ids=["half of the time", "caller gone"],
)
async def test_a_routers_call_that_is_cut_off_costs_what_an_agents_does(
    timeout: float | None, patience: float, fault: str, text: str
) -> None:
    """Its server had read the question and worked on it; the count is reckoned, and marked so. What is left of the time is the
    default's."""
    gone = await ended_in_the_router(timeout, patience, Pace(ttft=10.0))
    assert (gone.text, gone.error["kind"] if gone.error else "DeadlinePassed") == (text, fault)
    (step,) = [step for step in gone.steps if step.kind == "model"]
    assert (step.subject, step.detail["endpoint"], step.detail["fault"]) == ("router.front", "m@1", fault)
    assert (gone.usage.model_calls, gone.usage.estimated, gone.usage.completion_tokens) == (1, True, 0)
    assert gone.usage.prompt_tokens == step.detail["prompt_tokens"] > 20
    assert (gone.timings["model"], gone.timings["total"]) == (3000, 3000)


async def test_a_run_that_never_got_its_turn_has_cost_nothing() -> None:
    """Its call waited, and no server has seen it."""
    wanted = Wanted([agent_spec("a")], slots=1)
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0))) as served, anyio.create_task_group() as tasks:
        tasks.start_soon(served.run, "first")
        await anyio.sleep(1.0)
        with anyio.move_on_after(3.0):
            await served.run("second")
        usage = served.events[-1].fields["result"].usage
        tasks.cancel_scope.cancel()
    assert usage.model_calls == usage.prompt_tokens == 0


async def test_the_call_of_a_caller_that_went_away_is_in_the_runs_story() -> None:
    """With its endpoint and its time, which is the model's and not the engine's."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=10.0), slots=1)) as served:
        with anyio.move_on_after(3.0):
            await served.run("gone")
        gone = served.events[-1].fields["result"]
    assert [(step.kind, step.detail["endpoint"], step.detail["fault"]) for step in gone.steps] == [
        ("model", "m@1", "RunCancelled")
    ]
    assert gone.timings == {"total": 3000, "queue": 0, "model": 3000, "tool": 0, "engine": 0}


async def test_a_caller_that_went_away_from_the_queue_was_in_the_queue() -> None:
    """Its time is the queue's."""
    async with serving(Wanted([agent_spec("a")], slots=1), simulated(["m"], pace=Pace(ttft=10.0))) as served:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.run, "first")
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(3.0):
                await served.run("gone")
        gone = next(event.fields["result"] for event in served.events if event.kind == "run.finished")
    assert gone.timings == {"total": 3000, "queue": 3000, "model": 0, "tool": 0, "engine": 0}


async def test_a_function_in_work_is_cancelled_too() -> None:
    """And its step is told."""

    async def sleepy() -> int:
        await anyio.sleep(1000)
        return 1

    tool = FakeTool("shop", {"find": lambda given, context: sleepy()})
    wanted = Wanted([agent_spec("a", tools=["shop"], reflex=[rule("x", call="shop.find")])], [tool])
    async with serving(wanted) as served:
        with anyio.move_on_after(3.0):
            await served.run("gone")
        steps = served.events[-1].fields["result"].steps
    assert [(step.kind, step.detail["outcome"]) for step in steps] == [("tool", "cancelled")]


async def test_an_engine_that_is_cancelled_ends_its_runs_with_a_typed_error() -> None:
    """The caller gets ``RunCancelled`` with why, and the server's own log has it; a run that waits in line ends too."""
    wanted = Wanted([agent_spec("a")], max_concurrent=1)
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=1000.0))) as served:
        results = []

        async def ask(text: str, session: str) -> None:
            results.append(await served.run(text, session=session))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "one", "")
            tasks.start_soon(ask, "two", "s")
            await anyio.wait_all_tasks_blocked()
            served.engine.cancel("it was stopped")
            await served.engine.drained()
        assert [(each.error["kind"], each.error["message"]) for each in results if each.error] == [
            ("RunCancelled", "it was stopped")
        ] * 2
        assert [record.outcome for record in served.server.records] == ["cancelled"]


async def test_an_engine_is_drained_when_its_last_run_has_ended() -> None:
    """Everybody who waits for it is told."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=10.0))) as served:
        drained: list[float] = []

        async def wait() -> None:
            await served.engine.drained()
            drained.append(anyio.current_time())

        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.run, "one")
            await anyio.sleep(4)
            tasks.start_soon(served.run, "two")
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(wait)
            tasks.start_soon(wait)
        assert [round(at - began) for at in drained] == [14, 14]
        await served.engine.drained()


async def test_a_deployment_may_limit_how_many_runs_are_in_work() -> None:
    """The others wait in order, and their waiting is queue time."""
    wanted = Wanted([agent_spec("a")], max_concurrent=2)
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0), slots=8)) as served:
        done: list[str] = []

        async def ask(text: str) -> None:
            await anyio.sleep(int(text) / 1000)
            result = await served.run(text)
            done.append(text)
            assert result.timings["queue"] == pytest.approx(int(text) // 2 * 10_000, abs=100)
            assert result.timings["engine"] < 1

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(ask, str(number))
        assert done == ["0", "1", "2", "3", "4", "5"]


async def test_a_full_line_turns_requests_away() -> None:
    """With a typed error that says when to come again."""
    wanted = Wanted([agent_spec("a")], max_concurrent=1, queue={"interactive": {"length": 2}})
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0))) as served:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(served.run, "x")
            await anyio.sleep(1)
            result = await served.run("y")
        assert result.error is not None and result.error["kind"] == "QueueFull" and result.error["retry_after"] > 0


async def test_a_run_that_waits_too_long_at_the_gate_is_told() -> None:
    """And the place goes to the next."""
    wanted = Wanted([agent_spec("a")], max_concurrent=1)
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0))) as served:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.run, "x")
            await anyio.sleep(1)
            result = await served.run("y", timeout=3.0)
        assert result.error is not None and result.error["kind"] == "DeadlinePassed"
        assert (await served.run("z")).status == "completed"


async def test_the_manifest_says_how_long_a_class_waits_at_the_gate() -> None:
    """Its patience ends before the run's own time: the line is full, as it is at an endpoint."""
    wanted = Wanted([agent_spec("a")], max_concurrent=1, queue={"bulk": {"timeout": 0.2}})
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0))) as served:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.run, "x")
            await anyio.sleep(1)
            result = await served.run("y", priority="bulk", timeout=2.0)
        assert result.error is not None
        assert (result.error["kind"], result.error["message"]) == ("QueueFull", "no place was free for 0.2 s")
        assert result.timings["total"] == pytest.approx(200)
        assert served.engine.gate.waiting == 0


@pytest.mark.parametrize("priority", PRIORITIES)
async def test_where_the_manifest_says_nothing_the_gate_has_the_lines_of_an_endpoint(priority: PriorityClass) -> None:
    """As many of a class wait, and as long."""
    usual = SchedulerLimits().classes[priority]
    async with serving(Wanted([agent_spec("a")], max_concurrent=1)) as served, anyio.create_task_group() as tasks:
        gate, began = served.engine.gate, anyio.current_time()
        await gate.enter(began + 1000)
        waited: list[float] = []

        async def wait() -> None:
            with pytest.raises(QueueFull):
                await gate.enter(began + 1000, priority)
            waited.append(anyio.current_time() - began)

        for _ in range(usual.length + 1):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert (gate.waiting, waited) == (usual.length, [0.0])
    assert waited[1:] == pytest.approx([usual.timeout] * usual.length)


async def test_the_gate_loses_no_place_whoever_gives_up_when() -> None:
    """Cancelled at every moment, also just as its turn comes."""
    gate = Gate(1)
    for cancel_at in [x / 4 for x in range(1, 13)]:
        await gate.enter(anyio.current_time() + 100)
        entered = 0

        async def wait(until: float) -> None:
            nonlocal entered
            with anyio.move_on_after(until):
                await gate.enter(anyio.current_time() + 100)
                entered += 1
                await anyio.sleep(0.1)
                gate.leave()
                return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, cancel_at)
            tasks.start_soon(wait, 100)
            await anyio.sleep(2)
            gate.leave()
        assert entered >= 1 and (gate.inside, gate.waiting) == (0, 0), cancel_at


async def test_the_gate_lets_in_by_order_and_has_a_bounded_line() -> None:
    """First come, first served."""
    gate = Gate(1, SchedulerLimits().with_queue({"interactive": {"length": 1}}).classes)
    far = anyio.current_time() + 10
    await gate.enter(far)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.enter, far)
        await anyio.sleep(1)
        assert gate.waiting == 1 and not gate.enter_now()
        with pytest.raises(QueueFull):
            await gate.enter(far)
        gate.leave()
    with pytest.raises(DeadlinePassed):
        await gate.enter(anyio.current_time() + 1)
    gate.leave()
    assert gate.inside == 0


async def test_the_gate_lets_in_the_more_urgent_class_first() -> None:
    """First come, first served within a class; one full line keeps no other class from waiting."""
    gate = Gate(1, SchedulerLimits().with_queue({"bulk": {"length": 2}}).classes)
    far = anyio.current_time() + 1000
    came: list[str] = []

    async def wait(name: str, priority: PriorityClass) -> None:
        await gate.enter(far, priority)
        came.append(name)

    await gate.enter(far)
    async with anyio.create_task_group() as tasks:
        for name, priority in CLASSES:
            tasks.start_soon(wait, name, priority)
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(QueueFull):
            await gate.enter(far, "bulk")
        for _ in CLASSES:
            gate.leave()
            await anyio.wait_all_tasks_blocked()
    gate.leave()
    assert came == ["s", "i1", "i2", "d", "b1", "b2"]
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_at_the_gate_nobody_waits_for_ever() -> None:
    """Waiting makes a run more urgent, as it does at an endpoint: a stream of visitors does not starve the rest."""
    gate = Gate(1)
    far = anyio.current_time() + 1000
    came: list[str] = []

    async def wait(priority: PriorityClass) -> None:
        await gate.enter(far, priority)
        came.append(priority)

    await gate.enter(far)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "default")
        await anyio.sleep(31)
        tasks.start_soon(wait, "interactive")
        for _ in range(2):
            await anyio.wait_all_tasks_blocked()
            gate.leave()
    assert came == ["default", "interactive"]


async def test_an_engine_tells_the_gate_the_class_of_a_request() -> None:
    """The one that a person waits for goes before the bulk that came first."""
    wanted = Wanted([agent_spec("a")], max_concurrent=1)
    ended: list[str] = []
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0))) as served, anyio.create_task_group() as tasks:

        async def ask(text: str, priority: PriorityClass) -> None:
            await served.run(text, priority=priority)
            ended.append(text)

        asked: list[tuple[str, PriorityClass]] = [("first", "default"), ("bulk", "bulk"), ("person", "interactive")]
        for text, priority in asked:
            tasks.start_soon(ask, text, priority)
            await anyio.sleep(0.1)
    assert ended == ["first", "person", "bulk"]


async def test_a_switch_of_engines_leaves_runs_where_they_are() -> None:
    """A request in work stays on its revision; the next one meets the new one."""
    async with serving(AGENT, simulated(["m"], pace=Pace(ttft=10.0))) as old, serving(AGENT) as new:
        table = EngineTable()
        assert table.switch("shop", old.engine) is None
        results: list[str] = []

        async def ask() -> None:
            results.append((await old.run("slow")).status)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1)
            assert table.switch("shop", new.engine) is old.engine
            assert table.get("shop") is new.engine and table.names() == ["shop"]
            assert old.engine.in_flight == 1
        assert results == ["completed"]
        assert table.remove("shop") is new.engine
        with pytest.raises(NoSuchDeployment, match='no deployment is called "shop"'):
            table.get("shop")
