"""Two real engines as nodes of one fleet, over a simulated net: what crosses it, and how it comes back.

All waiting is of virtual time: the clock jumps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any, cast

import anyio
import pytest

from orchestrator.app.fleet.elsewhere import FleetElsewhere
from orchestrator.app.fleet.worker import EngineWorker
from orchestrator.app.simulation.fleet import MemoryKept
from orchestrator.core.blueprint import AgentSpec
from orchestrator.core.event import DELTA, Event
from orchestrator.core.request import Result
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.node.mesh import Mesh, Site
from orchestrator.serve.engine import EngineTable
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Script
from orchestrator.testing.sim_bus import SimNet
from tests.serve.engine.parts import Served, Wanted, agent_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio
NO_RECONCILER = cast(Reconciler, None)
"""These engines are given their share by hand."""


def elsewhere(name: str, **fields: Any) -> AgentSpec:
    """An agent of another node, as this one knows it."""
    spec = agent_spec(name, models=[], instructions="", **fields)
    spec["elsewhere"] = True
    return spec


WAYS = {"orders": "order", "repairs": "repair"}
FIRST = Wanted(
    [router_spec("front", WAYS), agent_spec("orders", models=[], reflex=[rule("ordered")]), elsewhere("repairs")]
)
SECOND = Wanted([router_spec("front", WAYS), elsewhere("orders"), agent_spec("repairs", escalate_to="orders")])


class Fleet:
    """Two nodes."""

    def __init__(self, net: SimNet, tasks: anyio.abc.TaskGroup) -> None:
        self.net = net
        self.engines: dict[str, Served] = {}
        self._tasks = tasks

    async def start(self, node: str, served: Served) -> None:
        """Let an engine be a node."""
        bus, board = self.net.join(node)
        table = EngineTable()
        table.switch("shop", served.on_node(node))
        worker = EngineWorker("shop", node, NO_RECONCILER, table)
        site = Site("shop", bus, board, worker, MemoryKept(), lambda *_: None, Random(node).randrange, bus.sleep)
        mesh = Mesh(site)
        served.engine.elsewhere = FleetElsewhere(node, lambda: mesh)
        self.engines[node] = served
        await self._tasks.start(self._live, mesh)

    async def _live(self, mesh: Mesh, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        await mesh.run(task_status=task_status)


@asynccontextmanager
async def joined(first: Served, second: Served) -> AsyncIterator[Fleet]:
    """They have heard of each other."""
    async with anyio.create_task_group() as tasks:
        net = SimNet(Random(1), True)
        tasks.start_soon(net.run)
        nodes = Fleet(net, tasks)
        await nodes.start("edge-1", first)
        await nodes.start("edge-2", second)
        await anyio.sleep(2)  # virtual time: a few heartbeats
        yield nodes
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def fleet(
    wanted: Wanted = FIRST, *servers: SimulatedEndpoint, second: Wanted = SECOND, ttft: float = 5.0
) -> AsyncIterator[Fleet]:
    """Two nodes, the second of which is slow."""
    slow = simulated(["m"], Script(default="it takes two days"), pace=Pace(ttft=ttft))
    async with serving(wanted, *servers) as one, serving(second, slow) as other, joined(one, other) as nodes:
        yield nodes


async def test_a_request_is_answered_by_the_node_that_holds_its_agent() -> None:
    """Through each node: the right agent, the right node, and the steps of both."""
    async with fleet() as nodes:
        near = await nodes.engines["edge-1"].run("my order")
        far = await nodes.engines["edge-1"].run("repair my drill", timeout=60.0)
        back = await nodes.engines["edge-2"].run("my order")
    assert [(each.agent, each.node, each.text) for each in (near, far, back)] == [
        ("orders", "edge-1", "ordered"),
        ("repairs", "edge-2", "it takes two days"),
        ("orders", "edge-1", "ordered"),
    ]
    assert far.timings["model"] >= 5_000 and [step.kind for step in far.steps] == ["route", "model"]


async def test_an_answer_is_heard_in_pieces_across_the_net() -> None:
    """All of them, in their order."""
    heard: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == DELTA:
            heard.append(event.fields["text"])

    async with fleet() as nodes:
        result = await nodes.engines["edge-1"].run("repair my drill", listen)
    assert "".join(heard) == result.text == "it takes two days" and len(heard) > 1


async def test_what_the_other_node_cannot_answer_comes_back_as_the_fault_that_it_was() -> None:
    """With its kind, its code and its cure."""
    async with fleet() as nodes:
        nodes.engines["edge-2"].server.arm("unauthorized")
        nodes.net.part(["edge-2"], ["edge-1"])
        lost = await nodes.engines["edge-1"].run("repair my drill", timeout=30.0)
        nodes.net.heal()
        await anyio.sleep(15)
        told = await nodes.engines["edge-1"].run("repair my drill", timeout=30.0)
    assert lost.error is not None and lost.error["kind"] == "NoHolder"
    assert (told.text, told.agent, told.node) == ("ordered", "orders", "edge-1")  # it handed over, back to this node


@pytest.mark.parametrize(("after", "status"), [(2.0, "completed"), (5.0, "failed")])
async def test_a_request_waits_a_moment_for_a_node_that_starts(after: float, status: str) -> None:
    """A runtime answers before its part of the mesh has started."""
    async with fleet() as nodes:
        engine = nodes.engines["edge-1"].engine
        started = engine.elsewhere
        assert isinstance(started, FleetElsewhere)
        at = anyio.current_time() + after
        engine.elsewhere = FleetElsewhere("edge-1", lambda: started._mesh() if anyio.current_time() >= at else None)
        result = await nodes.engines["edge-1"].run("repair my drill", timeout=60.0)
    assert result.status == status and (result.node == "edge-2" or "not linked to its fleet yet" in str(result.error))


async def test_a_caller_that_goes_away_ends_the_work_on_the_other_node() -> None:
    """The model call there is cut."""
    async with fleet() as nodes:
        with anyio.move_on_after(3.0):
            await nodes.engines["edge-1"].run("repair my drill", timeout=60.0)
        await anyio.sleep(1)
        there = nodes.engines["edge-2"]
        assert there.engine.in_flight == 0 and there.server.records[0].outcome == "cancelled"


async def test_what_waits_on_another_node_takes_no_room_on_this_one() -> None:
    """A model with one slot is idle, and its node has given away as many requests as would fill it twice."""
    with_model = Wanted([router_spec("front", WAYS), agent_spec("orders"), elsewhere("repairs")], slots=1)
    async with (
        fleet(with_model, simulated(["m"], Script(default="ordered"))) as nodes,
        anyio.create_task_group() as group,
    ):
        for _ in range(2):
            group.start_soon(nodes.engines["edge-1"].run, "repair my drill")
        await anyio.sleep(1)
        answered = await nodes.engines["edge-2"].run("my order", timeout=2.0)
    assert (answered.text, answered.error, answered.node) == ("ordered", None, "edge-1")


async def ask_at_once(nodes: Fleet, count: int) -> list[Result]:
    """So many requests for the other node's agent, in one moment."""
    answers: list[Result] = []

    async def ask() -> None:
        answers.append(await nodes.engines["edge-1"].run("repair my drill", timeout=100.0))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(ask)
    return answers


@pytest.mark.parametrize(("ttft", "slots", "count"), [(45.0, 8, 1), (12.0, 1, 3)])
async def test_who_waits_long_for_the_first_word_of_another_node_is_answered(
    ttft: float, slots: int, count: int
) -> None:
    """Of a slow model, and in the line before one with a single slot: its node has the request all the while."""
    async with fleet(second=replace(SECOND, slots=slots), ttft=ttft) as nodes:
        answers = await ask_at_once(nodes, count)
        began = nodes.engines["edge-2"].kinds().count("run.started")
    assert [each.status for each in answers] == ["completed"] * count and began == count
    assert max(each.timings["total"] for each in answers) > 35_000


async def test_a_model_that_hangs_is_for_its_own_engine_to_end() -> None:
    """It is noticed there after 60 s, as for a request of its own, and what its engine does then is the answer."""
    async with fleet() as nodes:
        nodes.engines["edge-2"].server.arm("hang-before")
        answer = await nodes.engines["edge-1"].run("repair my drill", timeout=100.0)
        assert nodes.engines["edge-2"].kinds().count("run.started") == 1
    assert (answer.text, answer.path[-2:]) == ("ordered", ("agent.repairs", "agent.orders"))
    assert 59_000 < answer.timings["total"] < 62_000


@pytest.mark.parametrize(("waiting", "ends"), [(2, {"completed"}), (0, {"completed", "failed"})])
async def test_an_engine_whose_line_is_full_is_a_full_node(waiting: int, ends: set[str]) -> None:
    """Its line may be shorter than what a node says that it has room for: it is asked once more a moment later, and then the caller
    hears that all are full, not that a run has failed there."""
    short = replace(SECOND, max_concurrent=2, queue={"interactive": {"length": waiting, "timeout": None}})
    async with fleet(second=short, ttft=0.1) as nodes:
        answers = await ask_at_once(nodes, 5)
    assert {each.status for each in answers} == ends
    assert {each.error["kind"] for each in answers if each.error} <= {"FleetBusy"}


async def test_who_waited_and_has_no_slot_in_the_line_of_the_one_that_came_goes_on_asking() -> None:
    """All who waited come at once, and the engine's line lasts 30 s: the last ones have most of their time left then."""
    async with fleet(second=replace(SECOND, slots=1), ttft=12.0) as nodes:
        nodes.net.part(["edge-2"], ["edge-1"])
        answers: list[Result] = []

        async def ask() -> None:
            answers.append(await nodes.engines["edge-1"].run("repair my drill", timeout=100.0))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
            await anyio.sleep(3)
            nodes.net.heal()
    assert [each.error for each in answers] == [None] * 5
    assert max(each.timings["total"] for each in answers) > 55_000
