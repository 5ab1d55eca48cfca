"""A real runtime process in a home of its own, for tests that start, kill and ask one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import psutil

from orchestrator.app.answer import RuntimeHangs
from orchestrator.app.client import RuntimeClient
from orchestrator.app.start import clean_environment
from orchestrator.plugins.hosts.local import LocalHost
from orchestrator.plugins.hosts.processes import MARKER
from orchestrator.ports.host import Folders

ARGV = [sys.executable, "-P", "-m", "orchestrator.app.runtime"]


class Home:
    """A folder that ``ORCHESTRATOR_HOME`` points at, and the runtimes that were started in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def folders(self) -> Folders:
        """Its folders; the environment points at this home already."""
        return LocalHost().folders()

    @property
    def client(self) -> RuntimeClient:
        """A client of whatever runs here."""
        return RuntimeClient(self.folders)

    def environment(self, **more: str) -> dict[str, str]:
        """What a runtime of this home gets: no model servers of this machine."""
        own = {"ORCHESTRATOR_HOME": str(self.path), "ORCHESTRATOR_SERVERS": "", "PYTHONWARNINGS": "error"}
        return clean_environment(os.environ) | own | more

    def start(self, *words: str, wait: str = "ready", **environment: str) -> RuntimeClient:
        """Start a runtime and wait for its state (any, where ``wait`` is empty), or until it has ended."""
        logs = self.folders.state / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        with (logs / "runtime-start.log").open("ab") as log:
            process = subprocess.Popen([*ARGV, *words], env=self.environment(**environment), stdout=log, stderr=log)
        self.processes.append(process)
        client = self.client
        if wait:
            eventually(lambda: process.poll() is not None or _is(client, wait))
        return client

    def said(self) -> str:
        """What runtimes of this home printed."""
        return (self.folders.state / "logs" / "runtime-start.log").read_text()

    def said_file(self) -> TextIO:
        """The same as an open file, which can be read when it was deleted."""
        return (self.folders.state / "logs" / "runtime-start.log").open()

    def keep_secrets(self, text: str) -> None:
        """Write the file ``environment`` of its config folder, with the mode that it must have before anything is in it."""
        path = self.folders.config / "environment"
        path.touch(mode=0o600)
        path.write_text(text)

    def kill(self) -> None:
        """End the newest runtime as a power cut does."""
        self.processes[-1].send_signal(signal.SIGKILL)
        self.processes[-1].wait()

    def stop(self) -> int:
        """End the newest runtime well; gives its exit code."""
        self.processes[-1].send_signal(signal.SIGTERM)
        return self.processes[-1].wait(10)

    def left_over(self) -> list[int]:
        """Processes that still run in this home."""
        return [each.pid for each in psutil.process_iter() if _home_of(each) == str(self.path)]

    def servers(self) -> list[psutil.Process]:
        """Processes of model servers that runtimes of this home started."""
        logs = str(self.path / "state" / "logs" / "servers")
        return [each for each in psutil.process_iter() if marked_in(each, logs)]

    def close(self) -> None:
        """Whatever a test left."""
        for process_of_server in self.servers():
            process_of_server.kill()
        for process in self.processes:
            process.kill()
            process.wait()
        for pid in self.left_over():
            os.kill(pid, signal.SIGKILL)


def _is(client: RuntimeClient, state: str) -> bool:
    """Whether it is in that state. One that says nothing for two seconds may only lack time on a busy machine: whoever waits says
    when it is too late."""
    try:
        return client.state() == state
    except RuntimeHangs:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds, and say so where it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become so in time"
        time.sleep(0.005)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _home_of(process: psutil.Process) -> str:
    try:
        environment: Mapping[str, str] = process.environ()
    except psutil.Error:
        return ""
    # The tests' own process has the variable too.
    return environment.get("ORCHESTRATOR_HOME", "") if process.pid != os.getpid() else ""


def marked_in(process: psutil.Process, folder: str) -> bool:
    """Whether it is a model server that was started with this folder for its log."""
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and MARKER in process.environ() and process.cwd() == folder
    except psutil.Error:
        return False
