"""Requests that come to the door of the node that holds an exclusive agent, while its lease is lost for a moment: real engines, the
real mesh, a simulated net.

All waiting is of virtual time: the clock jumps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from orchestrator.app.fleet.elsewhere import FleetElsewhere
from orchestrator.app.fleet.worker import EngineWorker
from orchestrator.app.simulation.fleet import SimulatedFleet
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.node.worker import Held
from orchestrator.serve.engine import EngineTable
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Script
from tests.mesh.sim import DEPLOYMENT, agent, blueprint, fleet
from tests.serve.engine.parts import Served, Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio
SHARES = blueprint({"a": [agent("front")], "b": [agent("till", exclusive=True)]}, failover="none")


class Given(EngineWorker):
    """An engine that has its share already."""

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        """As it is."""


def _till() -> Wanted:
    spec = agent_spec("till")
    spec["exclusive"] = True
    return Wanted([spec])


def _front() -> Wanted:
    spec = agent_spec("till", models=[], instructions="")
    spec["elsewhere"] = True
    return Wanted([spec])


@asynccontextmanager
async def shop(ttft: float) -> AsyncIterator[tuple[SimulatedFleet[Any], dict[str, Served]]]:
    """``b`` holds the till, whose model takes so long; ``a`` asks it."""
    slow = simulated(["m"], Script(default="sold"), pace=Pace(ttft=ttft))
    async with serving(_till(), slow) as holder, serving(_front()) as other, fleet() as net:
        for name, served in {"a": other, "b": holder}.items():
            await _join(net, name, served)
        await net.apply(1, SHARES)
        await anyio.sleep(14)
        assert net.nodes["b"].mesh.epoch_of("till")
        yield net, {"a": other, "b": holder}


async def _join(net: SimulatedFleet[Any], name: str, served: Served) -> None:
    table = EngineTable()
    table.switch(DEPLOYMENT, served.on_node(name))
    node = await net.join(name, lambda bus: Given(DEPLOYMENT, name, cast(Reconciler, None), table))
    served.engine.elsewhere = FleetElsewhere(name, lambda: node.mesh)


@pytest.mark.parametrize("door", ["a", "b"])
async def test_a_request_whose_lease_was_lost_for_a_moment_is_done_again(door: str) -> None:
    """By the same node under its next lease: nothing was told or called. At its own door as at another one's."""
    async with shop(ttft=6.0) as (net, served), anyio.create_task_group() as tasks:
        before = net.nodes["b"].mesh.epoch_of("till")

        async def lose() -> None:
            await anyio.sleep(1)
            net.net.part(["b"], ["a", "hub"])
            await anyio.sleep(6)
            net.net.heal()

        tasks.start_soon(lose)
        result = await served[door].run("a nail", timeout=60.0)
        assert (result.error, result.text, result.node) == (None, "sold", "b")
        assert result.timings["total"] < 30_000
        assert (net.nodes["b"].mesh.epoch_of("till") or 0) > (before or 0)


@pytest.mark.parametrize("door", ["a", "b"])
async def test_without_the_hub_it_is_said_that_the_lease_needs_it(door: str) -> None:
    """Also on the node that the agent belongs to, which lives: starting that would change nothing."""
    async with shop(ttft=1.0) as (net, served):
        net.net.hub(down=True)
        await anyio.sleep(8)
        result = await served[door].run("a nail", timeout=60.0)
    told = result.error or {}
    assert told["code"] == "ORC572" and "start the node" not in told["cure"]
    assert told["message"] == (
        "till is exclusive, and answers under a lease alone, which is kept at the hub: "
        f"{door} does not reach the hub now"
    )
    assert told["cure"].startswith("bring the hub back")
