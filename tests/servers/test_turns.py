"""Servers of ours that do not fit together, as real processes: they take turns, and never are there more than fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from orchestrator.app.wiring import InProcess
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.request import Request, Result
from orchestrator.deploy.status import status
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.plan import Plan
from tests.plan.parts import agent, blueprint, model
from tests.servers.conftest import desk
from tests.servers.test_rotation import processes
from tests.servers.yard import Place, looked, until

pytestmark = pytest.mark.anyio

ONE = 700_000_000
"""Room for one server of the fake program (613 MB) beside the orchestrator, and not for two."""


def several(place: Place, *aliases: str, limit: int = ONE, name: str = "desk", **changes: Any) -> Blueprint:
    """A deployment of these models, each with a server of its own, and a clerk for each."""
    specs = []
    for alias in aliases:
        (element,) = desk(place, alias, context_length=1024).of_kind("model")
        specs.append(model(alias, provider="llama-cpp", ids={"*": [alias]}, server=element.spec["server"], **changes))
    clerks = [agent(f"clerk-{alias}", models=[alias]) for alias in aliases]
    made = blueprint(*specs, *clerks, name=name, entry=f"agent.clerk-{aliases[0]}")
    return replace(made, resources={"max_memory_usage": limit})


async def apply(made: InProcess, wanted: Blueprint) -> Plan:
    return (await made.planes.reconciler.apply(Wanted(wanted), lambda _: None)).plan


async def ask(made: InProcess, alias: str, deployment: str = "desk", **options: Any) -> Result:
    return await made.planes.engines.get(deployment).run(Request("hello", agent=f"clerk-{alias}", **options))


def states(made: InProcess) -> dict[str, str]:
    return {name: state for name, state, _ in processes(made)}


@asynccontextmanager
async def counting(place: Place) -> AsyncIterator[list[int]]:
    """How many processes of servers there are, at every moment."""
    seen: list[int] = []

    async def count() -> None:
        while True:
            seen.append(len(place.processes()))
            await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        yield seen
        tasks.cancel_scope.cancel()


async def test_each_shows_a_token_and_a_request_for_the_one_at_rest_has_the_other_make_room(
    opened: tuple[Place, InProcess],
) -> None:
    """The first that is named stays; whoever waits says how long; a second apply changes nothing."""
    place, made = opened
    place.model("one.gguf", loading=0.2)
    place.model("two.gguf", loading=0.2)
    async with counting(place) as seen:
        plan = await apply(made, several(place, "one", "two"))
        assert [each for each in plan.notes if "takes turns" in each] == [
            f"{one}: takes turns with {two}: 613 MB + 613 MB of 620 MB (max_memory_usage 700 MB, less 80.0 MB for the "
            "orchestrator): a request may wait while its server is started"
            for one, two in (("one", "two"), ("two", "one"))
        ]
        assert states(made) == {"one": "ready", "two": "resting"}
        assert (await apply(made, several(place, "one", "two"))).empty
        await looked(made)
        assert states(made) == {"one": "ready", "two": "resting"}
        result = await ask(made, "two")
        (call,) = [step for step in result.steps if step.kind == "model"]
        assert (result.text, call.detail["load_ms"] > 150) == ("well", True)
        assert states(made) == {"one": "resting", "two": "ready"}
        assert (await ask(made, "one")).text == "well"
    assert max(seen) == 1
    assert [len(place.starts(f"{name}.starts")) for name in ("one", "two")] == [2, 2]
    (told,) = [each for each in status(made.planes.reconciler) if each["name"] == "desk"]
    assert (told["state"], told["waits"]) == ("running", [])
