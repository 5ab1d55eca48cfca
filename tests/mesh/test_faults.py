"""What a caller notices of each fault: fixed scenes, with the figures that are promised.

All waiting is of virtual time: the clock jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from orchestrator.core.errors import AnswerLost, FleetBusy, RemoteFailed, RunError, StaysHere
from orchestrator.node.asking import Answer, Way
from orchestrator.node.wire import Call, call_letter
from orchestrator.ports.bus import Letter
from orchestrator.testing.sim_bus import HUB, Weather
from tests.mesh.sim import SUBJECTS, Fleet, fleet, request

pytestmark = pytest.mark.anyio
Fault = Callable[[Fleet], Coroutine[Any, Any, None]]


async def _kill(net: Fleet) -> None:
    net.crash("b")


async def _stop(net: Fleet) -> None:
    net.net.freeze("b")


async def _part(net: Fleet) -> None:
    net.net.part(["a", "c", HUB], ["b"])


async def _flap(net: Fleet) -> None:
    await _part(net)
    await anyio.sleep(2)
    net.net.heal()


async def _deaf(net: Fleet) -> None:
    net.net.cut("a", "b")


async def _mute(net: Fleet) -> None:
    net.net.cut("b", "a")


async def _rain(net: Fleet) -> None:
    net.net.weather = Weather(lost=0.1, twice=0.1, overtaken=0.1)


async def _hub_gone(net: Fleet) -> None:
    net.net.hub(down=True)
    await anyio.sleep(5)
    net.net.heal()


async def _nothing(net: Fleet) -> None:
    pass


@pytest.mark.parametrize("fault", [_nothing, _kill, _stop, _part, _flap, _deaf, _mute, _rain, _hub_gone])
async def test_nothing_is_lost_and_nothing_is_delivered_twice(fault: Fault) -> None:
    """20 requests a second for 12 s, with the agent on two other nodes, of which one has the fault after 4 s."""
    ends: list[Answer | RunError] = []
    async with fleet() as net:
        here = await net.start("a")
        for name in "bc":
            node = await net.start(name, "x")
            node.worker.slots, node.worker.queue = 40, 40
        await anyio.sleep(1)

        async def ask() -> None:
            try:
                ends.append(await here.mesh.ask(request(timeout=30), "x"))
            except RunError as error:
                ends.append(error)

        async with anyio.create_task_group() as group:
            for number in range(240):
                if number == 80:
                    group.start_soon(fault, net)
                group.start_soon(ask)
                await anyio.sleep(0.05)
    lost = [end for end in ends if not isinstance(end, Answer)]
    assert (len(ends), lost) == (240, [])
    assert len({end.result.id for end in ends if isinstance(end, Answer)}) == 240


@pytest.mark.parametrize("fault", [_kill, _stop, _part, _mute])
async def test_a_node_that_is_gone_is_out_of_routing_within_two_and_a_half_seconds(fault: Fault) -> None:
    """From then on no request waits for it."""
    async with fleet() as net:
        here = await net.start("a")
        for name in "bc":
            await net.start(name, "x")
        await anyio.sleep(1.3)
        await fault(net)
        await anyio.sleep(2.5)
        assert here.mesh.table.holders("x", anyio.current_time()) == ["c"]
        begun = anyio.current_time()
        assert (await here.mesh.ask(request(), "x")).node == "c"
        assert anyio.current_time() - begun < 0.7  # 0.6 s of it is work


async def test_a_node_that_comes_back_is_asked_again_within_two_seconds() -> None:
    """With its own agents."""
    async with fleet() as net:
        here = await net.start("a")
        await net.start("b", "x")
        await anyio.sleep(1)
        await _part(net)
        await anyio.sleep(5)
        net.net.heal()
        await anyio.sleep(1)
        assert (await here.mesh.ask(request(), "x")).node == "b"


async def test_a_letter_that_comes_twice_is_worked_on_once() -> None:
    """And so is a request that is asked for again: what there is of its answer is told from the beginning."""
    async with fleet() as net:
        here, there = await net.start("a"), await net.start("b", "x")
        await anyio.sleep(1)
        asked = request()
        call = Call(asked.id, "x", "a", here.mesh.epoch, 0, 9000, "internal", 0, asked.as_json())
        told: dict[str, list[str]] = {"one": [], "two": []}

        async def hear(name: str) -> None:
            async with here.bus.listen(here.bus.inbox(name)) as letters:
                async for letter in letters:
                    told[name].append(letter.headers["K"])

        async with anyio.create_task_group() as group:
            for name in told:
                group.start_soon(hear, name)
            await anyio.sleep(0.1)
            letter = call_letter(SUBJECTS.call("b", "x"), call, here.bus.inbox("one"))
            await here.bus.send(letter)
            await here.bus.send(letter)
            await anyio.sleep(0.3)
            await here.bus.send(call_letter(SUBJECTS.call("b", "x"), call, here.bus.inbox("two")))
            await anyio.sleep(2)
            await here.bus.send(call_letter(SUBJECTS.call("b", "x"), call, here.bus.inbox("one")))
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        assert there.worker.ran == [asked.id]
        assert [kind for kind in told["two"] if kind != "ka"] == ["ack", "tok", "tok", "tok", "fin"]
        assert [kind for kind in told["one"][-5:] if kind != "ka"] == ["ack", "tok", "tok", "tok", "fin"]


async def test_a_caller_that_goes_away_stops_the_work() -> None:
    """By a word where it still can say one, else by its silence."""
    async with fleet() as net:
        here, there = await net.start("a"), await net.start("b", "x")
        there.worker.work = 60.0
        await anyio.sleep(1)
        with anyio.move_on_after(1):
            await here.mesh.ask(request(), "x")
        await anyio.sleep(0.1)
        assert there.worker.inflight == 0
        net.group.start_soon(_swallow, here, "x")
        await anyio.sleep(1)
        assert there.worker.inflight == 1
        net.crash("a")
        await anyio.sleep(11)
        assert there.worker.inflight == 0


async def _swallow(node: Any, agent: str) -> None:
    with anyio.CancelScope() as scope:
        node.asking.add(scope)
        await node.mesh.ask(request(), agent)


async def test_a_fault_of_a_worker_is_tried_elsewhere_and_then_told() -> None:
    """With the words of the node that had it."""
    async with fleet() as net:
        here, there, other = await net.start("a"), await net.start("b", "x"), await net.start("c", "x")
        there.worker.broken = "no disk"
        await anyio.sleep(1)
        for _ in range(6):
            assert (await here.mesh.ask(request(), "x")).node == "c"
        other.worker.broken = "no disk"
        with pytest.raises(AnswerLost, match="no disk"):
            await here.mesh.ask(request(), "x")
        assert there.events("mesh.failed")[0]["error"] == "RuntimeError: no disk"


async def test_a_full_fleet_says_so() -> None:
    """With the time after which there may be room."""
    async with fleet() as net:
        here, there = await net.start("a"), await net.start("b", "x")
        await anyio.sleep(1)
        there.worker.inflight = there.worker.slots + there.worker.queue
        with pytest.raises(FleetBusy) as caught:
            await here.mesh.ask(request(), "x")
        assert caught.value.retry_after > 0


async def test_restricted_data_leaves_no_node() -> None:
    """It is answered here, or refused; and a node that is sent some refuses it too."""
    async with fleet() as net:
        here, there = await net.start("a", "own"), await net.start("b", "x")
        await anyio.sleep(1)
        assert (await here.mesh.ask(request(data_class="restricted"), "own")).node == "a"
        with pytest.raises(StaysHere):
            await here.mesh.ask(request(data_class="restricted"), "x")
        assert there.worker.ran == []
        letter = Call("r", "x", "a", 1, 0, 9000, "restricted", 0, request(data_class="restricted").as_json())
        kinds: list[tuple[str, str]] = []

        def note(got: Letter) -> None:
            kinds.append((got.headers["K"], got.headers.get("Code", "")))

        async def hear() -> None:
            async with here.bus.listen(here.bus.inbox("r")) as letters:
                async for got in letters:
                    note(got)

        net.group.start_soon(hear)
        await anyio.sleep(0.1)
        await here.bus.send(call_letter(SUBJECTS.call("b", "x"), letter, here.bus.inbox("r")))
        await anyio.sleep(0.5)
        assert (kinds, there.worker.ran) == ([("err", "restricted")], [])


async def test_a_request_does_not_go_round() -> None:
    """After four nodes it is refused."""
    async with fleet() as net:
        here, _ = await net.start("a"), await net.start("b", "x")
        await anyio.sleep(1)
        assert (await here.mesh.ask(request(), "x", way=Way(3))).node == "b"
        with pytest.raises(RemoteFailed, match="handed on 4 times"):
            await here.mesh.ask(request(), "x", way=Way(4))


async def test_draining_loses_nothing() -> None:
    """What is in work ends; what comes goes elsewhere."""
    async with fleet() as net:
        here, there, _ = await net.start("a"), await net.start("b", "x"), await net.start("c", "x")
        await anyio.sleep(1)
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await here.mesh.ask(request(), "x"))

        async with anyio.create_task_group() as group:
            for number in range(60):
                if number == 20:
                    group.start_soon(there.mesh.drain, 30.0)
                if number == 40:
                    net.crash("b")
                group.start_soon(ask)
                await anyio.sleep(0.05)
        assert len(answers) == 60 and not here.events("mesh.lost")
