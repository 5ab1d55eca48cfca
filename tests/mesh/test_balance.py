"""Who takes a request where several nodes hold its agent: the real code of nodes, over a simulated net. All waiting is of
virtual time: the clock jumps."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from tests.mesh.sim import Node, fleet, request

pytestmark = pytest.mark.anyio


async def answered(door: Node, agent: str, count: int, rate: float) -> Counter[str]:
    """So many requests come to a door, ``rate`` a second. Gives which nodes answered how many."""
    nodes: Counter[str] = Counter()

    async def ask() -> None:
        nodes[(await door.mesh.ask(request(), agent)).node] += 1

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(ask)
            await anyio.sleep(1 / rate)
    return nodes


async def test_a_slow_agent_of_a_node_leaves_its_other_agents_their_share() -> None:
    """Seen in a fleet: after 12 slow answers of ``bench``, its node got none of 640 requests for ``shared``."""
    async with fleet() as net:
        door = await net.start("a")
        b, c = await net.start("b", "shared"), await net.start("c", "shared", "bench")
        b.worker.work = c.worker.work = 0.13
        c.worker.slow["bench"] = 4.2
        await anyio.sleep(1)
        for pause in (0, 20, 0):
            await anyio.sleep(pause)
            shares = await answered(door, "shared", 200, 32)
            assert 70 <= shares["b"] <= 130, shares
            await answered(door, "bench", 12, 2)


async def test_a_holder_that_was_slow_for_an_agent_answers_its_own_requests_again() -> None:
    """While it is slow they go to the other one; a minute later local is first again at both."""
    async with fleet() as net:
        b, c = await net.start("b", "shared"), await net.start("c", "shared")
        b.worker.work = c.worker.work = 0.13
        await anyio.sleep(1)
        c.worker.slow["shared"] = 4.0
        slow = await answered(c, "shared", 120, 8)
        assert slow["b"] > slow["c"], slow
        c.worker.slow.clear()
        await anyio.sleep(60)
        assert await answered(b, "shared", 100, 8) == {"b": 100}
        assert await answered(c, "shared", 100, 8) == {"c": 100}


async def test_a_door_hears_of_an_answer_that_others_asked_for() -> None:
    """It never asked ``c`` itself, and prefers ``b`` from its first request on."""
    async with fleet() as net:
        door, other = await net.start("a"), await net.start("d")
        b, c = await net.start("b", "shared"), await net.start("c", "shared")
        b.worker.work, c.worker.slow["shared"] = 0.13, 4.0
        await anyio.sleep(1)
        await answered(other, "shared", 40, 8)
        shares = await answered(door, "shared", 10, 8)
        assert shares["b"] >= 9, shares
