"""What a chat completion costs in a server that stands between client and model: this runtime, and LiteLLM's proxy.

Method: both run as their users run them (`orchestrator apply`; `litellm --config`), in front of one simulated endpoint that
answers at once, and are asked by one client, one request after another on one connection. CPU time (user and system) of the
server with its children per request, medians of interleaved rounds after one to warm up; the client's and the endpoint's are
not counted. Resident memory is read after the last round. LiteLLM's proxy is used without keys, database and logging; the
runtime keeps its record of every run, as always. What the front door adds is measured as in front_door.py, after them.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from benchmarks.front_door import added, read_answer
from benchmarks.measure import Row, at_least, cpu_of, program, runtime_of, show

ROUNDS: Final = 7
REQUESTS: Final = 150
STARTS_WITHIN: Final = 90.0
MODEL: Final = "canned"
OURS: Final = """\
metadata: {name: canned}
deployment:
  type: single-device
  models: [{alias: canned, model: canned, provider: vllm, endpoint: "%s/v1", primary: true}]
  agents: [{name: answers, model: canned}]
"""
THEIRS: Final = """\
model_list:
  - model_name: canned
    litellm_params: {model: openai/canned, api_base: "%s/v1", api_key: none}
"""
LITELLM_SETTINGS: Final = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # ours asks for no key on loopback either
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "NO_PROXY": "127.0.0.1",
}


@dataclass
class Server:
    """One that runs. ``spent`` are milliseconds of CPU per request, a round each."""

    process: psutil.Process
    port: int
    spent: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """One round."""
        before = self._cpu()
        ask(self.port, REQUESTS)
        self.spent.append((self._cpu() - before) / REQUESTS * 1e3)

    def _cpu(self) -> float:
        return sum(cpu_of(each) for each in (self.process, *self.process.children(recursive=True)))

    def cost(self) -> float:
        """The median; the first round warms up."""
        return statistics.median(self.spent[1:])

    def memory(self) -> float:
        """Resident, in MB, with its children."""
        return sum(each.memory_info().rss for each in (self.process, *self.process.children(recursive=True))) / 1e6


def ask(port: int, count: int) -> None:
    """That many requests on one connection, each answered before the next."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "do you have drills?"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    sent = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(count):
            connection.sendall(sent)
            read_answer(connection, stream=False)


@contextmanager
def _endpoint() -> Iterator[str]:
    """The base URL of a simulated model server."""
    command = [*program(), "simulate-endpoint", "--face", "vllm", "--model", MODEL, "--tps", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def our_runtime(url: str) -> Iterator[Server]:
    """A runtime with one agent behind its front door."""
    with tempfile.TemporaryDirectory() as home:
        port = _free_port()
        environment = {**os.environ, "ORCHESTRATOR_HOME": home, "ORCHESTRATOR_PORT": str(port)}
        manifest = Path(home, "manifest.yaml")
        manifest.write_text(OURS % url)
        _command(environment, "apply", str(manifest))
        try:
            yield Server(runtime_of(home), port)
        finally:
            _command(environment, "runtime", "stop")


def _command(environment: Mapping[str, str], *words: str) -> None:
    subprocess.run([*program(), *words], env=environment, check=True, capture_output=True)


@contextmanager
def litellm_proxy(peers_python: str, url: str) -> Iterator[Server]:
    """LiteLLM's proxy before the same endpoint."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        config = Path(folder, "config.yaml")
        config.write_text(THEIRS % url)
        argv = [str(Path(peers_python).with_name("litellm")), "--config", str(config), "--host", "127.0.0.1"]
        environment = {**os.environ, **LITELLM_SETTINGS}
        log = Path(folder, "log")
        with log.open("w") as out:
            process = subprocess.Popen([*argv, "--port", str(port)], stdout=out, stderr=out, env=environment)
            try:
                _wait_for(port, process, log)
                yield Server(psutil.Process(process.pid), port)
            finally:
                process.terminate()
                process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"LiteLLM's proxy did not start:\n{log.read_text()}") from None
            time.sleep(0.2)
        else:
            return


def rows(peers_python: str) -> list[Row]:
    """All rows."""
    with ExitStack() as stack:
        url = stack.enter_context(_endpoint())
        ours = stack.enter_context(our_runtime(url))
        theirs = stack.enter_context(litellm_proxy(peers_python, url))
        for _ in range(ROUNDS + 1):
            ours.turn()
            theirs.turn()
        return [
            Row("a chat completion through this runtime, its agent and one call", ours.cost(), "ms"),
            Row("... memory of the runtime", ours.memory(), "MB"),
            Row("a chat completion through LiteLLM's proxy, one call", theirs.cost(), "ms"),
            Row("... memory of the proxy", theirs.memory(), "MB"),
            Row("LiteLLM's proxy, times ours: the same work", theirs.cost() / ours.cost(), "x"),
            at_least(
                "... times what our front door alone adds, which is what the target is of",
                theirs.cost() / added(),
                "x",
                40,
            ),
        ]


def main(peers_python: str) -> None:
    """Print the rows. ``peers_python`` has the peers (see ``scripts/peers.sh``)."""
    show(rows(peers_python))


if __name__ == "__main__":
    main(sys.argv[1])
