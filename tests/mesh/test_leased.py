"""An exclusive agent's effects: under its lease, with its epoch, never an older one."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from orchestrator.app.fleet.elsewhere import FleetElsewhere
from orchestrator.core.errors import LeaseLost
from orchestrator.plugins.stores.sqlite import open_stores
from orchestrator.ports.effects import Effect
from tests.mesh.sim import Fleet, agent, blueprint, fleet

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
        first = here.epoch_of("desk")
        assert first is not None and other.epoch_of("desk") is None
        await here.act(effect(first, "one"))
        with pytest.raises(LeaseLost, match=r"a has lost the lease of agent\.desk"):
            await other.act(effect(first, "none"))
        net.net.part(["c"], ["a", "b", "hub"])
        await anyio.sleep(5)
        with pytest.raises(LeaseLost, match=r"c has lost the lease of agent\.desk"):
            await here.act(effect(first, "two"))
        net.net.heal()
        await anyio.sleep(25)
        again = here.epoch_of("desk")
        assert again is not None and again > first
        with pytest.raises(LeaseLost, match=r"has lost the lease of agent\.desk while it worked"):
            await here.act(effect(first, "three"))
        await here.act(effect(again, "four"))
    rows = stores.effects._file.rows("SELECT call, epoch FROM effect ORDER BY epoch")
    assert rows == [("one", first), ("four", again)]
    stores.close()


async def test_a_node_that_is_linked_to_no_fleet_has_no_lease() -> None:
    """It cannot know who else acts."""
    alone = FleetElsewhere("c", lambda: None)
    assert alone.epoch_of("desk") is None
    with pytest.raises(LeaseLost) as caught:
        await alone.act(effect(1, "one"))
    assert caught.value.code == "ORC579"
