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
    """It is told whose fault it was; what runs beside it goes on meanwhile, and what ends by itself has ended."""
    reports: list[str] = []
    faults: list[Exception] = [RecursionError("too deep"), ExceptionGroup("two", [ValueError("x")])]

    async def run() -> None:
        if faults:
            raise faults.pop(0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_running, "the desk", run, reports.append, 0.0)
    assert reports == [
        "the desk failed, and goes on in 0 s: RecursionError: too deep",
        "the desk failed, and goes on in 0 s: ExceptionGroup: two (1 sub-exception)",
    ]
