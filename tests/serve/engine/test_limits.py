"""No run goes on for ever: steps, tool calls, tokens and time have caps, and a missing model is told with its cure."""

from __future__ import annotations

import pytest

from orchestrator.ports.provider import Capability, Support
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, rule, serving

pytestmark = pytest.mark.anyio
ALWAYS = Script([Rule("", calls=(("shop_find", {}),), always=True)])


def endless(**fields: object) -> tuple[Wanted, FakeTool]:
    """An agent whose model always calls a function."""
    tool = FakeTool("shop", {"find": "found"})
    return Wanted([agent_spec("a", tools=["shop"], **fields)], [tool]), tool


async def test_a_model_that_always_calls_functions_ends_at_the_cap_of_steps() -> None:
    """The last wish is not carried out: nobody would see what came of it."""
    wanted, tool = endless(max_steps=4)
    async with serving(wanted, simulated(["m"], ALWAYS)) as served:
        result = await served.run("go")
    assert result.error is not None and result.error["kind"] == "LimitReached"
    assert "did not answer within 4 steps" in result.error["message"]
    assert (result.usage.model_calls, len(tool.calls)) == (4, 3)


async def test_tool_calls_have_a_cap_of_their_own() -> None:
    """Several calls in one step count one by one."""
    wanted, tool = endless(max_tool_calls=3)
    script = Script([Rule("", calls=(("shop_find", {}), ("shop_find", {})), always=True)])
    async with serving(wanted, simulated(["m"], script)) as served:
        result = await served.run("go")
    assert result.error is not None and "more than 3 tool calls" in result.error["message"]
    assert len(tool.calls) == 2


async def test_tokens_have_a_cap() -> None:
    """It is looked at before each call."""
    wanted, _ = endless(max_total_tokens=20)
    async with serving(wanted, simulated(["m"], ALWAYS)) as served:
        result = await served.run("go")
    assert result.error is not None and "of 20 tokens" in result.error["message"]
    assert result.usage.total_tokens < 60


@pytest.mark.parametrize(("limit", "asked", "seconds"), [(5.0, None, 5.0), (5.0, 2.0, 2.0), (5.0, 60.0, 5.0)])
async def test_a_run_ends_when_its_time_is_over(limit: float, asked: float | None, seconds: float) -> None:
    """The shorter of what the deployment gives and the request asks for."""
    wanted = Wanted([agent_spec("a")], timeout=limit)
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=1000.0))) as served:
        result = await served.run("hello", timeout=asked)
    assert result.error is not None and result.error["code"] == "ORC504"
    assert result.timings["total"] == pytest.approx(seconds * 1e3)
    assert result.steps[-1].detail["fault"] == "DeadlinePassed"


async def test_an_agents_time_counts_its_tools_too() -> None:
    """A function that sleeps for ever is stopped when the agent's time is over."""
    import anyio

    async def sleepy(*_: object) -> str:
        await anyio.sleep(1000)
        return "late"

    tool = FakeTool("shop", {"find": lambda arguments, context: sleepy()})
    wanted = Wanted([agent_spec("a", tools=["shop"], timeout=3.0)], [tool])
    async with serving(wanted, simulated(["m"], ALWAYS, pace=Pace(ttft=1.0))) as served:
        result = await served.run("go")
    assert result.error is not None and result.error["message"] == "the time was over while shop.find worked"
    assert result.timings["total"] == pytest.approx(3000)
    assert result.timings["tool"] == pytest.approx(2000)


async def test_no_model_is_a_typed_error_with_the_line_to_type() -> None:
    """The cure is that of the binding."""
    from dataclasses import replace

    wanted = Wanted([agent_spec("a")], bound={})
    async with serving(wanted) as served:
        agent = served.engine.deployment.agents["a"]
        served.engine.deployment.agents["a"] = replace(agent, missing="ollama pull phi4-mini")  # type: ignore[index] # a plain map, put in for this test
        result = await served.run("hello")
    assert result.error == {
        "code": "ORC502",
        "kind": "NoModel",
        "message": "no model serves agent.a",
        "cure": "ollama pull phi4-mini",
    }


@pytest.mark.parametrize("support", [Support.NO, Support.IGNORED])
async def test_an_agent_with_tools_is_not_served_by_a_server_without_tool_calls(support: Support) -> None:
    """It would answer from imagination what it should look up: its rules answer, else the fault is told."""
    tool = FakeTool("shop", {"find": "found"})
    able = {Capability.TOOLS: support}
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool], capabilities=able)
    async with serving(wanted) as served:
        result = await served.run("hello")
        assert not served.server.records
    assert result.error is not None and result.error["kind"] == "NoModel"
    assert "no server of its models does tool calls: m@1" in result.error["message"]

    by_rule = agent_spec("a", tools=["shop"], reflex=[rule("{{ result }}", call="shop.find", first=False)])
    async with serving(Wanted([by_rule], [tool], capabilities=able)) as served:
        assert (await served.run("hello")).text == "found"

    async with serving(Wanted([agent_spec("a")], capabilities=able)) as served:
        assert (await served.run("hello")).text == "hello", "an agent without tools needs no tool calls"


async def test_fallbacks_of_a_model_are_tried_and_told() -> None:
    """The attempts stand in the step."""
    models = {"m": model_spec(fallback=["n"]), "n": model_spec("n")}
    wanted = Wanted([agent_spec("a")], models=models, bound={"m": ("m@1",), "n": ("m@2",)})
    first = simulated(["m"])
    first.arm("model-missing")
    async with serving(wanted, first, simulated(["m"])) as served:
        result = await served.run("hello")
        assert "run.fallback" in served.kinds()
    assert result.served_by == "m@2"
    attempts = result.steps[0].detail["attempts"]
    assert [(each["endpoint"], each["outcome"]) for each in attempts] == [("m@1", "ModelNotFound"), ("m@2", "ok")]
