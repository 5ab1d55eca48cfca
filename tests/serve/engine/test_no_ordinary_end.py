"""An answer that its server ended with abort or repetition is no answer: another model is asked, or it is told."""

from __future__ import annotations

import pytest

from orchestrator.testing.endpoint import simulated
from tests.serve.engine.parts import Wanted, agent_spec, model_spec, serving

pytestmark = pytest.mark.anyio

TWO = Wanted(
    [agent_spec("orders", models=["large"])],
    models={"large": model_spec("large", fallback=["small"]), "small": model_spec("small")},
    bound={"large": ("m@1",), "small": ("m@2",)},
)


@pytest.mark.parametrize("fault", ["abort", "repetition"])
async def test_another_model_answers(fault: str) -> None:
    """Nobody has seen a piece of it."""
    async with serving(TWO, simulated(["m"], faults=[f"{fault}@*"]), simulated(["m"])) as served:
        result = await served.run("what do you have?")
    assert (result.status, result.served_by, result.finish_reason) == ("completed", "m@2", "stop")
    assert f"(finish_reason {fault})" in result.steps[0].detail["attempts"][0]["message"]


async def test_where_the_caller_has_read_some_of_it_the_run_fails_with_what_had_come() -> None:
    """The end is told as it was."""
    async with serving(TWO, simulated(["m"], faults=["abort@*"]), simulated(["m"])) as served:
        result = await served.run("one two three", listen=lambda _: None)
    assert (result.status, result.text, result.finish_reason) == ("failed", "one two three", "error")
    assert result.error is not None and result.error["code"] == "ORC528"
    assert "(finish_reason abort)" in result.error["message"]
