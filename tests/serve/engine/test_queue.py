"""The manifest's `queue:` reaches the line at the model server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from orchestrator.core.request import Result
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from tests.serve.engine.parts import Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio


async def three_at_once(queue: Mapping[str, Any]) -> list[Result]:
    """Three requests for one slot, each a minute of work."""
    wanted = Wanted([agent_spec("a")], slots=1, queue=queue, timeout=600.0)
    results: list[Result] = []
    async with serving(wanted, simulated(["m"], pace=Pace(ttft=60.0))) as served, anyio.create_task_group() as tasks:

        async def ask() -> None:
            results.append(await served.run("hello"))

        for _ in range(3):
            tasks.start_soon(ask)
    return results


def outcomes(results: list[Result]) -> list[str]:
    return sorted(str(result.error["kind"]) if result.error else "answered" for result in results)


async def test_a_line_of_one_refuses_the_third() -> None:
    """With one in work and one waiting, at once."""
    assert outcomes(await three_at_once({"interactive": {"length": 1, "timeout": 300.0}})) == [
        "QueueFull",
        "answered",
        "answered",
    ]


async def test_a_short_patience_ends_those_who_wait() -> None:
    """Only the one in work is answered."""
    assert outcomes(await three_at_once({"interactive": {"timeout": 5.0}})) == ["QueueFull", "QueueFull", "answered"]


async def test_a_long_patience_lets_all_wait() -> None:
    """Longer than the class would give by itself."""
    assert outcomes(await three_at_once({"interactive": {"timeout": 300.0}})) == ["answered"] * 3
