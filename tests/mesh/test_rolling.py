"""A manifest goes over a fleet that answers all the while: node by node, and back where one is unwell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import RunError
from orchestrator.node.asking import Answer
from tests.mesh.sim import Fleet, agent, blueprint, fleet, request

pytestmark = pytest.mark.anyio
GATE = 3.0
FIRST = blueprint({"a": [agent("orders")], "b": [agent("billing")], "c": [agent("desk", exclusive=True)]})
MOVED = blueprint({"a": [agent("desk", exclusive=True)], "b": [agent("orders")], "c": [agent("billing"), agent("new")]})


@asynccontextmanager
async def _serving(asked: tuple[str, ...] = ("orders", "billing", "desk")) -> AsyncIterator[tuple[Fleet, list[Any]]]:
    """Three nodes that serve the first manifest and are asked all the while; and how the requests ended."""
    ends: list[Answer | RunError] = []
    async with fleet() as net:
        for name in "abc":
            node = await net.start(name)
            node.worker.warming, node.worker.work = 1.0, 0.2
        await net.apply(1, FIRST)
        await anyio.sleep(12)

        async def ask(node: str, name: str) -> None:
            here = net.nodes[node]
            with anyio.CancelScope() as scope:  # who asks dies with its node
                here.asking.add(scope)
                try:
                    ends.append(await here.mesh.ask(request(timeout=20), name))
                except RunError as error:
                    ends.append(error)
                finally:
                    here.asking.discard(scope)

        async def keep_asking() -> None:
            while True:
                for node in [name for name, node in net.nodes.items() if node.mesh.state == "ready"]:
                    for name in asked:
                        tasks.start_soon(ask, node, name)
                await anyio.sleep(0.25)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_asking)
            yield net, ends
            tasks.cancel_scope.cancel()
        await anyio.sleep(1)  # they end before their nodes do
    assert len(ends) > 100


async def _first_is_on(net: Fleet) -> None:
    """The node that gets a new agent serves the new manifest, as the first one."""
    while net.nodes["c"].mesh.member.generation == 1:  # noqa: ASYNC110 - on virtual time
        await anyio.sleep(0.1)


def _generations(net: Fleet) -> dict[str, int]:
    return {name: node.mesh.member.generation for name, node in net.nodes.items()}


def _rollouts(net: Fleet) -> list[tuple[str, str]]:
    """What the leaders told of it, as it came."""
    told = [(at, fields) for node in net.nodes.values() for at, kind, fields in node.told if kind == "mesh.rollout"]
    return [(fields["state"], fields["node"]) for _, fields in sorted(told, key=lambda one: one[0])]


def _lost(ends: list[Any]) -> list[Any]:
    return [end for end in ends if not isinstance(end, Answer) or end.result.status != "completed"]


async def test_nodes_take_a_manifest_over_one_at_a_time_and_no_request_is_lost() -> None:
    """Though all agents are elsewhere afterwards, and each node takes a second until it serves."""
    async with _serving() as (net, ends):
        assert await net.update(MOVED) == 2
        seen: set[tuple[int, ...]] = set()
        with anyio.move_on_after(30):
            while True:
                seen.add(tuple(_generations(net).values()))
                await anyio.sleep(0.05)
        assert sorted(sum(one == 2 for one in each) for each in seen) == [0, 1, 2, 3]
        assert _generations(net) == {"a": 2, "b": 2, "c": 2}
        assert net.assigned("a") == {"orders": "b", "billing": "c", "desk": "a", "new": "c"}
        assert _rollouts(net)[-4:] == [("rolling", "c"), ("rolling", "a"), ("rolling", "b"), ("done", "")]
        await anyio.sleep(5)
        assert _lost(ends) == []


async def test_each_node_is_watched_before_the_next_one_begins() -> None:
    """For the health gate."""
    async with _serving() as (net, _):
        await net.update(MOVED)
        await anyio.sleep(30)
        moments = [
            at for node in net.nodes.values() for at, kind, fields in node.told
            if kind == "mesh.holds" and fields["generation"] == 2
        ]  # fmt: skip
        first = sorted({min(at for at in moments if abs(at - one) < GATE / 2) for one in moments})
        assert len(first) >= 3 and all(later - at >= GATE for at, later in pairwise(first))


async def test_a_node_that_cannot_serve_it_turns_the_whole_fleet_back() -> None:
    """At once, with nothing lost: the good manifest is the newest generation then, and says why."""
    async with _serving() as (net, ends):
        net.nodes["a"].worker.refuses = frozenset({2})
        await net.update(MOVED)
        await anyio.sleep(25)
        assert _generations(net) == {"a": 3, "b": 3, "c": 3}
        desired = net.nodes["b"].mesh.member.desired
        assert desired is not None and (desired.undone, desired.before) == (2, None)
        assert desired.why.startswith("node.a: it cannot serve it: generation 2 does not start here")
        assert net.assigned("b") == {"orders": "a", "billing": "b", "desk": "c"}
        assert 2 not in net.nodes["b"].worker.served  # its turn never came
        assert net.nodes["a"].events("mesh.unserved")[0]["generation"] == 2
        assert _lost(ends) == []


async def test_a_node_that_answers_worse_turns_it_back_too() -> None:
    """Requests fail there that did not before."""
    async with _serving() as (net, ends):
        net.nodes["c"].worker.ill = frozenset({2})
        await net.update(MOVED)
        await anyio.sleep(25)
        assert _generations(net) == {"a": 3, "b": 3, "c": 3}
        desired = net.nodes["a"].mesh.member.desired
        assert desired is not None and "requests failed since, and 0 of" in desired.why
        assert {end.node for end in _lost(ends)} == {"c"}
        assert 2 not in net.nodes["a"].worker.served + net.nodes["b"].worker.served


async def test_a_node_that_dies_when_it_takes_it_over_turns_it_back() -> None:
    """The next ones would die too."""
    async with _serving() as (net, _):
        await net.update(MOVED)
        await _first_is_on(net)
        net.crash("c")
        await anyio.sleep(25)
        assert _generations(net) == {"a": 3, "b": 3}
        await net.start("c")
        await anyio.sleep(8)
        assert _generations(net) == {"a": 3, "b": 3, "c": 3}


async def test_a_node_that_is_away_is_passed_over_and_takes_it_over_when_it_is_back() -> None:
    """It does not stop the others."""
    async with _serving() as (net, _):
        net.crash("b")
        await anyio.sleep(11)
        await net.update(MOVED)
        await anyio.sleep(20)
        assert _generations(net) == {"a": 2, "c": 2}
        assert _rollouts(net)[-1] == ("done", "")
        back = await net.start("b")
        await anyio.sleep(8)
        assert back.mesh.member.generation == 2


async def test_a_new_leader_goes_on_where_the_rollout_stands() -> None:
    """It is on the board."""
    async with _serving() as (net, ends):
        await net.update(MOVED)
        await _first_is_on(net)
        [leader] = [name for name, node in net.nodes.items() if node.mesh.leading.epoch is not None]
        net.net.freeze(leader)
        await anyio.sleep(8)
        net.net.thaw(leader)
        await anyio.sleep(30)
        assert set(_generations(net).values()) in ({2}, {3})
        wanted = net.nodes["a"].mesh.member.desired
        assert wanted is not None and (wanted.generation == 2 or wanted.undone == 2)
        assert not [end for end in ends if isinstance(end, Answer) and end.result.status != "completed"]


async def test_a_manifest_that_overtakes_another_one_goes_back_to_what_all_served() -> None:
    """Not to the one that only some had come to."""
    async with _serving() as (net, _):
        await net.update(MOVED)
        await _first_is_on(net)
        net.nodes["b"].worker.refuses = frozenset({3})
        assert await net.update(FIRST) == 3
        desired = net.nodes["a"].mesh.member
        await anyio.sleep(30)
        assert _generations(net) == {"a": 4, "b": 4, "c": 4}
        assert desired.desired is not None and dict(desired.desired.blueprint) == FIRST.as_json()


async def test_a_store_that_is_deleted_in_the_middle_forgets_nothing_that_matters() -> None:
    """The nodes put the manifest back, with the one before it. Only what is exclusive waits until leases are sure again."""
    async with _serving(("orders", "billing")) as (net, ends):
        await net.update(MOVED)
        await _first_is_on(net)
        net.net.store.wipe()
        await anyio.sleep(45)
        assert _generations(net) == {"a": 2, "b": 2, "c": 2}
        assert _lost(ends) == []
