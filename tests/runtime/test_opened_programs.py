"""Servers of programs that opened a deployment themselves: theirs while they live, and ended by the next runtime once they were
killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.living import Home, eventually
from tests.servers.yard import Place

MANIFEST = """
metadata: {name: desk}
deployment:
  type: single-device
  models:
    - {alias: phi-4-mini, provider: llama-cpp, server: {path: tiny.gguf}}
  agents:
    - {name: clerk, instructions: Answer.}
"""
PROGRAM = """
import asyncio, sys
import orchestrator

async def main():
    async with orchestrator.open(sys.argv[1]) as desk:
        print((await desk.run("hello")).text, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "shop")
    place.root.mkdir()
    place.program()
    place.model()
    (place.root / "desk.yaml").write_text(MANIFEST)
    return place


@pytest.fixture
def program(home: Home, place: Place) -> Iterator[subprocess.Popen[str]]:
    """A program whose server answers."""
    path = f"{place.root / 'bin'}:{os.environ['PATH']}"
    argv = [sys.executable, "-c", PROGRAM, str(place.root / "desk.yaml")]
    with subprocess.Popen(argv, env=home.environment(PATH=path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "well\n"
        yield process
        process.kill()


def test_one_that_was_killed_leaves_no_server_behind_the_next_runtime(
    home: Home, place: Place, program: subprocess.Popen[str]
) -> None:
    """While it lives, a runtime that begins leaves its server alone."""
    home.start()
    assert (home.stop(), program.poll(), len(servers(home))) == (0, None, 1)
    program.kill()
    program.wait()
    assert len(servers(home)) == 1
    home.start()
    eventually(lambda: servers(home) == [])
    assert list((home.folders.state / "in-process" / "servers").glob("process-*")) == []


def test_a_runtime_that_lives_ends_what_a_killed_program_leaves(home: Home, program: subprocess.Popen[str]) -> None:
    """Nobody else would for as long as it lives."""
    home.start()
    assert len(servers(home)) == 1
    program.terminate()
    program.wait()
    eventually(lambda: servers(home) == [], 30.0)


def servers(home: Home) -> list[int]:
    """Processes of model servers that were started in this home, by its logs, in which they work."""
    return [each.pid for each in Place(home.path).processes()]
