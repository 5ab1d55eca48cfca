"""Requests to a deployment in this process whose model has a server of its own."""

from __future__ import annotations

from anyio.abc import TaskGroup

from orchestrator.app.wiring import InProcess
from orchestrator.core.request import Request
from tests.servers.yard import until


async def answer(made: InProcess, name: str = "desk") -> str:
    """What it says to a request."""
    return (await made.planes.engines.get(name).run(Request("hello"))).text


async def in_work(made: InProcess, tasks: TaskGroup) -> list[str]:
    """Have one asked, and wait until it is in work; its answer comes into the list."""
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await answer(made))

    tasks.start_soon(ask)
    live = made.planes.reconciler.table.get("desk")
    await until(lambda: live is not None and live.serving.in_flight == 1)
    return answers
