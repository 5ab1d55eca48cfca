"""An exclusive agent's effects: under its lease, with its epoch, never an older one. All waiting
is of virtual time: the clock jumps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from orchestrator.app.fleet.elsewhere import FleetElsewhere
from orchestrator.app.simulation.fleet import MemoryKept
from orchestrator.core.errors import LeaseLost, NoHolder
from orchestrator.node.asking import Way
from orchestrator.node.leasing import Lives
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.effects import Effect
from tests.mesh.sim import Fleet, agent, blueprint, fleet, request

pytestmark = pytest.mark.anyio
THREE = blueprint({"a": [agent("orders")], "b": [agent("billing")], "c": [agent("desk", exclusive=True)]})


async def _three(net: Fleet) -> None:
    for name in "abc":
        await net.start(name)
    await net.apply(1, THREE)
    await anyio.sleep(12)


def effect(epoch: int, call: str) -> Effect:
    return Effect("fleet", "desk", "book.add", call, epoch)


async def test_a_node_that_has_lost_the_lease_does_nothing_more_and_the_next_holder_has_a_higher_epoch(
    tmp_path: Path,
) -> None:
    """Also where it has the lease again by the time that the tool is called: another one may have acted in between."""
    stores = open_stores(tmp_path / "state.db")
    async with fleet() as net:
        await _three(net)
        here = FleetElsewhere("c", lambda: net.nodes["c"].mesh, stores.effects)
        other = FleetElsewhere("a", lambda: net.nodes["a"].mesh, stores.effects)
        mine = net.nodes["c"].mesh
        first = mine.epoch_of("desk")
        assert first is not None and net.nodes["a"].mesh.epoch_of("desk") is None
        await here.act(effect(first, "one"))
        with pytest.raises(LeaseLost, match=r"a has lost the lease of agent\.desk"):
            await other.act(effect(first, "none"))
        net.net.part(["c"], ["a", "b", "hub"])
        await anyio.sleep(8)  # longer than a lease: what ran on at the hub would be this very one, with its epoch
        with pytest.raises(LeaseLost, match=r"c has lost the lease of agent\.desk"):
            await here.act(effect(first, "two"))
        net.net.heal()
        await anyio.sleep(25)
        again = mine.epoch_of("desk")
        assert again is not None and again > first
        with pytest.raises(LeaseLost, match=r"has lost the lease of agent\.desk while it worked"):
            await here.act(effect(first, "three"))
        await here.act(effect(again, "four"))
    rows = stores.effects._file.rows("SELECT call, epoch FROM effect ORDER BY epoch")
    assert rows == [("one", first), ("four", again)]
    stores.close()


MOVED = blueprint({"a": [agent("orders"), agent("desk", exclusive=True)], "b": [agent("billing")], "c": []})


async def _until(true: Callable[[], bool], seconds: float) -> float:
    began = anyio.current_time()
    while not true():
        await anyio.sleep(0.05)
        assert anyio.current_time() - began < seconds
    return anyio.current_time() - began


async def test_an_agent_that_moves_goes_over_once_what_was_begun_has_ended() -> None:
    """The old holder takes nothing new, and keeps the lease for what it works on; then the new one has it, not before."""
    async with fleet() as net:
        await _three(net)
        old, new = net.nodes["c"].mesh, net.nodes["a"].mesh
        epoch = old.begin("desk")
        assert epoch and old.holds("desk", epoch)
        await net.apply(2, MOVED)
        await _until(lambda: old.epoch_of("desk") is None, 100)
        for _ in range(60):
            await anyio.sleep(0.2)
            assert old.holds("desk", epoch) and old.begin("desk") is None and new.epoch_of("desk") is None
        old.end("desk", epoch)
        await _until(lambda: new.epoch_of("desk") is not None, 3)
        assert not old.holds("desk", epoch) and (new.epoch_of("desk") or 0) > epoch


async def test_what_does_not_end_holds_an_agent_up_for_its_time_to_drain_only() -> None:
    """`coordination.drain`; what goes on after it has lost the lease."""
    async with fleet() as net:
        await _three(net)
        old, new = net.nodes["c"].mesh, net.nodes["a"].mesh
        epoch = old.begin("desk")
        assert epoch
        await net.apply(2, MOVED)
        await _until(lambda: old.epoch_of("desk") is None, 100)
        took = await _until(lambda: new.epoch_of("desk") is not None, 40)
        assert took > 25 and not old.holds("desk", epoch)


async def test_who_asks_while_an_agent_moves_waits_for_its_next_holder() -> None:
    """Through the old holder, the new one and another one, also where what was begun takes longer than a request waits for others;
    never are both holders at it."""
    async with fleet() as net:
        await _three(net)
        old, new = net.nodes["c"].mesh, net.nodes["a"].mesh
        epoch, answers = old.begin("desk"), []
        assert epoch
        await net.apply(2, MOVED)
        await _until(lambda: old.epoch_of("desk") is None, 100)

        async def ask(name: str) -> None:
            answers.append((await net.nodes[name].mesh.ask(request(timeout=100), "desk")).node)

        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(ask, name)
            await anyio.sleep(20)
            assert answers == [] and old.holds("desk", epoch) and new.epoch_of("desk") is None
            old.end("desk", epoch)
        assert answers == ["a", "a", "a"]


async def test_what_may_be_kept_does_not_wait_for_a_node_that_has_been_dead_for_a_while() -> None:
    """Nobody will hold its agent in the next seconds, as nobody is able to: it is kept at once. What cannot be kept waits, and for
    its lease too; and so does what may be kept while its node has been silent for a moment only, or others may still take over."""
    async with fleet() as net:
        await _three(net)
        mesh = net.nodes["a"].mesh
        for name in "ab":
            net.nodes[name].mesh.takes("cordoned")
        await anyio.sleep(2)

        async def waits(*, kept: bool) -> float:
            began = anyio.current_time()
            with pytest.raises(NoHolder, match="no node holds desk now"):
                await mesh.ask(request(timeout=60), "desk", way=Way(kept=kept))
            return anyio.current_time() - began

        net.crash("c")
        await anyio.sleep(3)
        assert 14 <= await waits(kept=True) < 16  # until it has been dead for 8 s
        await anyio.sleep(12)
        assert await waits(kept=True) < 0.5
        assert 14 <= await waits(kept=False) < 15


async def test_a_node_that_starts_again_at_once_has_its_own_lease_at_once() -> None:
    """Its earlier life is known to be over, so that nobody has to wait for it; under a higher epoch."""
    async with fleet() as net:
        await _three(net)
        before = net.nodes["c"].mesh.epoch_of("desk")
        net.crash("c")
        await net.start("c")
        took = await _until(lambda: net.nodes["c"].mesh.epoch_of("desk") is not None, 2)
        assert took < 1.5 and (net.nodes["c"].mesh.epoch_of("desk") or 0) > (before or 0)


def test_an_earlier_life_is_believed_only_on_its_own_machine() -> None:
    """Not after it was switched on again, and not in a copy of its folder."""
    kept = MemoryKept()
    Lives(kept, "boot one").note("till", 7, 12.0)
    assert Lives(kept, "boot one").before("till") == (7, 12.0)
    assert Lives(kept, "boot two").before("till") is None and Lives(kept, "").before("till") is None
    kept.save("life", b"[1]")
    assert Lives(kept, "boot one").before("till") is None


async def test_a_node_that_is_linked_to_no_fleet_has_no_lease() -> None:
    """It cannot know who else acts."""
    alone = FleetElsewhere("c", lambda: None)
    assert alone.begin("desk") is None
    with pytest.raises(LeaseLost) as caught:
        await alone.act(effect(1, "one"))
    assert caught.value.code == "ORC579"
