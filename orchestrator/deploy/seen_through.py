"""Servers that an apply started, seen through until they are ready or given up, and the steps of that told."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Final

import anyio

from orchestrator.deploy.begun import begun_before, server_steps
from orchestrator.deploy.servers import Servers
from orchestrator.deploy.supervisor import RESTS
from orchestrator.deploy.telling import Tell
from orchestrator.plan import operation as op
from orchestrator.plan.generations import server_of
from orchestrator.plan.observed import server_name
from orchestrator.plan.plan import Plan, Step
from orchestrator.plan.started_words import EMPTY

NOT_WANTED: Final = "it is not wanted any more"
BEGUN: Final = {"took_ms": 0.0, "goes_on": "it starts, and loads its model"}
"""How a step ends that starts a server for which nobody waits."""
ENDING: Final = {"took_ms": 0.0, "goes_on": "it ends"}


def tell_begun(step: Step, tell: Tell) -> None:
    """One for which nobody waits is done then: others serve beside one more, and what starts waits for what ends."""
    tell("started", step.as_json())
    if isinstance(step.operation, op.AddServer | op.EndServer):
        tell("done", step.as_json() | (BEGUN if isinstance(step.operation, op.AddServer) else ENDING))


async def see_through(
    servers: Servers, plan: Plan, names: Iterable[str], tell: Tell, *, ends: bool = False
) -> dict[str, str]:
    """Wait until each is ready or given up, and tell the step that started it; gives those that cannot be had, and why.
    ``ends``: those are not tried again."""
    steps = {server_name(plan.deployment, step.operation.name): step for step in server_steps(plan)}
    began = perf_counter()
    failed: dict[str, str] = {}

    async def wait(process: str) -> None:
        server, name = await servers.settled(process), server_of(process)
        step = steps[name].as_json() if name in steps else begun_before(name)
        if server is None or not (server.answers or (server.state == EMPTY and not ends)):
            why = server.why if server else NOT_WANTED
            failed[process] = why.partition(RESTS)[0] if ends else why
            tell("failed", step | {"error": {"message": failed[process]}})
        elif name in steps:
            tell("done", step | {"took_ms": round((perf_counter() - began) * 1e3, 3)})

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(wait, name)
    return failed
