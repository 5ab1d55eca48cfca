"""Official client, front door, engine, HTTP provider, and a model server in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from openai import AsyncOpenAI

from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.gateway.bind import bind_port
from orchestrator.gateway.front import FrontDoor
from orchestrator.gateway.listen import Listener
from orchestrator.plugins.providers.compatible import open_openai_compatible
from orchestrator.ports.provider import Provider, Target
from orchestrator.serve.engine import Engine, EngineTable
from orchestrator.serve.loop import Loop
from orchestrator.serve.session import Sessions
from tests.gateway.test_official_client import HELLO, until
from tests.serve.engine.parts import Wanted, agent_spec

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def chain(log: Path, *options: str) -> AsyncIterator[AsyncOpenAI]:
    """The client's end of it."""
    command = [
        sys.executable,
        "-m",
        "orchestrator.testing.simulated_server",
        "--model",
        "m",
        "--log",
        str(log),
        *options,
    ]
    provider = open_openai_compatible()
    async with await anyio.open_process(command, stderr=None) as process:
        assert process.stdout is not None
        url = (await process.stdout.receive()).decode().split()[-1].rstrip("/")
        spec = EndpointSpec("m@1", Target(provider.kind, f"{url}/v1", "m"), cast(Provider, provider), 4)
        made = replace(Wanted([agent_spec("a")]).deployment(cast(Provider, provider), {}), endpoints={"m@1": spec})
        loop, table = Loop(), EngineTable()
        async with anyio.create_task_group() as tasks:
            await tasks.start(loop.run)
            loop.set_endpoints(made.endpoints)
            table.switch("shop", Engine(made, loop, Sessions(), lambda event: None))
            sock = bind_port("127.0.0.1", 0)
            listener = await Listener.start(FrontDoor(table), sock)
            async with AsyncOpenAI(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}/v1", api_key="x") as client:
                yield client
            await listener.aclose()
            tasks.cancel_scope.cancel()
        await provider.aclose()
        process.terminate()


def outcomes(log: Path) -> list[str]:
    """How the requests ended that the model server saw."""
    return [json.loads(line)["outcome"] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_goes_away_ends_the_generation_on_the_model_server(tmp_path: Path, streamed: bool) -> None:
    """Its own log says so, and how little it had made."""
    log = tmp_path / "log.jsonl"
    async with chain(log, "--ttft", "100ms", "--tps", "20") as client:
        text: list[Any] = [{"role": "user", "content": "word " * 400}]
        with anyio.move_on_after(0.6):
            answer: Any = await client.chat.completions.create(model="shop", messages=text, stream=streamed)
            async for _ in answer:
                pass
        await until(lambda: outcomes(log) == ["cancelled"])
    assert json.loads(log.read_text().splitlines()[-1])["tokens"] < 100


async def test_answers_on_a_kept_connection_come_without_a_wait(tmp_path: Path) -> None:
    """Neither side waits for the other's acknowledgements: twenty answers take far less than twenty times 40 ms."""
    async with chain(tmp_path / "log.jsonl") as client:
        await client.chat.completions.create(model="shop", messages=HELLO)
        began = anyio.current_time()
        for _ in range(20):
            await client.chat.completions.create(model="shop", messages=HELLO)
        assert anyio.current_time() - began < 0.6
