"""Runs over models that share a memory: what they tell ahead, and what their results say of the waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Result
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.residence import PoolLimits, Residence
from orchestrator.ports.provider import Capability, Support
from orchestrator.serve.engine import Engine
from orchestrator.serve.loop import Loop
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import script_from
from orchestrator.testing.simulated_loader import GB, SimulatedLoader
from tests.serve.engine.parts import FakeTool, Served, Wanted, agent_spec, model_spec, router_spec

pytestmark = pytest.mark.anyio

MODELS = ("r", "a", "b")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time jumps to the next thing that happens."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


def desk(**more: Any) -> Wanted:
    """A router with a model of its own before two specialists, each with one of its own."""
    router = router_spec("front", {"sales": "drill", "help": "x"}, strategy="intent", models=["r"])
    agents = [agent_spec("sales", models=["a"]), agent_spec("help", models=["b"])]
    models = {name: model_spec(name) for name in MODELS}
    return Wanted([router, *agents], models=models, bound={name: (name,) for name in MODELS}, **more)


@asynccontextmanager
async def serving(
    wanted: Wanted, limit: int, script: Any = None, timeout: float = 5.0, context: int = 4096, **more: Any
) -> AsyncIterator[Served]:
    """All models are of 1 GB, loads take 10 s, calls 1 s; ``limit`` is how many fit. A prompt that is longer than the
    ``context``, which is told with a load, is cut."""
    cuts = frozenset(("overflow",))
    server = simulated(MODELS, script_from(script or {}), pace=Pace(ttft=timeout / 5), context=context, ignores=cuts)
    provider = SimulatedLoader(server, limit * GB, dict.fromkeys(MODELS, GB), 10.0)
    events: list[Event] = []
    loop = Loop(on_event=events.append, jitter=lambda: 0.5)
    deployment = _with_memory(
        wanted.deployment(provider, {name: provider.target().api_base for name in MODELS}), provider, **more
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        loop.set_endpoints(deployment.endpoints, deployment.pools)
        yield Served(Engine(deployment, loop, Sessions(), events.append), (server,), loop, events)
        tasks.cancel_scope.cancel()


def _with_memory(deployment: Deployment, provider: SimulatedLoader, **more: Any) -> Deployment:
    endpoints = {
        name: EndpointSpec(
            name, provider.target(name), provider, 4, residence=Residence(name, "device", GB, provider), **more
        )
        for name in MODELS
    }
    return replace(deployment, endpoints=endpoints, pools={"device": PoolLimits(provider.limit)})


ROUTED = {"sequence": ['{"agent": "help"}']}


def _waits(result: Result) -> list[tuple[str, float]]:
    return [(step.subject, step.detail.get("load_ms", 0.0) / 1e3) for step in result.steps if step.kind == "model"]


def _loads(served: Served) -> list[str]:
    return [event.fields["model"] for event in served.events if event.kind == "model.loading"]


async def test_a_result_says_that_a_run_waited_for_its_model() -> None:
    """Memory for one: ten seconds for the router's model, ten for the specialist's."""
    async with serving(desk(), 1, ROUTED) as served:
        result = await served.run("hello")
    assert _waits(result) == [("router.front", 10.0), ("agent.help", 10.0)]
    assert result.timings["queue"] == pytest.approx(20_000)
    told = [event.fields.get("load_ms") for event in served.events if event.kind == "run.model"]
    assert told == [10_000.0, 10_000.0]


async def test_a_model_that_is_there_leaves_no_word_of_waiting() -> None:
    """The second request: nothing was loaded for it."""
    wanted = Wanted([agent_spec("sales", models=["a"])], models={"a": model_spec("a")}, bound={"a": ("a",)})
    async with serving(wanted, 1) as served:
        await served.run("hello")
        result = await served.run("hello")
    assert "load_ms" not in result.steps[0].detail


async def test_while_a_router_thinks_a_model_of_those_behind_it_is_loaded() -> None:
    """Memory for two: the router's call of 8 s hides 8 of the 10 s of the load of the one that is right here."""
    script = {"sequence": ['{"agent": "help"}']}
    async with serving(desk(), 2, script, timeout=40.0) as served:
        result = await served.run("hello")
    assert _waits(result) == [("router.front", 10.0), ("agent.help", 2.0)]
    assert _loads(served) == ["r", "b"]


async def test_what_a_run_expected_is_forgotten_when_it_ends() -> None:
    """Nothing is loaded for it afterwards."""
    async with serving(desk(), 3, ROUTED) as served:
        await served.run("hello")
        before = _loads(served)
        await anyio.sleep(100)
        pools = served.loop._scheduler._models._pools
        assert [one.foreseen for one in pools.all["device"].residents.values()] == [0.0, 0.0, 0.0]
        assert _loads(served) == before


async def test_an_agent_keeps_its_model_while_its_tool_works() -> None:
    """Memory for one: between two calls of the agent another one's call waits, and does not take the model away."""
    tool = FakeTool("shop", {"look": lambda *_: _slowly()})
    wanted = Wanted(
        [agent_spec("sales", models=["a"], tools=["shop"]), agent_spec("help", models=["b"])],
        tools=[tool],
        models={name: model_spec(name) for name in "ab"},
        bound={name: (name,) for name in "ab"},
    )
    script = {"rules": [{"model": "a", "calls": [{"name": "shop_look"}], "say": "it is {result}."}]}
    async with serving(wanted, 1, script) as served, anyio.create_task_group() as group:
        results: dict[str, Result] = {}

        async def ask(name: str, after: float) -> None:
            await anyio.sleep(after)
            results[name] = await served.run("drill?", agent=name, id=f"run_{name}", priority="default")

        group.start_soon(ask, "sales", 0.0)
        group.start_soon(ask, "help", 11.5)
    assert _loads(served) == ["a", "b"]
    assert results["sales"].text == 'it is "nails".'


async def _slowly() -> str:
    await anyio.sleep(1.0)
    return "nails"


CUTS = {Capability.OVERFLOW_REFUSED: Support.IGNORED}
ALONE = Wanted(
    [agent_spec("sales", models=["a"], escalate_when=[])], models={"a": model_spec("a")}, bound={"a": ("a",)}
)


async def test_what_a_server_tells_as_it_loads_a_model_bounds_the_call_that_waited_for_it() -> None:
    """Before, nobody knew its window: the prompt is refused and not sent, where it would have been cut without a word."""
    async with serving(ALONE, 1, context=1000, capabilities=CUTS) as served:
        result = await served.run("word " * 3000)
        assert served.server.records == [] and _loads(served) == ["a"]
        again = await served.run("word " * 3000)
        short = await served.run("hello")
    assert result.error is not None and result.error["code"] == "ORC525"
    assert "does not fit the 1000 tokens that a serves" in result.error["message"]
    assert again.error is not None and again.error["message"] == result.error["message"]
    assert short.status == "completed"


async def test_older_turns_are_left_out_for_a_window_that_the_load_told() -> None:
    """As many as must be, as where it was known before."""
    turns = tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n} " + "word " * 100) for n in range(10))
    async with serving(ALONE, 1, context=1000, capabilities=CUTS) as served:
        result = await served.run("and now?", history=turns)
        sent = served.sent()
    assert result.notes == ("6 older messages of the conversation did not fit the context of a and were left out",)
    assert [text.split(" word")[0] for _, text in sent[1:]] == ["turn 6", "turn 7", "turn 8", "turn 9", "and now?"]


@pytest.mark.parametrize("most", [1, 2, None])
async def test_a_limit_of_requests_in_work_costs_no_loads(most: int | None) -> None:
    """Twelve requests in turn for two models, memory for one: each is loaded once, since all that wait are seen."""
    wanted = Wanted(
        [agent_spec("sales", models=["a"]), agent_spec("help", models=["b"])],
        models={name: model_spec(name) for name in "ab"},
        bound={name: (name,) for name in "ab"},
        max_concurrent=most,
    )
    async with serving(wanted, 1) as served:
        results: list[Result] = []

        async def ask(agent: str) -> None:
            results.append(await served.run("hello", agent=agent, priority="default"))

        async with anyio.create_task_group() as tasks:
            for agent in ("sales", "help") * 6:
                tasks.start_soon(ask, agent)
                await anyio.wait_all_tasks_blocked()
        assert [result.status for result in results] == ["completed"] * 12
        assert _loads(served) == ["a", "b"]
        assert (served.engine.gate.inside, served.engine.gate.runs) == (0, 0)
        assert max(_at_once(served)) == (most or 4)


def _at_once(served: Served) -> list[int]:
    """How many answers of a second the server was at, as each began."""
    begins = [record.at for record in served.server.records]
    return [sum(began <= at < began + 1 for began in begins) for at in begins]
