"""A deployment on a server of the fake program, and both planes in this process to apply it to."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.settings import Settings
from orchestrator.app.wiring import InProcess, open_in_process
from orchestrator.core.blueprint import Blueprint
from tests.plan.parts import agent, blueprint, model, rule
from tests.servers.yard import Place

SETTINGS = Settings.read({"ORCHESTRATOR_SERVERS": "", "ORCHESTRATOR_LOOK_EVERY": "0.2s"})


def desk(place: Place, name: str, **options: Any) -> Blueprint:
    """A deployment whose model has a server of the fake program."""
    spec: dict[str, Any] = {
        "kind": "llama-cpp",
        "model": str(place.root / f"{name}.gguf"),
        "scenario": None,
        "host": "127.0.0.1",
    }
    spec |= {"port": None, "start_timeout": 20.0, "remote_code": False, "options": options}
    tiny = model("tiny", provider="llama-cpp", ids={"*": ["tiny"]}, server=spec)
    return blueprint(tiny, agent("clerk", models=["tiny"], reflex=[rule("alone")]), name=name)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """With a program; whatever a failed test leaves is ended."""
    made = Place(tmp_path)
    made.program()
    yield made
    left = made.processes()
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert left == [], f"left behind: {left}"


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Place, InProcess]]:
    """Both planes in this process, with the fake program on the path; nothing of it outlives the test."""
    place = Place(tmp_path)
    monkeypatch.setenv("PATH", f"{place.program().parent}:{os.environ['PATH']}")
    spare = blueprint(agent("a", reflex=[rule("spare")]), name="spare")
    async with open_in_process(spare, state=tmp_path / "own", settings=SETTINGS) as made:
        yield place, made
    assert place.processes() == []
