"""Requests in flight finish on the revision that they began on, and none is dropped, while revisions change under load."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio
import pytest

from orchestrator.core.blueprint import Blueprint
from orchestrator.deploy.wanted import Wanted
from orchestrator.plan.diff import diff
from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.pace import Pace
from tests.plan.parts import agent, blueprint, model, router, rule, tool
from tests.runtime.living import Home

pytestmark = pytest.mark.anyio

CHANGES = 6
BETWEEN = 160
"""Requests that end between two changes."""
WORKERS = 40


def _version(number: int, url: str) -> Blueprint:
    """Each version changes the words of one agent, and every second one its tools, so that parts come and go."""
    tools = ["tickets"] if number % 2 else []
    talk = agent("talk", models=["phi"], instructions=f"version {number}", keywords=["talk"], tools=tools)
    said = agent("said", reflex=[rule(f"version {number}")], keywords=["said"])
    desk = router("desk", "talk", "said", strategy="keyword")
    phi = model("phi", ids={"*": ["sim-chat"]}, endpoint=url, max_concurrent=64)
    parts = [phi, *([tool("tickets")] if tools else []), talk, said, desk]
    return blueprint(*parts, name="shop")


@dataclass
class Load:
    """Workers that ask without a pause, and what came of it."""

    session: aiohttp.ClientSession
    ended: list[tuple[int, int, str, str]] = field(default_factory=list)
    newest: int = 1
    late: int = 0
    going: bool = True

    async def work(self, number: int) -> None:
        while self.going:
            words = "talk to me" if number % 2 else "what was said"
            began, result = await self._ask(words)
            self.late += result["revision"] < self.newest
            self.ended.append((began, result["revision"], result["status"], result["text"]))

    async def _ask(self, words: str) -> tuple[int, dict[str, Any]]:
        body = {"name": "shop", "request": {"text": words}}
        async with self.session.post("http://localhost/run", json=body) as response:
            lines = [json.loads(line) async for line in response.content if line.strip()]  # empty: a sign of life
        assert lines[0]["kind"] == "run.started" and lines[-1]["kind"] == "end", lines[-1]
        return lines[0]["revision"], lines[-1]["value"]

    async def reached(self, count: int) -> None:
        while len(self.ended) < count:  # noqa: ASYNC110 - of many workers
            await anyio.sleep(0.005)

    async def came_to(self, revision: int) -> None:
        """Until one has ended that it answered: so many may end while it is applied that the count says nothing of it."""
        while all(ended != revision for _, ended, _, _ in self.ended[-BETWEEN:]):  # noqa: ASYNC110 - of many workers
            await anyio.sleep(0.005)  # a real runtime answers them: there is no event to wait for


async def test_a_thousand_requests_over_six_changes_of_revision_all_succeed_where_they_began(home: Home) -> None:
    """Through a real runtime and a real model server; some are still in work when the next revision takes over."""
    endpoint = SimulatedEndpoint(models=("sim-chat",), pace=Pace(ttft=0.03), slots=64)
    shell = HttpShell(endpoint)
    await shell.start()
    client = await anyio.to_thread.run_sync(home.start)
    await anyio.to_thread.run_sync(client.apply, Wanted(_version(1, shell.url)))
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(client.socket), limit=WORKERS)) as session:
        load = Load(session)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(WORKERS):
                    tasks.start_soon(load.work, number)
                for number in range(2, CHANGES + 2):
                    await load.reached((number - 1) * BETWEEN)
                    await anyio.to_thread.run_sync(client.apply, Wanted(_version(number, shell.url)))
                    load.newest = number
                await load.reached((CHANGES + 1) * BETWEEN)
                await load.came_to(CHANGES + 1)
                load.going = False
    last = _version(CHANGES + 1, shell.url)
    assert diff(last, await anyio.to_thread.run_sync(client.observe, last)).empty
    await shell.stop()
    assert len(load.ended) >= 1000
    assert Counter(status for _, _, status, _ in load.ended) == {"completed": len(load.ended)}
    assert [(began, ended) for began, ended, _, _ in load.ended if began != ended] == []
    assert {ended for _, ended, _, _ in load.ended} == set(range(1, CHANGES + 2))
    assert {
        text for _, ended, _, text in load.ended if text.startswith("version") and text != f"version {ended}"
    } == set()
    assert load.late > 0, "no request was in work across a change: the test shows nothing"
