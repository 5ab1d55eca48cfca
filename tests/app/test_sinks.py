"""A sink's fault stays its own."""

from __future__ import annotations

import anyio
import pytest

from orchestrator.app.sinks import hear, keep_running
from orchestrator.core.event import Event


def test_a_sink_that_cannot_take_an_event_does_not_reach_the_request() -> None:
    """It is reported, with what was lost."""
    reports: list[str] = []

    def take(event: Event) -> None:
        raise TypeError("keys must be text")

    hear(Event("run.started", 0.0, "shop", 1, "run_1"), take, reports.append)
    assert reports == ["the event run.started of run_1 is lost: TypeError: keys must be text"]


@pytest.mark.anyio
async def test_a_sink_that_fails_is_run_again() -> None:
    """What runs beside it goes on meanwhile; a sink that ends by itself has ended."""
    reports: list[str] = []
    faults: list[Exception] = [RecursionError("too deep"), ExceptionGroup("two", [ValueError("x")])]

    async def run() -> None:
        if faults:
            raise faults.pop(0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_running, run, reports.append, 0.0)
    assert [report.partition(": ")[2] for report in reports] == [
        "RecursionError: too deep",
        "ExceptionGroup: two (1 sub-exception)",
    ]
