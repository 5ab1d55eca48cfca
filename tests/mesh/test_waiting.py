"""How long a request waits, and for whom: for a node that has it, for one that is to stand in, for one that is full. All waiting
is of virtual time: the clock jumps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import FleetBusy, NoHolder, RunError
from orchestrator.core.message import Usage
from orchestrator.core.request import Result
from orchestrator.node.asking import Answer, Way
from orchestrator.node.worker import Asked, Emit, Held
from orchestrator.testing.sim_bus import HUB
from tests.mesh.sim import Fleet, Node, SimWorker, agent, blueprint, fleet, request

pytestmark = pytest.mark.anyio

HOMES = {"a": [agent("orders")], "b": [agent("billing")], "c": [agent("desk"), agent("till", exclusive=True)]}


async def _three(net: Fleet, failover: str = "automatic") -> None:
    for name in "abc":
        await net.start(name)
    await net.apply(1, blueprint(HOMES, failover=failover))
    await anyio.sleep(14)


async def _ask(node: Node, agent: str, ends: list[Answer | RunError], timeout: float = 60.0) -> None:
    try:
        ends.append(await node.mesh.ask(request(timeout=timeout), agent))
    except RunError as error:
        ends.append(error)


async def _failed_after(node: Node, agent: str, timeout: float = 60.0, **way: Any) -> float:
    began = anyio.current_time()
    with pytest.raises(NoHolder, match=f"no node holds {agent} now"):
        await node.mesh.ask(request(timeout=timeout), agent, way=Way(**way))
    return anyio.current_time() - began


# ---- for a node that has it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [25.0, 100.0])
async def test_who_waits_long_for_its_first_word_is_answered(seconds: float) -> None:
    """A slow model, a line, a model that is loaded: its node has the request, and says so all the while. It is worked on once."""
    async with fleet() as net:
        here, there = await net.start("a"), await net.start("b", "x")
        there.worker.work, there.worker.pieces = seconds, 1
        await anyio.sleep(1)
        answer = await here.mesh.ask(request(timeout=120.0), "x")
        assert (answer.node, there.worker.ran, here.events("mesh.lost")) == ("b", [answer.result.id], [])


async def test_a_node_that_says_nothing_at_all_is_silent_after_a_second_and_a_half() -> None:
    """However long the work before its first word may take."""
    async with fleet() as net:
        here, there = await net.start("a"), await net.start("b", "x")
        other = await net.start("c", "x")
        other.worker.inflight = 40  # so that b is asked first
        there.worker.still = True
        await anyio.sleep(1)
        ends: list[Answer | RunError] = []
        net.group.start_soon(_ask, here, "x", ends)
        await anyio.sleep(30)
        assert ends == [] and there.worker.inflight == 1
        other.worker.inflight = 0
        net.net.freeze("b")
        await anyio.sleep(3)
        [end] = ends
        assert isinstance(end, Answer) and end.node == "c"


@dataclass
class Ill(SimWorker):
    """An engine whose model does not answer, after ``calls`` calls of functions."""

    kind: str = ""
    calls: int = 0

    async def answer(self, asked: Asked, emit: Emit) -> Result:
        error = {"kind": self.kind, "message": "no byte came"}
        usage = Usage(tool_calls=self.calls)
        return Result(asked.request.id, "fleet", 1, "failed", "", asked.agent, ("agent.x",), usage=usage, error=error)


@pytest.mark.parametrize("kind", ["Stalled", "Unreachable", "NoModel"])
async def test_what_the_model_of_one_holder_could_not_do_that_of_another_may(kind: str) -> None:
    """Its engine has ended the run, as its model hangs or is gone, and nothing was done. Where there is no other holder, or a
    function was called, what it says is the answer."""
    async with fleet() as net:
        here = await net.start("a")
        there = (await net.join("b", lambda bus: Ill(bus, net.effects, {"x": True}, kind=kind))).worker
        assert isinstance(there, Ill)
        await anyio.sleep(1)
        assert (await here.mesh.ask(request(), "x")).result.error == {"kind": kind, "message": "no byte came"}
        other = await net.start("c", "x")
        await anyio.sleep(1)
        for _ in range(4):
            assert (await here.mesh.ask(request(), "x")).node == "c"
        assert {lost["error"] for lost in here.events("mesh.lost")} <= {"b failed: no byte came"}
        other.worker.inflight, there.calls = 40, 1
        await anyio.sleep(5)
        assert (await here.mesh.ask(request(), "x")).node == "b"


# ---- for one that is to stand in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["desk", "till"])
async def test_who_comes_while_nobody_holds_its_agent_waits_for_whoever_stands_in(name: str) -> None:
    """Its only holder is killed; none of the requests is lost that come from then on until another one has taken over, through
    each node that lives. An exclusive one needs the lease, too."""
    async with fleet() as net:
        await _three(net)
        for node in net.nodes.values():
            node.worker.slots = 40
        ends: list[Answer | RunError] = []
        async with anyio.create_task_group() as group:
            for number in range(240):
                if number == 20:
                    net.crash("c")
                group.start_soon(_ask, net.nodes["ab"[number % 2]], name, ends)
                await anyio.sleep(0.1)
        lost = [end for end in ends if not isinstance(end, Answer)]
        assert (len(ends), lost) == (240, [])
        assert len({end.node for end in ends[-20:] if isinstance(end, Answer)}) == 1


async def test_a_node_without_a_link_says_that_it_is_its_own() -> None:
    """The other nodes live: to start one of them would change nothing. With its link back it asks them again."""
    async with fleet() as net:
        await _three(net, failover="none")
        for ends in (("b", HUB), (HUB, "b")):
            net.net.cut(*ends)
        await anyio.sleep(12)
        ends_of: list[Answer | RunError] = []
        await _ask(net.nodes["b"], "orders", ends_of)
        [end] = ends_of
        assert isinstance(end, NoHolder)
        assert end.message == "b does not reach its hub now, and with it no other node that may hold orders"
        assert "the link of b to its hub" in end.cure and "start the node" not in end.cure
        for ends in (("b", HUB), (HUB, "b")):
            net.net.mend(*ends)
        await anyio.sleep(12)
        assert (await net.nodes["b"].mesh.ask(request(timeout=20.0), "orders")).node == "a"


async def test_a_request_that_has_less_time_waits_no_longer_than_that() -> None:
    """With a little left, in which it may be kept for later."""
    async with fleet() as net:
        await _three(net)
        net.crash("c")
        await anyio.sleep(1)
        assert 5.0 <= await _failed_after(net.nodes["a"], "desk", timeout=6.0) < 6.0


async def test_where_nobody_is_able_to_stand_in_a_request_waits_for_its_node_to_be_back() -> None:
    """First until others would have come, then as long as a node may take to start."""
    async with fleet() as net:
        await _three(net)
        for name in "ab":
            net.nodes[name].mesh.takes("cordoned")
        await anyio.sleep(2)
        net.crash("c")
        assert 17 < await _failed_after(net.nodes["a"], "desk") < 20
        assert 8 <= await _failed_after(net.nodes["a"], "desk") < 9
        ends: list[Answer | RunError] = []
        net.group.start_soon(_ask, net.nodes["a"], "desk", ends)
        await net.start("c")
        await anyio.sleep(3)
        assert [type(end) for end in ends] == [Answer]


@pytest.mark.parametrize("failover", ["none", "manual"])
async def test_where_an_agent_stays_with_its_node_no_request_waits_for_a_dead_one(failover: str) -> None:
    """Nobody stands in for it. While it is silent for a moment only, it may be back at once."""
    async with fleet() as net:
        await _three(net, failover)
        net.crash("c")
        await anyio.sleep(3)
        assert 7 < await _failed_after(net.nodes["a"], "desk") < 8.5
        await anyio.sleep(1)
        for name in ("desk", "till"):
            assert await _failed_after(net.nodes["a"], name) < 0.1


async def test_a_process_that_stood_still_does_not_take_the_others_for_dead() -> None:
    """It has not read its mail yet."""
    async with fleet() as net:
        await _three(net, "none")
        net.net.freeze("a")
        await anyio.sleep(30)
        ends: list[Answer | RunError] = []
        net.group.start_soon(_ask, net.nodes["a"], "desk", ends)
        net.net.thaw("a")
        await anyio.sleep(3)
        assert [type(end) for end in ends] == [Answer]


# ---- for one that is full ---------------------------------------------------------------------------------------------


async def test_a_stand_in_that_all_who_waited_come_to_at_once_is_asked_again() -> None:
    """It takes a few of them at a time. None is refused, and the node is not flooded."""
    async with fleet() as net:
        await _three(net)
        for node in net.nodes.values():
            node.worker.slots, node.worker.queue, node.worker.work = 1, 3, 0.3
        net.crash("c")
        ends: list[Answer | RunError] = []
        before = net.net.delivered
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(_ask, net.nodes["ab"[number % 2]], "desk", ends)
        assert [end for end in ends if not isinstance(end, Answer)] == [] and len(ends) == 40
        assert net.net.delivered - before < 4000


async def test_one_that_stays_full_is_asked_for_as_long_as_the_request_has_time() -> None:
    """Then its caller hears that all are full, and when to ask again."""
    async with fleet() as net:
        await _three(net)
        net.crash("c")
        ends: list[Answer | RunError] = []
        net.group.start_soon(_ask, net.nodes["a"], "desk", ends, 30.0)
        for node in net.nodes.values():
            node.worker.inflight = node.worker.slots + node.worker.queue
        await anyio.sleep(29)
        assert ends == []
        await anyio.sleep(1)
        assert [type(end) for end in ends] == [FleetBusy]


# ---- an exclusive agent -----------------------------------------------------------------------------------------------


class Hasty(SimWorker):
    """An engine that serves what it is given a while before it says so: it ends something else first."""

    async def hold(self, agents: Mapping[str, Held], manifest: Mapping[str, Any], revision: int) -> None:
        await super().hold(agents, manifest, revision)
        await self.bus.sleep(4.0 if "till" in agents else 0.0)


async def test_a_node_that_is_about_to_hold_an_exclusive_agent_does_not_answer_before_it_has_the_lease() -> None:
    """Its engine serves the agent already; the lease is another node's still, or nobody's."""
    async with fleet() as net:
        for name in "bc":
            await net.start(name)
        hasty = await net.join("a", lambda bus: Hasty(bus, net.effects))
        await net.apply(1, blueprint(HOMES))
        await anyio.sleep(14)
        moved = {"a": [*HOMES["a"], agent("till", exclusive=True)], "b": HOMES["b"], "c": HOMES["c"][:1]}
        await net.apply(2, blueprint(moved))
        served = without = 0
        while served < 20:  # on virtual time
            await anyio.sleep(0.1)
            served += "till" in hasty.worker.agents
            without += hasty.mesh.begin("till") == 0
        assert without == 0
        await anyio.sleep(14)
        assert (hasty.mesh.begin("till") or 0) > 0
