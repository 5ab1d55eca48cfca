"""Routers that share requests among agents that are alike, by how busy the servers behind them are."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from orchestrator.core.request import Request, Result
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.pace import Pace
from tests.serve.engine.parts import Wanted, agent_spec, model_spec, router_spec, rule, serving

pytestmark = pytest.mark.anyio


def twins(strategy: str, slots: int = 2) -> Wanted:
    """Two agents on a server each."""
    return Wanted(
        [
            router_spec("front", {"a": "x", "b": "x"}, strategy=strategy),
            agent_spec("a", models=["m"]),
            agent_spec("b", models=["n"]),
        ],
        models={"m": model_spec("m"), "n": model_spec("n")},
        bound={"m": ("m@1",), "n": ("m@2",)},
        slots=slots,
    )


def server(**options: object) -> SimulatedEndpoint:
    return simulated(["m", "n"], pace=Pace(ttft=10.0), **options)  # type: ignore[arg-type] # fields as the test names them


async def at_once(strategy: str, count: int, servers: tuple[SimulatedEndpoint, ...]) -> list[Result]:
    """The results of so many requests, each begun while those before it are in work."""
    results: list[Result] = []
    async with serving(twins(strategy), *servers) as served, anyio.create_task_group() as tasks:

        async def ask() -> None:
            results.append(await served.run("hello"))

        for _ in range(count):
            tasks.start_soon(ask)
            await anyio.sleep(1)
    return results


async def test_the_least_busy_server_gets_the_next_request() -> None:
    """Half of them each, as none ends before all have begun."""
    results = await at_once("least-loaded", 4, (server(), server()))
    assert Counter(result.agent for result in results) == {"a": 2, "b": 2}


async def test_the_first_agent_is_filled_before_the_second() -> None:
    """Two slots of the first, then the second, and the busiest never waits while a slot is free."""
    results = await at_once("priority", 3, (server(), server()))
    assert [result.agent for result in results] == ["a", "a", "b"]
    assert results[2].decisions[0].why == "b is the first with a free slot"


async def test_a_server_that_rests_from_faults_is_passed_over() -> None:
    """The first requests learn that it fails; from time to time one tries it again, and most are answered by the second."""
    gone = server(faults=["server-error@*"])
    async with serving(twins("priority"), gone, server()) as served:
        results = [await served.run("hello") for _ in range(12)]
    assert results[0].agent == "a"
    assert all((result.agent == "a") == (result.error is not None) for result in results)
    assert Counter(result.agent for result in results)["b"] >= 6


async def test_agents_without_a_model_are_always_free() -> None:
    wanted = Wanted(
        [
            router_spec("front", {"a": "x", "b": "x"}, strategy="least-loaded"),
            agent_spec("a", models=[], reflex=[rule("I am a.")]),
            agent_spec("b", models=[], reflex=[rule("I am b.")]),
        ]
    )
    async with serving(wanted) as served:
        texts = [(await served.run("hello")).text for _ in range(3)]
    assert texts == ["I am a.", "I am b.", "I am a."]


async def test_a_session_stays_with_its_agent() -> None:
    wanted = twins("sticky")
    async with serving(wanted, server(), server()) as served:
        found = {
            session: {(await served.engine.run(Request("hello", session=session))).agent for _ in range(2)}
            for session in ("anna", "ben", "carla", "dario", "elsa")
        }
    assert all(len(agents) == 1 for agents in found.values())
    assert {next(iter(agents)) for agents in found.values()} == {"a", "b"}
