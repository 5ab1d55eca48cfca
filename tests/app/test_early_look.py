"""A model that its server has lost is noticed by the first call, not at the next round."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from orchestrator.app.compile import compile_files
from orchestrator.app.early_look import EarlyLook
from orchestrator.app.settings import Settings
from orchestrator.app.wiring import open_in_process
from orchestrator.core.errors import DeployError
from orchestrator.core.request import Request
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.http_shell import serving
from tests.deploy.fakes import until

pytestmark = pytest.mark.anyio

MANIFEST = """
metadata: {name: desk}
deployment:
  type: single-device
  models:
    - {alias: first, provider: openai-compatible, model: m, endpoint: "URL", fallback: [second]}
    - {alias: second, provider: openai-compatible, model: n, endpoint: "URL"}
  agents:
    - {name: sales, model: first, instructions: You sell., examples: [buy a drill]}
"""
SELDOM = Settings.read({"ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_LOOK_EVERY": "1h"})


async def test_a_model_that_is_gone_has_its_server_looked_at_at_once(tmp_path: Path) -> None:
    """The call that finds it out goes on to the next model, and after the look nothing is bound to the lost one."""
    endpoint, path = simulated(["m", "n"]), tmp_path / "desk.yaml"
    async with serving(endpoint) as shell:
        path.write_text(MANIFEST.replace("URL", shell.url), encoding="utf-8")
        blueprint = compile_files([str(path)], environment={}).blueprint
        async with open_in_process(blueprint, state=tmp_path / "state", settings=SELDOM) as desk:
            assert len(desk.planes.loop.snapshot()) == 2
            endpoint.models = ("n",)
            result = await desk.run(Request("hello"))
            assert result.error is None
            await until(lambda: len(desk.planes.loop.snapshot()) == 1)
            assert [view.id.rpartition("/")[2] for view in desk.planes.loop.snapshot()] == ["n"]


async def test_many_who_ask_get_one_look() -> None:
    """Those who ask while one is made are answered by the next; a look that fails ends nothing."""
    looks, begun, go_on, early = 0, anyio.Event(), anyio.Event(), EarlyLook()

    async def look() -> None:
        nonlocal looks
        looks += 1
        begun.set()
        await go_on.wait()
        raise DeployError("the runtime is shutting down")

    async with anyio.create_task_group() as group:
        group.start_soon(early.run, look)
        for name in "abc":
            early.ask(name)
        await begun.wait()
        for name in "abc":
            early.ask(name)
        assert looks == 1
        go_on.set()
        await until(lambda: looks == 2)
        await anyio.wait_all_tasks_blocked()
        assert looks == 2
        group.cancel_scope.cancel()
