"""A runtime that hangs is told within seconds by every verb; one that takes long and lives is waited for."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from orchestrator.app import client as client_module
from orchestrator.app import patience
from orchestrator.app.answer import HANGS, SLOW, RuntimeHangs
from orchestrator.app.client import BUSY, WAITS, RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.cli.main import execute
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from tests.cli.commands import Screen, apart
from tests.plan.parts import agent, blueprint, rule
from tests.runtime.living import Home

STOP = "  cure: orchestrator runtime stop ends it, start brings it back\n"
# Real time: the tool runs in the runtime's process, and must last longer than the patience that is tried here.
SLEEPY = "import time\n\n\ndef nap() -> str:\n    '''Sleeps.'''\n    time.sleep(1.5)\n    return 'awake'\n"
NAPPING = """\
metadata: {name: shop}
deployment:
  type: single-device
  tools: [{name: sleepy, python: 'sleepy:nap'}]
  agents: [{name: a, tools: [sleepy], reflex: [{call: sleepy.nap, say: '{{ result }}'}]}]
"""
SHOP = blueprint(agent("a", reflex=[rule("hello")]), name="shop")


@contextmanager
def stopped(client: RuntimeClient) -> Iterator[None]:
    """Its process does nothing inside of the block, as if it hung."""
    pid = int(client.about()["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def client(home: Home) -> RuntimeClient:
    """A runtime that serves."""
    client = home.start()
    client.apply(Wanted(SHOP))
    return client


def test_a_hang_is_told_within_a_few_seconds(client: RuntimeClient) -> None:
    """With the times that users have; a script gets the error only."""
    with stopped(client):
        began = time.monotonic()
        ran = apart("logs", "shop")
        assert time.monotonic() - began < 10.0  # five, and what a busy machine adds
    assert ran.code == 4 and ran.err.startswith(f"error[ORC411]: {HANGS}\n")
    assert apart("run", "shop", "hi").out == "hello\n"


def test_each_verb_tells_a_hang_and_says_meanwhile_at_a_terminal_that_it_waits(
    client: RuntimeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that look first whether one runs at all."""
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(patience, "HANGS_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "GLANCE_SECONDS", 0.2)
    told = f"error[ORC411]: {HANGS}\n"
    with stopped(client):
        for words in ("logs shop", "history shop", "rollback shop", "run shop hi", "explain run", "down shop"):
            err = Screen(terminal=True)
            code = execute(words.split(), Terminal((Screen(), Screen(), err), {}, plain=True))
            assert (words, code, err.getvalue()) == (words, 4, f"{WAITS}\n{told}{STOP}")
        for words in ("status", "runtime status", "models list"):
            err = Screen(terminal=True)
            code = execute(words.split(), Terminal((Screen(), Screen(), err), {}, plain=True))
            assert (words, code, err.getvalue()) == (words, 4, f"{told}{STOP}")


def test_what_it_works_on_is_given_up_later_than_what_it_has_not_begun(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hang in the middle of a run is told too."""
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(patience, "HANGS_WORKING_SECONDS", 1.0)
    client = _napping(home, tmp_path)
    with stopped_when_begun(client), pytest.raises(RuntimeUnavailable, match="does not answer"):
        client.run("shop", Request("hi"), _noted)


_BEGUN = threading.Event()


def _noted(_: object) -> None:
    _BEGUN.set()


@contextmanager
def stopped_when_begun(client: RuntimeClient) -> Iterator[None]:
    """Its process stops as soon as a run has told its first event."""
    pid = int(client.about()["pid"])
    _BEGUN.clear()

    def stop() -> None:
        if _BEGUN.wait(10):
            os.kill(pid, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        os.kill(pid, signal.SIGCONT)


def _napping(home: Home, folder: Path) -> RuntimeClient:
    """A runtime whose one agent answers after a while."""
    (folder / "sleepy.py").write_text(SLEEPY)
    manifest = folder / "shop.yaml"
    manifest.write_text(NAPPING)
    client = home.start()
    client.apply(Wanted(compile_files([str(manifest)], environment={}).blueprint))
    return client


def test_work_that_takes_long_is_waited_for(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still longer than a runtime may be silent, and its runtime lives."""
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(patience, "HANGS_WORKING_SECONDS", 0.5)
    assert _napping(home, tmp_path).run("shop", Request("hi")).text == "awake"


# ---- a plain answer that takes long ----------------------------------------------------------------------------------


class _Answers(BaseHTTPRequestHandler):
    """Says at once that it lives, and answers everything else after a while."""

    def do_GET(self) -> None:
        if self.path != "/version":
            time.sleep(1.2)  # real time: the client in the other process must see silence, and then an answer
        body = json.dumps({"state": "ready", "deployments": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing to be said."""


class _Slow(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def slow(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RuntimeClient, list[str]]]:
    """A client of such a program, and what who waits is told."""
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.1)
    told: list[str] = []
    client = RuntimeClient(home.folders, tell=told.append)
    with _Slow(str(client.socket), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield client, told
        server.shutdown()
        thread.join()


def test_a_runtime_that_is_busy_is_waited_for_and_that_is_told_once(slow: tuple[RuntimeClient, list[str]]) -> None:
    """It shows life: its answer comes."""
    client, told = slow
    assert client.status()["deployments"] == []
    assert told == [BUSY]


def test_one_that_lives_and_never_answers_is_told_apart_from_a_hang(
    slow: tuple[RuntimeClient, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To stop it would be the wrong cure."""
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.4)
    with pytest.raises(RuntimeHangs, match=SLOW) as caught:
        slow[0].status()
    assert "stop" not in caught.value.cure
