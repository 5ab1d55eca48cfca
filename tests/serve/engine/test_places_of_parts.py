"""A request in parts has one place: what works for one of them lets in what waits for another."""

from __future__ import annotations

import anyio
import pytest

from orchestrator.core.message import Message
from orchestrator.ports.provider import ChatCall, Target
from orchestrator.serve.gate import Gate, Pass
from orchestrator.serve.loop import Ask, Loop
from tests.serve.scheduler.fakes import Say, ScriptedProvider, endpoint

pytestmark = pytest.mark.anyio
CALL = ChatCall(Target("", "", ""), (Message("user", "hello"),), request_id="run_1")


async def _function(place: Pass, took: list[float], seconds: float = 1.0) -> None:
    """A function that works for so long; it may wait for its place for five seconds."""
    began = anyio.current_time()
    async with place.at_work(began + 5, "interactive"):
        took.append(round(anyio.current_time() - began, 3))
        await anyio.sleep(seconds)


async def test_a_function_does_not_wait_for_the_place_that_its_request_has_meanwhile() -> None:
    """The place came free, and a model of the same request got it."""
    gate, took = Gate(1), list[float]()
    other, mine = gate.request(), gate.request()
    other.begin()
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(_function, mine, took)
        await anyio.sleep(2)
        other.pause()
        assert other.rest()
        mine.begin()
        await anyio.wait_all_tasks_blocked()
        assert (took, gate.inside, gate.waiting) == ([2.0, 2.0], 1, 0)
        mine.pause()
    mine.leave()
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_one_function_of_a_request_that_gets_the_place_has_the_others_with_it() -> None:
    """They would wait for their own request otherwise."""
    gate, took = Gate(1), list[float]()
    other, mine = gate.request(), gate.request()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_function, other, took, 2.0)
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            tasks.start_soon(_function, mine, took)
        await anyio.sleep(2)
        other.leave()
    mine.leave()
    assert (took, gate.inside, gate.waiting) == ([0.0, 2.0, 2.0, 2.0], 0, 0)


async def test_a_function_that_goes_away_as_it_is_let_in_leaves_the_place_to_its_request() -> None:
    """Cancelled in the moment in which it is told that it may."""
    gate, took = Gate(1), list[float]()
    other, mine = gate.request(), gate.request()
    other.begin()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_function, mine, took)
        await anyio.sleep(1)
        other.pause()
        assert other.rest()
        mine.begin()
        tasks.cancel_scope.cancel()
    assert (gate.inside, gate.waiting, mine.held, mine.works) == (1, 0, True, 1)
    mine.pause()
    mine.leave()
    assert gate.inside == 0


async def test_a_function_that_gets_the_place_lets_a_model_of_its_request_begin() -> None:
    """Its endpoint is idle: the call waited for the place alone, and does not wait for the end of the function."""
    gate, took = Gate(1), list[float]()
    loop, model = Loop(jitter=lambda: 0.5), ScriptedProvider([Say(after=1.0)])
    loop.set_endpoints({"m": endpoint("m", model)})
    gate.shared_by(loop.share)
    other, mine = gate.request(), gate.request()
    start = anyio.current_time()
    async with anyio.create_task_group() as serving:
        await serving.start(loop.run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_function, other, took, 2.0)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_function, mine, took, 4.0)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(loop.chat, Ask(CALL, ("m",), start + 100, place=mine))
            await anyio.sleep(2)
            other.leave()
        serving.cancel_scope.cancel()
    mine.leave()
    assert (took, [round(at - start, 3) for at in model.began_at]) == ([0.0, 2.0], [2.0])
    assert (gate.inside, gate.waiting) == (0, 0)
