"""The background runtime with a real model server that comes and goes: what the command line shows, and what clients get."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cli.commands import Ran, apart
from tests.real.llama import LlamaServer, LlamaServers
from tests.real.serving import ENDLESS, LONG, QUIET, working, write
from tests.runtime.living import Home, eventually, free_port

CLERK = """\
metadata: {name: clerk}
deployment:
  type: single-device
  models:
    - {alias: tiny, provider: llama-cpp, model: tiny, endpoint: "$TINY"}
  agents:
    - name: clerk
      description: Talks.
      instructions: You talk.
      model: tiny
      max_tokens: LONGEST
      reflex: [{without_model: true, say: I can only take a note.}]
"""


class User:
    """A user with a state of their own, who types commands."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.port = free_port()
        self.environment = {**QUIET, "ORCHESTRATOR_HOME": str(home), "ORCHESTRATOR_PORT": str(self.port)}

    def types(self, *words: str) -> Ran:
        ran = apart(*words, environment=self.environment)
        assert ran.code == 0, ran.err
        return ran

    def asks(self, text: str = "hello") -> dict[str, Any]:
        """The result as JSON."""
        result: dict[str, Any] = json.loads(self.types("run", "clerk", text, "--json").out)
        return result

    def status(self) -> dict[str, Any]:
        """What `status` says of the deployment."""
        (deployment,) = json.loads(self.types("status", "clerk", "--json").out)["deployments"]
        found: dict[str, Any] = deployment
        return found

    def log(self) -> list[dict[str, Any]]:
        """The deployment's own log."""
        return [json.loads(line) for line in self.types("logs", "clerk", "--json").out.splitlines()]


@pytest.fixture
def user() -> Iterator[User]:
    """The folder's path is short enough for a socket; nothing of the user outlives the test."""
    folder = Path(tempfile.mkdtemp(prefix="orc-"))
    made = User(folder)
    yield made
    apart("runtime", "stop", "--drain", "1s", environment=made.environment)
    made.home.close()
    shutil.rmtree(folder, ignore_errors=True)


def _moves(log: list[dict[str, Any]]) -> list[str]:
    """What was done with the model, in turn. A look that meets the server while it loads tells another reason why it is gone on
    without, which is the same move."""
    steps = [entry.get("fields", entry) for entry in log if entry["kind"] == "apply.step"]
    done = [step["action"] for step in steps if step["state"] == "done" and step["address"] == "model.tiny"]
    return [action for action, _ in groupby(done)]


def test_a_model_server_that_comes_and_goes_is_seen_and_used(
    user: User, llama_server: LlamaServers, tmp_path: Path
) -> None:
    """Bound by apply, degraded to rules when it is killed, bound again when it is back: without another apply."""
    server = llama_server()
    manifest = write(tmp_path, CLERK.replace("LONGEST", "10"), tiny=server)
    applied = user.types("apply", str(manifest))
    assert (
        applied.out.startswith("clerk runs, revision 1\n")
        and f"tiny (llama-cpp at 127.0.0.1:{server.port})" in applied.out
    )
    assert_bound(user, manifest, server)

    server.kill()
    assert user.asks()["served_by"] == "reflex"  # also before the runtime has looked again
    eventually(lambda: user.status()["state"] == "degraded", 20)
    assert_degraded(user, manifest, server)

    back = llama_server.again(server)
    eventually(lambda: user.status()["state"] == "running", 20)
    assert_bound(user, manifest, back)
    assert user.status()["revision"] == 1
    assert _moves(user.log()) == ["BindModel", "ServeWithoutModel", "RebindModel"]
    back.kill()


def assert_bound(user: User, manifest: Path, server: LlamaServer) -> None:
    """The server is named by status and doctor, and answers."""
    endpoint = f"llama-cpp@127.0.0.1:{server.port}/tiny"
    assert user.status()["state"] == "running"
    assert endpoint in user.types("status", "clerk").out
    checkup = user.types("doctor", str(manifest)).out
    assert (
        f"at {server.url}: tiny" in checkup and f"agent.clerk  tiny (llama-cpp at 127.0.0.1:{server.port})" in checkup
    )
    result = user.asks()
    assert (result["status"], result["served_by"]) == ("completed", endpoint), result["error"]


def assert_degraded(user: User, manifest: Path, server: LlamaServer) -> None:
    """Status and doctor say what is missing; the answer comes from the agent's rule."""
    shown = user.types("status", "clerk").out
    assert "degraded" in shown and f"model.tiny  not served: {server.url}: nobody listens there" in shown
    assert "not served" in user.types("doctor", str(manifest)).out
    result = user.asks()
    assert (result["text"], result["served_by"]) == ("I can only take a note.", "reflex")


@pytest.fixture
def endless(user: User, llama_server: LlamaServers, tmp_path: Path) -> Iterator[LlamaServer]:
    """A server whose answers do not end, applied as the model of `clerk`."""
    server = llama_server(ENDLESS, *LONG, slots=1, context=65536)
    user.types("apply", str(write(tmp_path, CLERK.replace("LONGEST", "60000"), tiny=server)))
    yield server
    server.kill()


def slot_is_freed(server: LlamaServer) -> None:
    """The server says that it stopped the work, and its slot is idle."""
    server.wait_for_log("cancel task", 20)
    eventually(lambda: working(server) == 0)
    assert "eval time" not in server.log.read_text(errors="replace"), "it wrote its answer to the end"


def leave_stream(port: int, started: Callable[[], bool]) -> None:
    """Read the first pieces with the official client, then close the connection."""
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="clerk", messages=[{"role": "user", "content": "go on"}], stream=True
        )
        said = [chunk.choices[0].delta.content for chunk, _ in zip(stream, range(5), strict=False)]
        assert any(said) and started()
        stream.close()


def leave_whole(port: int, started: Callable[[], bool]) -> None:
    """Ask for a whole answer, and hang up while it is made."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"model": "clerk", "messages": [{"role": "user", "content": "go on"}]})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    eventually(started)
    connection.close()


@pytest.mark.parametrize("leave", [leave_stream, leave_whole])
def test_a_client_that_hangs_up_at_the_front_door_frees_the_slot(
    user: User, endless: LlamaServer, leave: Callable[[int, Callable[[], bool]], None]
) -> None:
    """The disconnect goes all the way through: run, call, connection, generation. The run is told as cancelled."""
    leave(user.port, lambda: working(endless) == 1)
    slot_is_freed(endless)
    eventually(lambda: user.log()[-1]["kind"] == "run.finished")
    assert user.log()[-1]["error"]["kind"] == "RunCancelled"
    assert "ORC505 nobody waits for the answer any more: the caller went away" in user.types("explain", "run").out
