"""Several nodes under a manifest: who holds what, who leads, and what happens when some of them are away.

All waiting is of virtual time: the clock jumps.
"""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import NoHolder
from tests.mesh.sim import Fleet, agent, blueprint, fleet, request

pytestmark = pytest.mark.anyio

THREE = blueprint({"a": [agent("orders")], "b": [agent("billing")], "c": [agent("desk", exclusive=True)]})


async def _three(net: Fleet) -> None:
    for name in "abc":
        await net.start(name)
    await net.apply(1, THREE)
    await anyio.sleep(12)


async def test_each_node_holds_what_the_manifest_names_there() -> None:
    """One leads, and all know of it."""
    async with fleet() as net:
        await _three(net)
        assert {name: sorted(node.worker.agents) for name, node in net.nodes.items()} == {
            "a": ["orders"],
            "b": ["billing"],
            "c": ["desk"],
        }
        assert sum(node.mesh.leading.epoch is not None for node in net.nodes.values()) == 1
        for node in net.nodes.values():
            for name, held in (("orders", "a"), ("billing", "b"), ("desk", "c")):
                assert (await node.mesh.ask(request(), name)).node == held


async def test_a_new_fleet_has_its_first_leader_within_three_seconds() -> None:
    """A lease that nobody has heard of is looked at for a moment only."""
    async with fleet() as net:
        for name in "abc":
            await net.start(name)
        await anyio.sleep(3)
        assert sum(node.mesh.leading.epoch is not None for node in net.nodes.values()) == 1


async def test_others_stand_in_for_a_dead_node_and_give_back_what_they_held() -> None:
    """After 10 s it is dead; after 10 s of being there its agents go home."""
    async with fleet() as net:
        await _three(net)
        net.crash("b")
        await anyio.sleep(18)
        answer = await net.nodes["a"].mesh.ask(request(), "billing")
        assert answer.node in ("a", "c")
        await net.start("b")
        await anyio.sleep(8)
        assert "billing" not in net.nodes["b"].worker.agents or net.assigned("a")["billing"] != "b"
        await anyio.sleep(12)
        assert (net.assigned("a")["billing"], sorted(net.nodes["b"].worker.agents)) == ("b", ["billing"])
        assert (await net.nodes["a"].mesh.ask(request(), "billing")).node == "b"


async def test_a_node_serves_its_last_good_assignment_without_a_network() -> None:
    """What it kept is enough."""
    async with fleet() as net:
        await _three(net)
        net.crash("a")
        net.net.part(["a"], ["b", "c", "hub"])
        again = await net.start("a")
        answer = await again.mesh.ask(request(), "orders")
        assert (answer.node, again.events("mesh.holds")[0]["agents"]) == ("a", ["orders"])


async def test_a_node_that_has_ended_asks_nobody() -> None:
    """Whoever asks through it meanwhile is told so, as where no node holds the agent."""
    async with fleet() as net:
        await _three(net)
        gone = net.nodes["a"].mesh
        net.crash("a")
        await anyio.sleep(1)
        assert not gone.started
        with pytest.raises(NoHolder, match="a does not take part in its fleet now"):
            await gone.ask(request(), "orders")


async def test_an_island_goes_on_with_all_but_exclusive_agents() -> None:
    """A node that sees nobody stands in for all that it can, and gives it back when the others are there again."""
    async with fleet() as net:
        await _three(net)
        net.net.part(["a"], ["b", "c", "hub"])
        await anyio.sleep(25)
        alone = net.nodes["a"]
        assert sorted(alone.worker.agents) == ["billing", "orders"]
        assert (await alone.mesh.ask(request(), "billing")).node == "a"
        with pytest.raises(NoHolder):
            await alone.mesh.ask(request(timeout=20), "desk")
        net.net.heal()
        await anyio.sleep(25)
        assert sorted(alone.worker.agents) == ["orders"]


async def test_a_deleted_store_is_filled_again_by_those_who_have_kept_what_was_there() -> None:
    """The manifest comes back, another epoch begins far above the last, and every node holds what it held."""
    async with fleet() as net:
        await _three(net)
        before = max(node.mesh.fences.highest for node in net.nodes.values())
        net.net.store.wipe()
        await anyio.sleep(25)
        after = max(node.mesh.fences.highest for node in net.nodes.values())
        assert after > before + 900
        assert net.assigned("a") == {"orders": "a", "billing": "b", "desk": "c"}
        assert (await net.nodes["a"].mesh.ask(request(), "desk")).node == "c"


async def test_in_a_very_large_fleet_a_node_says_less_often_that_it_lives_and_at_once_what_has_changed() -> None:
    """A thousand nodes are wanted, of which three run: they do not take each other for dead meanwhile."""
    homes = {name: [agent(f"agent-{name}")] for name in "abc"} | {f"n{number}": [] for number in range(997)}
    async with fleet() as running:
        for name in "abc":
            await running.start(name)
        await running.apply(1, blueprint(homes))
        await anyio.sleep(30)
        seen = [running.nodes[name].mesh.table for name in "abc"]
        before = running.net.delivered
        await anyio.sleep(60)
        assert 3 * 3 * 20 <= running.net.delivered - before <= 3 * 3 * 27  # a beat in 2.4 s, which all three hear
        assert all(table.health(name, anyio.current_time()) == "alive" for table in seen for name in "abc")
        running.nodes["a"].mesh.takes("drained")
        await anyio.sleep(0.6)
        assert [beat.state for table in seen if (beat := table.beat("a"))] == ["draining"] * 3
        running.crash("c")
        await anyio.sleep(9)
        assert seen[0].health("c", anyio.current_time()) in ("alive", "suspect")
        await anyio.sleep(3)
        assert seen[0].health("c", anyio.current_time()) == "suspect"


async def test_a_full_node_whose_work_is_short_may_be_asked_again_soon() -> None:
    """It says when a place will be free, as far as it knows; a request that waited a quarter of a second for a work of ten
    milliseconds would wait in vain."""
    async with fleet() as net:
        for name in "ab":
            await net.start(name, *(["x"] if name == "b" else []))
        there = net.nodes["b"].worker
        there.slots, there.queue, there.work = 1, 0, 0.01
        await anyio.sleep(2)
        took: list[float] = []

        async def ask() -> None:
            began = anyio.current_time()
            await net.nodes["a"].mesh.ask(request(), "x")
            took.append(anyio.current_time() - began)

        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(ask)
        assert len(took) == 2 and max(took) < 0.06


async def test_the_term_of_leases_is_that_of_the_manifest() -> None:
    """Another node leads after a little more than it; and while it changes, no two do."""
    async with fleet() as net:
        for name in "abc":
            await net.start(name)
        await net.apply(1, replace_lease(THREE, 3.0))
        await anyio.sleep(14)
        [leader] = leaders(net)
        net.crash(leader)
        begun = anyio.current_time()
        while not leaders(net):  # noqa: ASYNC110 - on virtual time
            await anyio.sleep(0.05)
        assert 1.5 < anyio.current_time() - begun < 4.5
        assert {node.mesh.leading.lease.terms.fence for node in net.nodes.values()} == {2.25}
        await net.apply(2, replace_lease(THREE, 12.0))
        for _ in range(200):
            await anyio.sleep(0.1)
            assert len(leaders(net)) <= 1
        assert {node.mesh.leading.lease.terms.fence for node in net.nodes.values()} == {9.0}


def leaders(net: Fleet) -> list[str]:
    return [name for name, node in net.nodes.items() if node.mesh.leading.epoch is not None]


def replace_lease(whole: Blueprint, seconds: float) -> Blueprint:
    assert whole.coordination is not None
    return replace(whole, coordination={**whole.coordination, "lease": seconds})


async def test_a_cordoned_node_answers_for_what_it_holds_and_is_given_nothing_more() -> None:
    """Not even its own agent back, until it takes its share again; a drained one gives away what it may."""
    async with fleet() as net:
        await _three(net)
        net.nodes["b"].mesh.takes("cordoned")
        net.crash("a")
        await anyio.sleep(18)
        assert net.assigned("b") == {"orders": "c", "billing": "b", "desk": "c"}
        assert (await net.nodes["c"].mesh.ask(request(), "billing")).node == "b"
        await net.start("a")
        net.nodes["a"].mesh.takes("cordoned")
        await anyio.sleep(20)
        assert net.assigned("b")["orders"] == "c"
        net.nodes["a"].mesh.takes("shared")
        await anyio.sleep(18)
        assert net.assigned("b")["orders"] == "a"
        net.nodes["b"].mesh.takes("drained")
        await anyio.sleep(8)
        assert net.assigned("a")["billing"] in ("a", "c")
        assert (await net.nodes["a"].mesh.ask(request(), "billing")).node in ("a", "c")


async def test_a_request_for_an_agent_whose_nodes_are_all_drained_is_told_so_with_the_cure() -> None:
    """It is answered where it is held, and once one of them takes its share again also through others."""
    async with fleet() as net:
        await _three(net)
        for name in "abc":
            net.nodes[name].mesh.takes("drained")
        await anyio.sleep(12)
        with pytest.raises(
            NoHolder, match="no node takes requests for billing now: b, which holds it, is drained"
        ) as told:
            await net.nodes["a"].mesh.ask(request(), "billing")
        assert told.value.cure == "orchestrator node uncordon, on b"
        net.nodes["b"].mesh.takes("shared")
        await anyio.sleep(2)
        assert (await net.nodes["a"].mesh.ask(request(), "billing")).node == "b"


async def test_where_one_holder_is_drained_and_another_is_dead_both_are_told() -> None:
    async with fleet() as net:
        here, there = await net.start("a"), await net.start("b", "x")
        await net.start("c", "x")
        await anyio.sleep(1)
        there.mesh.takes("drained")
        net.net.freeze("c")
        await anyio.sleep(12)
        with pytest.raises(NoHolder, match="b, which holds it, is drained; of the others: no node holds x now"):
            await here.mesh.ask(request(), "x")
