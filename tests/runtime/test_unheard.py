"""Who hears no pieces of an answer has seen none when an attempt fails: another attempt, or another agent, may answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.app.connected import RemoteRuns, session_to
from orchestrator.core.request import Request, Result
from orchestrator.deploy.wanted import Wanted
from orchestrator.ports.host import SOCKET_NAME
from tests.runtime.living import Home

MANIFEST = """\
metadata: {{name: shop}}
deployment:
  type: single-device
  models: [{{alias: mine, provider: openai-compatible, model: m, endpoint: "{url}", primary: true}}]
  agents: [{{name: talk, description: Talks., instructions: Talk., model: mine}}]
"""
WORDS = "one two three four five six seven eight nine ten"


@pytest.fixture
def client(home: Home, tmp_path: Path) -> Iterator[RuntimeClient]:
    """A runtime whose model breaks off its first answer after five tokens, and repeats what it hears after that."""
    program = str(Path(sys.executable).with_name("orchestrator"))
    command = [program, "simulate-endpoint", "--model", "m", "--fault", "drop-mid:5@1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        (tmp_path / "shop.yaml").write_text(MANIFEST.format(url=url), encoding="utf-8")
        made = home.start()
        made.apply(Wanted(compile_files([str(tmp_path / "shop.yaml")], environment={}).blueprint))
        yield made
        server.kill()


def assert_answered(result: Result) -> None:
    assert (result.status, result.text) == ("completed", WORDS), result.error
    assert [each["outcome"] for step in result.steps for each in step.detail.get("attempts", ())] == [
        "CutOff",
        "ok",
    ]


def test_an_answer_that_breaks_off_unheard_is_asked_for_again(client: RuntimeClient) -> None:
    """By the command line with --json, which hears nothing before the end."""
    assert_answered(client.run("shop", Request(WORDS)))


def test_so_it_is_for_a_program_that_does_not_listen(client: RuntimeClient, home: Home) -> None:
    """By `orchestrator.connect`."""

    async def ask() -> Result:
        async with session_to(home.folders.runtime / SOCKET_NAME) as http:
            return await RemoteRuns("shop", http).run(Request(WORDS))

    assert_answered(asyncio.run(ask()))


def test_what_was_heard_is_not_taken_back(client: RuntimeClient) -> None:
    """It fails with what was said."""
    result = client.run("shop", Request(WORDS), lambda _: None)
    assert result.status == "failed" and all("attempts" not in step.detail for step in result.steps)
    assert WORDS.startswith(result.text) and result.text
