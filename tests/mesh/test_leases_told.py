"""Who holds which lease, as each node tells it: linked, on an island, and of an agent that nobody has. Virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from orchestrator.app.fleet.leases import EVERY, Leases
from tests.mesh.sim import SUBJECTS, Fleet, Node, agent, blueprint, fleet

pytestmark = pytest.mark.anyio
TWO = blueprint({"a": [agent("orders")], "b": [agent("desk", exclusive=True)]}, failover="none")


async def _two(net: Fleet) -> tuple[Node, Node]:
    first, second = [await net.start(name) for name in "ab"]
    await net.apply(1, TWO)
    await anyio.sleep(12)  # virtual time, as all here: placed, and the lease is held
    return first, second


async def _told(node: Node, leases: Leases) -> dict[str, dict[str, Any]]:
    fresh = await leases.look(node.mesh.site.board)
    return {row["lease"]: row for row in leases.told(node.mesh.member.exclusive, None if fresh else node.mesh)}


async def test_every_node_tells_who_holds_each_lease_and_since_when_at_least() -> None:
    async with fleet() as net:
        first, second = await _two(net)
        epoch, leases = second.mesh.epoch_of("desk"), Leases(SUBJECTS)
        net.group.start_soon(leases.watch, first.mesh.site.board)
        await anyio.sleep(EVERY * 3)  # virtual time: looked at three times
        told = await _told(first, leases)
        assert (told["agent.desk"]["node"], told["agent.desk"]["epoch"]) == ("b", epoch)
        assert told["leader"]["node"] in "ab"
        assert 2 * EVERY < told["agent.desk"]["held_seconds"] <= 3 * EVERY + 1
        assert told["agent.desk"]["heard_seconds_ago"] == 0


async def test_on_an_island_it_is_what_was_last_heard_and_what_was_its_own_is_given_up() -> None:
    async with fleet() as net:
        first, second = await _two(net)
        ashore, island = Leases(SUBJECTS), Leases(SUBJECTS)
        await _told(first, ashore), await _told(second, island)
        net.net.part(["a"], ["b", "hub"])
        await anyio.sleep(3)  # virtual time: what was heard grows old
        heard = await _told(first, ashore)
        assert heard["agent.desk"]["node"] == "b" and heard["agent.desk"]["heard_seconds_ago"] >= 3
        net.net.heal()
        net.net.part(["b"], ["a", "hub"])
        await anyio.sleep(10)  # virtual time: an island gives its lease up, and reads no board
        given_up = await _told(second, island)
        assert given_up["agent.desk"] | {"heard_seconds_ago": 0} == {
            "lease": "agent.desk",
            "node": "",
            "epoch": None,
            "held_seconds": None,
            "heard_seconds_ago": 0,
        }
        ended = await _told(first, ashore)  # nobody stands in for b, whose entry has ended
        assert (ended["agent.desk"]["node"], ended["agent.desk"]["heard_seconds_ago"]) == ("", 0)


async def test_a_node_that_has_never_reached_the_board_says_that_it_has_heard_nothing() -> None:
    told = Leases(SUBJECTS).told(["desk"], None)
    assert [(row["lease"], row["node"], row["heard_seconds_ago"]) for row in told] == [
        ("leader", "", None),
        ("agent.desk", "", None),
    ]
