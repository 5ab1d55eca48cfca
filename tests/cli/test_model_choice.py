"""Which model and which build answer, and that the plan, the result and the run's story say why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Ran, apart

Run = Callable[..., Ran]


@pytest.fixture
def orchestrator(tmp_path: Path) -> Iterator[Run]:
    """Runs a verb with a runtime of its own, which is stopped at the end."""
    environment = {"ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": "", "TZ": "UTC"}

    def run(*words: str, stdin: str = "") -> Ran:
        return apart(*words, stdin=stdin, folder=tmp_path, environment=environment)

    yield run
    assert run("runtime", "stop", "--drain", "1s").code == 0


@pytest.fixture
def model_server() -> Iterator[str]:
    """An Ollama, simulated, with two builds of one model and another model; gives its address."""
    served = ("phi4-mini:3.8b", "phi4-mini:3.8b-q8_0", "qwen2.5:0.5b")
    words = [word for name in served for word in ("--model", name)]
    command = [sys.executable, "-m", "orchestrator.testing.simulated_server", "--face", "ollama", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


def test_a_model_that_is_chosen_by_its_tasks_is_explained(orchestrator: Run, model_server: str, tmp_path: Path) -> None:
    """In the result, in the step of the call and in the run's story; an agent that names its model says that it does."""
    models = (
        f"[{{alias: phi-4-mini, primary: true, endpoint: '{model_server}'}},"
        f" {{alias: qwen2.5-0.5b, tasks: [classification], endpoint: '{model_server}'}}]"
    )
    agents = (
        "[{name: cls, instructions: Classify., specialized_for: classification},"
        " {name: desk, instructions: Answer., model: phi-4-mini}]"
    )
    (tmp_path / "sel.yaml").write_text(f"deployment: {{type: single-device, models: {models}, agents: {agents}}}\n")
    assert orchestrator("apply", "sel.yaml").code == 0
    reason = "qwen2.5-0.5b: its tasks claim what the agent is specialised for"
    told = json.loads(orchestrator("run", "sel", "hi", "--agent", "cls", "--json").out)
    assert told["served_by"].endswith("/qwen2.5:0.5b") and told["why"] == f"agent.cls: {reason}"
    assert [step["detail"]["chosen"] for step in told["steps"] if step["kind"] == "model"] == [reason]
    story = orchestrator("explain", "run", told["id"]).out
    assert re.search(rf"why +agent\.cls: {re.escape(reason)}\n", story) and f"chosen {reason}" in story
    named = json.loads(orchestrator("run", "sel", "hi", "--agent", "desk", "--json").out)
    assert named["why"] == "agent.desk: phi-4-mini: the agent names it"
    assert orchestrator("down", "sel").code == 0


def test_the_build_that_fits_and_the_model_that_claims_a_request_are_used(
    orchestrator: Run, model_server: str, tmp_path: Path
) -> None:
    """The plan says which build and why; the run's story says which model and why."""
    models = (
        f"[{{alias: phi-4-mini, primary: true, endpoint: '{model_server}'}},"
        f" {{alias: qwen2.5-0.5b, secondary: true, complexity: [simple], endpoint: '{model_server}'}}]"
    )
    agent = "{name: desk, instructions: Answer., model: [phi-4-mini, qwen2.5-0.5b]}"
    deployment = f"{{type: single-device, hardware: {{memory: 6GB}}, models: {models}, agents: [{agent}]}}"
    (tmp_path / "sizes.yaml").write_text(f"deployment: {deployment}\n")
    plan = orchestrator("plan", "sizes.yaml").out
    assert "as phi4-mini:3.8b; q4_k_m is the best build that fits (phi4-mini:3.8b-q8_0 needs 5.4 GB of 4.8 GB)" in plan
    assert orchestrator("apply", "sizes.yaml").code == 0
    hard = json.loads(orchestrator("run", "sizes", "hello", "--complexity", "complex", "--json").out)
    assert hard["served_by"].endswith("/phi4-mini:3.8b")
    unclaimed = "none of the agent's models is for complex requests"
    assert hard["why"] == f"agent.desk: phi-4-mini: the agent names it first, {unclaimed}"
    easy = json.loads(
        orchestrator("run", "sizes", "hello", "--complexity", "simple", "--priority", "bulk", "--json").out
    )
    assert easy["served_by"].endswith("/qwen2.5:0.5b")
    assert "qwen2.5-0.5b: it is for simple requests" in orchestrator("explain", "run", easy["id"]).out
    assert orchestrator("down", "sizes").code == 0
