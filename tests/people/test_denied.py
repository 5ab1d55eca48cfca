"""What a person refused in a run stays refused in it, whoever wants it next; and who comes next is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.request import Result
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.script import Rule, Script
from tests.people.parts import AMOUNT, PERSON, Desked, by_model, desked, kinds, paying, shop
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, model_spec, rule

pytestmark = pytest.mark.anyio
NO = "never, it is fraud"
GATE: dict[str, Any] = {"escalate_to": "b", "escalate_when": ["abstains"], "gate": {"abstains": {}}}


def two(tool: FakeTool, **second: Any) -> Wanted:
    """An agent that goes up to another when it does not know."""
    parts = [agent_spec("a", tools=["shop"], **GATE), agent_spec("b", **{"models": ["n"], "tools": ["shop"], **second})]
    models = {"m": model_spec(), "n": model_spec("n")}
    return Wanted(parts, [tool], models=models, bound={"m": ("m@1",), "n": ("m@2",)})


def unsure() -> SimulatedEndpoint:
    """A model that wants to pay 900, and does not know what to say then."""
    return simulated(["m"], paying(900, say="UNKNOWN"))


def above(*amounts: int) -> SimulatedEndpoint:
    """The model of the agent above."""
    return simulated(["m"], paying(*amounts, say="b was told: {result}"))


async def again(it: Desked, tool: FakeTool) -> dict[str, Any]:
    """How a run ends whose agents want the same call one after the other."""
    result = await it.served.run("pay it")
    found = dict(await it.after(result, "deny", NO))
    assert tool.calls == []
    return found


async def test_the_agent_above_is_told_at_once_and_nobody_is_asked_again(tmp_path: Path) -> None:
    """The same function with the same arguments: no new approval."""
    tool = shop()
    async with desked(tmp_path, two(tool), unsure(), above(900)) as it:
        found = await again(it, tool)
        assert len(await it.desk.newest("shop", 9, closed=True)) == 1
    assert (found["status"], found["agent"]) == ("completed", "b")
    assert found["text"].startswith(f'b was told: error: ana refused shop.pay with these arguments before, in this run: {NO}. ')
    assert kinds(found) == ["model", "person", "tool", "model", "doubt", "escalate", "model", "tool", "model"]
