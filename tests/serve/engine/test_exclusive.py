"""An exclusive agent answers under its lease alone, whichever way a request comes to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import pytest

from orchestrator.core.errors import LeaseLost, NoHolder
from orchestrator.core.handed import NOTHING_HANDED, Handed
from orchestrator.core.request import Request, Result
from orchestrator.ports.effects import Effect
from orchestrator.ports.tool import ToolContext
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio
SOLD: Final = Script(default="sold here")


class Others:
    """The other nodes, which answer at once; ``epoch`` is that of the lease which this node has."""

    node = "edge-1"

    def __init__(self, epoch: int | None) -> None:
        self.away = 0
        self.busy = False
        self.working = 0
        self.epoch = epoch
        self.asked: list[str] = []

    def sooner(self, agent: str) -> bool:
        """Whether this node is the busier one."""
        return self.busy

    def begin(self, agent: str) -> int | None:
        self.working += self.epoch is not None
        return self.epoch if agent == "till" else 0

    def end(self, agent: str, epoch: int) -> None:
        self.working -= 1

    def holds(self, agent: str, epoch: int) -> bool:
        return self.epoch == epoch if agent == "till" else True

    async def answer(
        self, request: Request, say: Callable[[str], None] | None, key: str = "", handed: Handed = NOTHING_HANDED
    ) -> Result:
        self.asked.append(request.agent)
        return Result(request.id, "shop", 1, "completed", "sold there", request.agent, node="edge-2")

    async def look(self, node: str, run: str, agent: str) -> Result:
        raise NoHolder(f"{node} does not answer")

    async def act(self, effect: Effect) -> None:
        if self.epoch != effect.epoch:
            raise LeaseLost("the lease is over")


@asynccontextmanager
async def till(
    others: Others, script: Script = SOLD, tool: FakeTool | None = None, **fields: Any
) -> AsyncIterator[Served]:
    """A node that holds the agent."""
    spec = agent_spec("till", **fields)
    spec["exclusive"] = True
    slow = simulated(["m"], script, pace=Pace(ttft=2.0))
    async with serving(Wanted([spec], [tool] if tool is not None else []), slow) as served:
        served.engine.elsewhere = others
        yield served


async def test_with_its_lease_it_answers_here() -> None:
    async with till(others := Others(7)) as served:
        result = await served.run("a nail")
    assert (result.text, result.node, others.asked, others.working) == ("sold here", "edge-1", [], 0)


async def test_without_its_lease_the_node_is_asked_that_has_it() -> None:
    """In a partition both would answer otherwise, each its own callers."""
    async with till(others := Others(None)) as served:
        result = await served.run("a nail")
    assert (result.text, result.node, others.asked) == ("sold there", "edge-2", ["till"])
    assert served.server.records == []


async def test_what_is_restricted_is_not_asked_elsewhere() -> None:
    async with till(others := Others(None)) as served:
        result = await served.run("a nail", data_class="restricted")
    assert result.error is not None and result.error["code"] == "ORC579" and others.asked == []


async def _asked_while_it_is_lost(served: Served, others: Others, later: int | None, **request: Any) -> Result:
    async def lose() -> None:
        await anyio.sleep(1)
        others.epoch = later

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lose)
        return await served.run("a nail", **request)
    raise AssertionError


@pytest.mark.parametrize("later", [None, 9])
async def test_an_answer_that_was_ready_after_its_lease_is_none(later: int | None) -> None:
    """Another node may have answered in between, also where this one has got it again since: whoever has it then is asked, as for
    a request of another node. What was worked on in vain is spent all the same."""
    async with till(others := Others(7)) as served:
        result = await _asked_while_it_is_lost(served, others, later)
    assert (result.text, result.node, others.asked, others.working) == ("sold there", "edge-2", ["till"], 0)
    assert result.usage.model_calls == 1


@pytest.mark.parametrize("streams", [True, False])
async def test_what_was_told_or_may_not_leave_is_not_begun_anew_after_its_lease(streams: bool) -> None:
    """Pieces of two answers are never put together; and the node that has the lease now may be another one."""
    async with till(others := Others(7)) as served:
        if streams:
            result = await _asked_while_it_is_lost(served, others, None, listen=lambda event: None)
        else:
            result = await _asked_while_it_is_lost(served, others, None, data_class="restricted")
    assert result.error is not None and result.error["code"] == "ORC579" and others.asked == []
    assert "agent.till is exclusive, and edge-1 does not have its lease now" in result.error["message"]


async def test_nothing_is_done_to_the_outside_after_the_lease() -> None:
    """Each call of a tool that may change something looks again: here the lease is over while the first one looks."""
    others = Others(7)

    def look(given: Mapping[str, Any], context: ToolContext) -> str:
        others.epoch = None
        return "one left"

    tool = FakeTool("shop", {"look": look, "sell": "sold"})
    script = Script([Rule("", say="sold", calls=(("shop_look", {}), ("shop_sell", {})))])
    async with till(others, script, tool, tools=["shop"]) as served:
        result = await served.run("a nail")
    assert ([name for name, *_ in tool.calls], others.working) == (["shop.look"], 0)
    assert result.error is not None and result.error["code"] == "ORC579"
