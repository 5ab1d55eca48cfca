"""A deployment's limit of runs at once is its own, not a revision's: it holds while one takes over from another."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import anyio
import pytest

from orchestrator.core.errors import QueueFull
from orchestrator.serve.engine import EngineTable
from orchestrator.serve.gate import Gate
from orchestrator.serve.scheduler_limits import SchedulerLimits
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, rule, serving

pytestmark = pytest.mark.anyio
ONE = Wanted([agent_spec("a")], max_concurrent=1)


class Shop:
    """Engines of one deployment in a table, and how long each request took."""

    def __init__(self) -> None:
        self.table = EngineTable()
        self.took: dict[str, float] = {}

    def switch(self, served: Served) -> None:
        """Let this one answer."""
        self.table.switch("shop", served.engine)

    async def ask(self, served: Served, text: str) -> None:
        """One request to an engine."""
        began = anyio.current_time()
        assert (await served.run(text)).status == "completed"
        self.took[text] = round(anyio.current_time() - began)


def revision(wanted: Wanted = ONE) -> AbstractAsyncContextManager[Served]:
    """An engine on a model that takes ten seconds."""
    return serving(wanted, simulated(["m"], pace=Pace(ttft=10.0), slots=4))


async def test_a_new_revision_lets_in_no_more_than_the_deployment_may_have() -> None:
    """Its first request waits for the one that still runs on the old revision, and passes nobody who waits there."""
    shop = Shop()
    async with revision() as old, revision() as new, anyio.create_task_group() as tasks:
        shop.switch(old)
        tasks.start_soon(shop.ask, old, "first")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(shop.ask, old, "second")
        await anyio.wait_all_tasks_blocked()
        shop.switch(new)
        await shop.ask(new, "third")
    assert shop.took == {"first": 10, "second": 20, "third": 30}


async def test_what_is_taken_down_and_applied_again_has_the_same_limit_while_it_drains() -> None:
    """Runs that still end count; once none is left, nothing is kept of it."""
    shop = Shop()
    async with revision() as old, revision() as new, anyio.create_task_group() as tasks:
        shop.switch(old)
        tasks.start_soon(shop.ask, old, "first")
        await anyio.wait_all_tasks_blocked()
        shop.table.remove("shop")
        shop.switch(new)
        await shop.ask(new, "second")
    assert shop.took == {"first": 10, "second": 20}
    shop.table.remove("shop")
    assert shop.table._gates == {}


async def test_a_limit_that_is_raised_lets_in_those_who_wait() -> None:
    """At once; one that is lowered takes no place away from those inside, and lets nobody in before enough have left."""
    shop, two = Shop(), replace(ONE, max_concurrent=2)
    async with revision() as old, revision(two) as wide, revision() as last, anyio.create_task_group() as tasks:
        shop.switch(old)
        tasks.start_soon(shop.ask, old, "first")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(shop.ask, old, "second")
        await anyio.sleep(4)
        shop.switch(wide)
        await anyio.sleep(1)
        shop.switch(last)
        await shop.ask(last, "third")
    assert shop.took == {"first": 10, "second": 14, "third": 19}


async def test_the_line_is_as_long_as_the_new_revision_says() -> None:
    """Those who wait already stay in it."""
    gate, far = Gate(1), anyio.current_time() + 100
    await gate.enter(far)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(gate.enter, far)
        await anyio.wait_all_tasks_blocked()
        gate.limit_to(1, SchedulerLimits().with_queue({"interactive": {"length": 2}}).classes)
        with pytest.raises(QueueFull, match="2 interactive requests wait already"):
            await gate.enter(far)
        for _ in range(3):
            gate.leave()
    assert (gate.inside, gate.waiting) == (0, 0)


def _ruled(most: int) -> tuple[Wanted, list[float]]:
    """An agent with a function that takes eight seconds, by rule; another that only says something; and one with a model. With when
    the function began."""
    began: list[float] = []

    async def slowly() -> str:
        began.append(anyio.current_time())
        await anyio.sleep(8)
        return "done"

    tool = FakeTool("shop", {"look": lambda *_: slowly()})
    agents = [
        agent_spec("looks", tools=["shop"], reflex=[rule("it is {result}", call="shop.look")]),
        agent_spec("says", reflex=[rule("hello")]),
        agent_spec("a"),
    ]
    return Wanted(agents, tools=[tool], max_concurrent=most), began


async def test_functions_of_rules_are_work_and_words_are_none() -> None:
    """No more run at once than may, whoever is first: a model's call has a place as they do. What is said without either waits
    for nobody."""
    wanted, began = _ruled(2)
    ended: dict[str, int] = {}
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=10.0), slots=4)) as served:
        start = anyio.current_time()

        async def ask(name: str, agent: str) -> None:
            assert (await served.run("x", agent=agent)).status == "completed"
            ended[name] = round(anyio.current_time() - start)

        async with anyio.create_task_group() as tasks:
            for name, agent in [("1", "looks"), ("2", "a"), ("3", "looks"), ("4", "looks"), ("5", "a"), ("6", "says")]:
                tasks.start_soon(ask, name, agent)
                await anyio.wait_all_tasks_blocked()
        gate = served.engine.gate
    assert ended == {"6": 0, "1": 8, "2": 10, "3": 16, "4": 18, "5": 26}
    assert [round(at - start) for at in began] == [0, 8, 10]
    assert (gate.inside, gate.waiting, gate.runs) == (0, 0, 0)


async def test_a_function_that_waits_for_a_place_until_the_line_is_over_is_told_so() -> None:
    """And one whose caller goes away leaves none behind."""
    wanted, _ = _ruled(1)
    short = replace(wanted, queue={"interactive": {"length": 1, "timeout": 5.0}})
    async with serving(short) as served, anyio.create_task_group() as tasks:
        tasks.start_soon(served.run, "x")
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(1):
            await served.run("x", agent="looks")
        result = await served.run("x", agent="looks")
        assert result.error is not None
        assert (result.error["kind"], result.error["message"]) == ("QueueFull", "no place was free for 5.0 s")
        assert (served.engine.gate.inside, served.engine.gate.waiting) == (1, 0)
