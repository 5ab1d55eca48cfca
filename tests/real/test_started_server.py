"""The real llama-server, started from a manifest: killed, started again, taken over, changed without a pause, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest

import orchestrator
from scripts.build_llama_server import cache_folder
from tests.cli.commands import apart
from tests.real.serving import QUIET
from tests.real.test_runtime import User
from tests.real.tiny_model import CHATTY, make
from tests.runtime.living import eventually, marked_in

CLERK = """\
metadata: {name: clerk}
deployment:
  type: single-device
  models:
    - alias: tiny
      provider: llama-cpp
      server: {path: tiny.gguf, scenario: development, threads: 1, context_length: CONTEXT}
  agents:
    - name: clerk
      description: Talks.
      instructions: You talk.
      model: tiny
      max_tokens: 12
      reflex: [{without_model: true, say: I can only take a note.}]
"""


class Owner(User):
    """A user whose machine has llama-server on its path."""

    def __init__(self, home: Path, binary: Path) -> None:
        super().__init__(home)
        programs = home / "bin"
        programs.mkdir()
        (programs / "llama-server").symlink_to(binary)
        (home / "tiny.gguf").symlink_to(make(CHATTY, cache_folder()))
        self.environment["PATH"] = f"{programs}:{os.environ['PATH']}"

    def writes(self, context: int) -> str:
        """The manifest, with this context."""
        path = self.home.path / "clerk.yaml"
        path.write_text(CLERK.replace("CONTEXT", str(context)))
        return str(path)

    def server(self) -> dict[str, Any]:
        """What status says of the one server."""
        (server,) = self.status()["servers"]
        found: dict[str, Any] = server
        return found

    def ready(self) -> dict[str, Any]:
        """The server, once it is ready."""
        eventually(lambda: self.server()["state"] == "ready", 20)
        return self.server()

    def home_servers(self) -> list[psutil.Process]:
        """Processes of servers that a runtime of this user started."""
        return servers_in(self.home.path / "state")

    def log_text(self) -> str:
        """The deployment's own log, as text."""
        return "\n".join(f"{entry.get('does', '')} ({entry.get('cause', '')})" for entry in self.log())

    def is_answered_by_the_model(self) -> bool:
        """Not by the reflex rule."""
        result = self.asks()
        return bool(result["status"] == "completed" and result["served_by"].startswith("llama-cpp@"))


def servers_in(state: Path) -> list[psutil.Process]:
    """Processes that a runtime of this state started."""
    return [each for each in psutil.process_iter() if marked_in(each, str(state / "logs" / "servers"))]


@pytest.fixture
def owner(llama_binary: Path) -> Iterator[Owner]:
    """The folder's path is short enough for a socket; nothing of the user outlives the test."""
    folder = Path(tempfile.mkdtemp(prefix="orc-"))
    made = Owner(folder, llama_binary)
    yield made
    apart("runtime", "stop", "--drain", "1s", environment=made.environment)
    left = made.home_servers()
    made.home.close()
    shutil.rmtree(folder, ignore_errors=True)
    assert left == [], "a stopped runtime leaves no server"


def test_a_server_lives_from_the_manifest_to_down(owner: Owner) -> None:
    """Started and asked for a token by apply; back after kill -9, on the same port; taken over by the next runtime after
    kill -9 of the first; kept by an apply of the same manifest; changed without a pause by one with other options; gone after
    down."""
    manifest = owner.writes(1024)
    planned = owner.types("plan", manifest).out
    assert "+ server.tiny" in planned and "start llama-server with tiny-" in planned
    assert "note: tiny: context_length: --ctx-size 1024, one slot (manifest)" in planned
    applied = owner.types("apply", manifest)
    first = owner.server()
    assert (
        "start llama-server" in applied.err
        and f"tiny (llama-cpp at {first['url'].removeprefix('http://')})" in applied.out
    )
    assert owner.is_answered_by_the_model()

    os.kill(first["pid"], signal.SIGKILL)
    eventually(lambda: owner.server()["pid"] not in (None, first["pid"]), 20)
    second = owner.ready()
    assert second["url"] == first["url"]
    eventually(owner.is_answered_by_the_model, 20)

    os.kill(json.loads(owner.types("status", "--json").out)["runtime"]["pid"], signal.SIGKILL)
    owner.types("runtime", "start")
    assert owner.ready()["pid"] == second["pid"]
    eventually(owner.is_answered_by_the_model, 20)

    assert "nothing to do" in owner.types("apply", manifest).err
    assert owner.server()["pid"] == second["pid"]

    changed = owner.types("apply", owner.writes(2048))
    eventually(lambda: len(owner.status()["servers"]) == 1, 20)
    third = owner.server()
    assert "anew beside the one that serves" in owner.log_text()
    assert "anew beside the one that serves" in changed.err and third["pid"] != second["pid"]
    assert "--ctx-size 2048" in " ".join(psutil.Process(third["pid"]).cmdline())
    assert not psutil.pid_exists(second["pid"]) or psutil.Process(second["pid"]).status() == psutil.STATUS_ZOMBIE
    assert owner.is_answered_by_the_model()

    owner.types("down", "clerk")
    assert owner.home_servers() == []


def test_it_has_the_slots_that_it_is_given_and_the_plan_is_the_same_once_it_runs(owner: Owner) -> None:
    """The least of the numbers that are written: what it is told, what it has, and what the scheduler gives it at once. A plan of
    an unchanged manifest says the same before a question, after it, and after another start of the runtime."""
    path = Path(owner.writes(1024))
    device = "type: single-device\n"
    text = path.read_text().replace(device, f"{device}  resources: {{max_concurrent_agents: 3}}\n")
    text = text.replace("scenario: development", "scenario: enterprise, gpu_layers: auto, max_num_seqs: 6")
    path.write_text(text.replace("provider: llama-cpp\n", "provider: llama-cpp\n      max_concurrent: 5\n"))
    planned = owner.types("plan", str(path)).out
    assert "note: tiny: max_num_seqs: --parallel 3 (max_concurrent_agents, not 5: manifest)" in planned
    assert "note: tiny: context_length: --ctx-size 3072, 3 slots of 1024 (manifest)" in planned
    owner.types("apply", str(path))
    words = psutil.Process(owner.server()["pid"]).cmdline()
    assert [words[words.index(name) + 1] for name in ("--parallel", "--ctx-size")] == ["3", "3072"]
    with urlopen(f"{owner.server()['url']}/props", timeout=10) as told:
        props = json.load(told)
    assert (props["total_slots"], props["default_generation_settings"]["n_ctx"]) == (3, 1024)
    (endpoint,) = owner.status()["endpoints"]
    assert endpoint["slots"] == 3
    before = _planned(owner, path)
    assert "nothing to do" in before
    assert owner.is_answered_by_the_model()
    assert _planned(owner, path) == before
    owner.types("runtime", "stop", "--drain", "1s")
    owner.types("runtime", "start")
    owner.ready()
    eventually(owner.is_answered_by_the_model, 20)
    assert _planned(owner, path) == before


def _planned(owner: Owner, path: Path) -> str:
    """Its free port is another one in another life of the runtime."""
    return owner.types("plan", str(path)).out.replace(owner.server()["url"].removeprefix("http://"), "HERE")


def test_a_server_rests_and_the_next_question_starts_it(owner: Owner) -> None:
    """No process while nobody asks; an apply of the same manifest leaves it at rest; the answer says what it waited for."""
    manifest = owner.writes(1024)
    text = Path(manifest).read_text()
    Path(manifest).write_text(text.replace("provider: llama-cpp\n", "provider: llama-cpp\n      keep_alive: 1s\n"))
    assert "cannot be kept" not in owner.types("apply", manifest).err
    eventually(lambda: owner.server()["state"] == "resting", 20)
    assert owner.home_servers() == []
    assert "nothing to do" in owner.types("apply", manifest).err
    assert "tiny of clerk (llama-cpp) rests since" in owner.types("models", "list").out
    for verb in ("show", "load", "unload"):
        asked = apart("models", verb, "tiny", environment=owner.environment)
        assert asked.code == 4 and "tiny of clerk (llama-cpp) rests since" in asked.err, asked.err
        assert "cure: orchestrator chat clerk, or any request for it" in asked.err
    result = owner.asks()
    (call,) = [step for step in result["steps"] if step["kind"] == "model"]
    assert result["served_by"].startswith("llama-cpp@") and call["detail"]["load_ms"] > 0
    eventually(lambda: owner.server()["state"] == "resting", 20)
    owner.types("down", "clerk")
    assert json.loads(owner.types("status", "--json").out)["deployments"] == []
    assert owner.home_servers() == []


def test_a_model_that_cannot_be_loaded_is_told_and_the_agent_answers_without_it(owner: Owner) -> None:
    """The last lines of the log say why, in status too; when the file is mended, an apply has it serve."""
    manifest = owner.writes(1024)
    model = owner.home.path / "tiny.gguf"
    model.unlink()
    assert f"there is no file {model}" in owner.types("apply", manifest).out + owner.types("status", "clerk").out
    model.write_text("no model")
    applied = owner.types("apply", manifest)
    assert "+ server.tiny: start" in applied.err and "failed: given up after 3 tries" in applied.err
    assert owner.asks()["served_by"] == "reflex"
    failed = owner.server()
    assert failed["state"] == "failed" and "exit code 1" in failed["why"]
    model.unlink()
    model.symlink_to(make(CHATTY, cache_folder()))
    owner.types("apply", manifest)
    eventually(owner.is_answered_by_the_model, 20)


@pytest.mark.anyio
async def test_a_deployment_in_this_process_starts_and_ends_its_server(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any runtime; with the block ends the server."""
    monkeypatch.setenv("PATH", owner.environment["PATH"])
    state = owner.home.path / "own"
    async with orchestrator.open(owner.writes(1024), environment=QUIET, state=state) as opened:
        result = await opened.run("hello")
        assert result.served_by.startswith("llama-cpp@"), result.error
        assert len(servers_in(state)) == 1
    assert servers_in(state) == []


def test_an_apply_whose_only_server_is_given_up_fails_and_one_that_answers_without_it_does_not(owner: Owner) -> None:
    """A file that was cut: the deployment stays, its exit code and its first line say that nothing answers."""
    model = owner.home.path / "tiny.gguf"
    whole = model.read_bytes()
    model.unlink()
    model.write_bytes(whole[: len(whole) // 2])
    manifest = Path(owner.writes(1024))
    assert apart("apply", str(manifest), environment=owner.environment).code == 0
    manifest.write_text(
        manifest.read_text().replace("      reflex: [{without_model: true, say: I can only take a note.}]\n", "")
    )
    applied = apart("apply", str(manifest), environment=owner.environment)
    assert applied.code == 4
    assert applied.out.startswith("clerk runs, revision 2, but nothing answers for agent.clerk\n")


def test_the_build_that_a_file_is_is_read_and_told_whatever_its_name(owner: Owner) -> None:
    """By its own word before it is started, and by its server's once it runs: another one is not started in its place."""
    manifest = Path(owner.writes(1024))
    plain = manifest.read_text()
    manifest.write_text(plain.replace("provider: llama-cpp", "provider: llama-cpp\n      quantization: Q8_0"))
    refused = owner.types("apply", str(manifest))
    assert "tiny is wanted as q8_0, and the files of its server are f32" in refused.err
    assert "write quantization: f32" in refused.err and owner.home_servers() == []

    manifest.write_text(plain.replace("provider: llama-cpp", "provider: llama-cpp\n      quantization: F32"))
    applied = owner.types("apply", str(manifest))
    assert "f32, as the manifest says" in applied.err, applied.err
    assert owner.is_answered_by_the_model()
    (listed,) = json.loads(owner.types("models", "list", "--json").out)["servers"]
    assert [(each["id"], each["quantization"]) for each in listed["models"]] == [("tiny", "F32")]
    assert "F32" in owner.types("models", "show", "tiny").out
    owner.types("down", "clerk")
