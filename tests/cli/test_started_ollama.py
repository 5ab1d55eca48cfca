"""An Ollama that the orchestrator starts: what it lacks is pulled into it, by apply and by hand, and it says how far it is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.commands import Ran, apart, command
from tests.launchers.programs import put
from tests.runtime.living import eventually

FAKE = Path(__file__).parents[1] / "servers" / "fake_ollama.py"
QWEN = {"qwen2.5:0.5b": 397_807_936, "qwen2.5:0.5b-instruct-q8_0": 531_000_000}
DESK = """
metadata: {{name: desk}}
deployment:
  type: single-device
  models:
    - {{alias: qwen2.5-0.5b, provider: ollama, quantization: {build}, server: {{start_timeout: 20s}}}}
  agents:
    - name: clerk
      instructions: Answer in one sentence.
      reflex: [{{when: {{keywords: [hello]}}, say: hi, without_model: true}}]
"""
FIRST = "first: pull qwen2.5:0.5b by ollama at 127.0.0.1:PORT (q4_k_m, 398 MB), and bind to it"


class Machine:
    """A machine with the fake program on its path, whose store outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.store.mkdir()
        self.keep([], QWEN)
        program = put(folder / "bin", "ollama", f'exec {sys.executable} {FAKE} {self.store} "$@"')
        path = f"{program.parent}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "HOME": str(folder), "ORCHESTRATOR_SERVERS": ""}

    def keep(self, installed: list[str], library: dict[str, int]) -> None:
        """What its store has, and what there is to pull."""
        (self.store / "store.json").write_text(json.dumps({"installed": installed, "library": library}))

    @property
    def installed(self) -> list[str]:
        found: list[str] = json.loads((self.store / "store.json").read_text())["installed"]
        return found

    @property
    def starts(self) -> int:
        file = self.store / "starts"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def manifest(self, build: str = "q4_k_m") -> str:
        file = self.folder / "desk.yaml"
        file.write_text(DESK.format(build=build))
        return str(file)

    def ran(self, *words: str) -> Ran:
        """The command; its server's port is shown as PORT."""
        found = apart(*words, environment=self.environment)
        return Ran(
            found.code, *(re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:PORT", text) for text in (found.out, found.err))
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(apart("status", "--json", environment=self.environment).out)
        return found

    def server(self) -> dict[str, Any]:
        (server,) = self.status()["deployments"][0]["servers"]
        found: dict[str, Any] = server
        return found


@pytest.fixture
def machine(tmp_path: Path, home: Path) -> Iterator[Machine]:
    """No runtime and no server stays."""
    del home
    made = Machine(tmp_path)
    yield made
    made.ran("runtime", "stop")
    for line in (made.store / "starts").read_text().splitlines() if made.starts else []:
        assert not lives(int(line.split()[0])), "a stopped runtime leaves no server"


def lives(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_apply_starts_it_pulls_what_it_lacks_and_binds(machine: Machine) -> None:
    """The plan has it as a step with what comes; the second apply has nothing to do, and the third process nothing to pull."""
    path = machine.manifest()
    plan = machine.ran("plan", path)
    pulls = "pull qwen2.5:0.5b by the ollama serve that is started, where it lacks it (q4_k_m, 398 MB), and bind to it"
    assert pulls in plan.out, plan.out
    applied = machine.ran("apply", path)
    assert applied.code == 0, applied.err
    assert f"{FIRST} (model.qwen2.5-0.5b; --no-pull leaves it)" in applied.err
    assert "downloading 0 B of 398 MB (0%)" in applied.err
    assert "bind to ollama at 127.0.0.1:PORT as qwen2.5:0.5b" in applied.err
    assert "failed" not in applied.err and "not served" not in applied.err
    assert "desk runs, revision 1" in applied.out
    assert (machine.installed, machine.starts, machine.server()["state"]) == (["qwen2.5:0.5b"], 1, "ready")
    assert "nothing to do" in machine.ran("plan", path).out
    machine.ran("down", "desk")
    again = machine.ran("apply", path)
    assert (again.code, "first: pull" in again.err, machine.starts) == (0, False, 2)


def test_without_pulling_it_says_what_is_missing_and_is_bound_once_that_is_there(machine: Machine) -> None:
    """Its state is empty, it is listed, and a pull by hand is enough: nobody applies again, and nothing is started again."""
    path = machine.manifest()
    assert "pull qwen" not in machine.ran("apply", path, "--dry-run", "--no-pull").out
    applied = machine.ran("apply", path, "--no-pull")
    cure = "orchestrator models pull qwen2.5-0.5b --quantization q4_k_m --endpoint http://127.0.0.1:PORT"
    assert (applied.code, cure in applied.out, machine.installed) == (0, True, [])
    server = machine.server()
    assert (server["state"], server["why"]) == ("empty", "it has no qwen2.5:0.5b in q4_k_m yet")
    told = machine.ran("status").out
    assert f"not served: ollama at 127.0.0.1:PORT has no qwen2.5:0.5b in q4_k_m yet; {cure}" in told
    assert "waits for server.qwen2.5-0.5b since" in told and "its model, to be pulled into it" in told
    assert (
        "ollama 0.33.0 at http://127.0.0.1:PORT (loads, pulls, removes)\n  no model"
        in machine.ran("models", "list").out
    )
    pulled = machine.ran("models", "pull", "qwen2.5-0.5b", "--quantization", "q4_k_m")
    assert pulled.code == 0, pulled.err
    eventually(lambda: machine.server()["state"] == "ready", 20)
    eventually(lambda: bool(machine.status()["deployments"][0]["models"][0]["endpoints"]), 20)
    assert (machine.starts, "nothing to do" in machine.ran("plan", path).out) == (1, True)


def test_the_build_that_the_manifest_names_is_pulled_and_another_needs_no_other_process(machine: Machine) -> None:
    """Under whichever of its names the library has it; what is there in another build is not bound in its place."""
    machine.keep(["qwen2.5:0.5b"], QWEN)
    applied = machine.ran("apply", machine.manifest("q8_0"))
    assert applied.code == 0, applied.err
    assert "bind to ollama at 127.0.0.1:PORT as qwen2.5:0.5b-instruct-q8_0" in applied.err
    assert machine.installed == ["qwen2.5:0.5b", "qwen2.5:0.5b-instruct-q8_0"]
    other = machine.ran("apply", machine.manifest("q4_k_m"), "--yes")
    assert "bind to ollama at 127.0.0.1:PORT as qwen2.5:0.5b;" in other.err, other.err
    assert (other.code, machine.starts, machine.server()["state"]) == (0, 1, "ready")


def test_a_pull_that_fails_leaves_it_empty_and_the_deployment_applied(machine: Machine) -> None:
    """With the reason; it is tried once, and the server stays up for whoever pulls something else."""
    machine.keep([], {})
    applied = machine.ran("apply", machine.manifest())
    assert (applied.code, applied.err.count("first: pull")) == (0, 1), applied.err
    assert "qwen2.5-0.5b is not there: " in applied.err and "nothing to do" not in applied.err
    assert "desk runs, revision 1" in applied.out
    assert machine.server()["state"] == "empty"
    assert machine.ran("run", "desk", "hello").out == "hi\n"


def test_it_is_taken_over_empty_by_the_next_runtime(machine: Machine) -> None:
    """And not ended for what it lacks."""
    machine.ran("apply", machine.manifest(), "--no-pull")
    os.kill(machine.status()["runtime"]["pid"], signal.SIGKILL)
    machine.ran("runtime", "start")
    eventually(lambda: machine.server()["state"] == "empty", 20)
    assert machine.starts == 1
    applied = machine.ran("apply", machine.manifest())
    assert (applied.code, FIRST in applied.err, machine.server()["state"]) == (0, True, "ready"), applied.err
    assert "is not served" not in applied.err


def test_in_the_foreground_it_is_pulled_too(machine: Machine) -> None:
    """The runtime is this process then; a signal ends it."""
    argv = command("apply", machine.manifest(), "--foreground")
    environment = {**os.environ, **machine.environment}
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as runtime:
        assert runtime.stdout is not None
        try:
            told = runtime.stdout.readline()
            assert told.startswith("desk runs, revision 1"), told
            assert (machine.installed, machine.server()["state"]) == (["qwen2.5:0.5b"], "ready")
        finally:
            runtime.send_signal(signal.SIGTERM)
            runtime.wait(30)
