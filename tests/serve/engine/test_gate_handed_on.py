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
from tests.serve.engine.parts import Served, Wanted, agent_spec, serving

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
