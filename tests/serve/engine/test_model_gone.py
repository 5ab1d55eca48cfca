"""A model server that has just gone is still bound until the next look: the rules for an agent without a model answer."""

from __future__ import annotations

import pytest

from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, rule, serving

pytestmark = pytest.mark.anyio

DEGRADED = [rule("", call="shop.find"), rule("I can only take a note.", first=False)]


def gone(*, after: int = 0, script: Script | None = None) -> SimulatedEndpoint:
    """A server that answers ``after`` requests and then cannot be reached."""
    return simulated(["m"], script or Script(), faults=[f"reset@{after + 1}-99"])


async def test_rules_without_a_model_answer_where_no_server_can_be_reached() -> None:
    """The run's story has the fault; rules that are tried before a model are not tried again."""
    tool = FakeTool("shop", {"find": 1})
    wanted = Wanted([agent_spec("a", tools=["shop"], reflex=DEGRADED)], [tool])
    async with serving(wanted, gone()) as served:
        result = await served.run("go")
    assert (result.status, result.text, result.served_by) == ("completed", "I can only take a note.", "reflex")
    assert [step.detail["fault"] for step in result.steps if step.kind == "model"] == ["Unreachable"]
    assert len(tool.calls) == 1


async def test_without_such_a_rule_the_fault_is_told() -> None:
    """Rules that are tried before a model had their turn."""
    wanted = Wanted([agent_spec("a", reflex=[rule("Hello.", when={"keywords": ["hello"]})])])
    async with serving(wanted, gone()) as served:
        result = await served.run("go")
    assert result.error is not None and result.error["kind"] == "Unreachable"


async def test_once_the_model_has_spoken_no_rule_takes_over() -> None:
    """It may have done something that the rule would do again."""
    tool = FakeTool("shop", {"find": 1})
    rules = [rule("Found {{ result }}.", call="shop.find", first=False)]
    wanted = Wanted([agent_spec("a", tools=["shop"], reflex=rules)], [tool])
    script = Script([Rule("", calls=(("shop_find", {}),))])
    async with serving(wanted, gone(after=1, script=script)) as served:
        result = await served.run("go")
    assert result.error is not None and result.error["kind"] == "Unreachable"
    assert len(tool.calls) == 1


async def test_another_fault_than_a_lost_server_is_told() -> None:
    """A server that is there and fails is no reason to hide it."""
    wanted = Wanted([agent_spec("a", reflex=DEGRADED[1:])])
    async with serving(wanted, simulated(["m"], faults=["server-error@*"])) as served:
        result = await served.run("go")
    assert result.error is not None and result.error["kind"] == "ServerFailed"
