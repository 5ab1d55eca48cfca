"""Fixtures that start real llama.cpp servers on the tiny model.

`llama_server` is a factory of running servers; every one of them is killed at the end of the session, and also when the
test process dies. The binary is built once with `make llama-server`.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest

from scripts.build_llama_server import cache_folder
from tests.real.tiny_model import CHATTY, TinyModel, make

READY_WITHIN = 60.0  # seconds; it takes 0.1 on an idle core
START_ATTEMPTS = 5  # another process may take the free port before the server does

# Runs a server that dies with us: its watcher reads our end of a pipe, which closes when we end, however we end.
DIES_WITH_US = 'exec 3<&0; (cat <&3 >/dev/null; kill -KILL $$) & exec 3<&-; exec "$@" </dev/null'


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; `json` is its body, which every llama.cpp route but /metrics sends as JSON."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class LlamaServer:
    """One running server. `url` is its root, without `/v1`; `log` is all that it has printed, growing."""

    port: int
    alias: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Reply:
        """Ask with the standard library's client, which knows nothing of this project."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Any) -> Reply:
        """Send `body` as JSON."""
        return self._ask("POST", path, json.dumps(body))

    def chat(self, text: str, **fields: Any) -> Reply:
        """One chat completion on a user's `text`; `fields` are added to the request."""
        messages = [{"role": "user", "content": text}]
        return self.post("/v1/chat/completions", {"model": self.alias, "messages": messages, **fields})

    def wait_for_log(self, text: str, seconds: float = 10.0) -> str:
        """The whole log, once `text` is in it; fails when it is not there in time."""
        deadline = time.monotonic() + seconds
        while text not in (printed := self.log.read_text(errors="replace")):
            if time.monotonic() > deadline:
                pytest.fail(f"{text!r} did not come in {seconds} s in {self.log}:\n{printed[-2000:]}")
            time.sleep(0.02)
        return printed

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def is_ready(self) -> bool:
        """Whether it is loaded and answers."""
        try:
            return self.get("/health").status == 200
        except OSError:
            return False

    def _ask(self, method: str, path: str, body: str | None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return Reply(response.status, response.read().decode())
        finally:
            connection.close()


@dataclass
class LlamaServers:
    """Starts servers, and keeps them so that all are killed at the end."""

    binary: Path
    folder: Path
    started: list[LlamaServer] = field(default_factory=list)

    def __call__(
        self, model: TinyModel = CHATTY, *options: str, alias: str = "tiny", slots: int = 2, context: int = 4096
    ) -> LlamaServer:
        """Start a server, wait until it is ready, and return it. `context` tokens are shared by all `slots`."""
        weights = make(model, cache_folder())
        return self._started(alias, ["-m", str(weights), "-a", alias, "-c", str(context), "-np", str(slots), *options])

    def router(self, folder: Path, *options: str) -> LlamaServer:
        """Start a server that loads the models of a folder on request; two slots of 1024 tokens each."""
        return self._started("router", ["--models-dir", str(folder), "-c", "2048", "-np", "2", *options])

    def _started(self, alias: str, shape: list[str]) -> LlamaServer:
        for _ in range(START_ATTEMPTS):
            server = self._start(alias, shape)
            if self._becomes_ready(server):
                return server
        last_log = self.started[-1].log.read_text(errors="replace")
        pytest.fail(f"llama-server did not start; its last log:\n{last_log[-4000:]}")

    def again(self, server: LlamaServer) -> LlamaServer:
        """Start a server that was killed once more, on its own port; its log goes on."""
        _, _, _, _, *command = server.process.args  # type: ignore[misc] # a list, as it was started with
        with server.log.open("a") as output:
            back = LlamaServer(server.port, server.alias, server.log, _spawn([str(word) for word in command], output))
        self.started.append(back)
        if not self._becomes_ready(back):
            pytest.fail(f"llama-server did not come back on port {server.port}: {server.log}")
        return back

    def kill_all(self) -> None:
        for server in self.started:
            server.kill()

    def _start(self, alias: str, shape: list[str]) -> LlamaServer:
        port = free_port()
        command = [str(self.binary), "--host", "127.0.0.1", "--port", str(port), "-t", "1"]
        command += ["--jinja", "--metrics", "--slots", "--props", *shape]
        log = self.folder / f"{alias}-{port}.log"
        with log.open("w") as output:
            server = LlamaServer(port, alias, log, _spawn(command, output))
        self.started.append(server)
        return server

    def _becomes_ready(self, server: LlamaServer) -> bool:
        deadline = time.monotonic() + READY_WITHIN
        while server.process.poll() is None:
            if server.is_ready():
                return True
            if time.monotonic() > deadline:
                pytest.fail(f"llama-server was not ready in {READY_WITHIN} s: {server.log}")
            time.sleep(0.02)
        server.kill()
        return False


def _spawn(command: list[str], output: TextIO) -> subprocess.Popen[bytes]:
    shell = ["/bin/sh", "-c", DIES_WITH_US, "sh", *command]
    return subprocess.Popen(
        shell, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def llama_binary() -> Path:
    """The real llama.cpp server; a session without it fails, it does not skip."""
    script = Path(__file__).parents[2] / "scripts" / "build_llama_server.py"
    found = subprocess.run([sys.executable, str(script), "--only-cached"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.fail(found.stderr)
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def llama_server(llama_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServers]:
    """Call it for a running server: `llama_server()`, `llama_server(TinyModel(seed=3), "--api-key", "x")`."""
    servers = LlamaServers(llama_binary, tmp_path_factory.mktemp("llama"))
    yield servers
    servers.kill_all()


@pytest.fixture(scope="session")
def tiny_server(llama_server: LlamaServers) -> LlamaServer:
    """One server that tests share; do not kill it."""
    return llama_server()
