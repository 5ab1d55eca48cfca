"""A yard of real processes: fake programs, real launchers, providers and records, in folders of a test."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import anyio
import psutil

from orchestrator.app.launchers import Launchers
from orchestrator.app.wiring import InProcess, Plugins
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.event import Event
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.server_records import ServerWant
from orchestrator.deploy.servers import Servers
from orchestrator.deploy.supervisor_rules import SupervisorRules
from orchestrator.deploy.yard import Yard
from orchestrator.plan.observed import ServerUse
from orchestrator.plugins.hosts.processes import MARKER, LocalProcesses
from orchestrator.ports.lifecycle import LaunchOrder
from tests.launchers.programs import put
from tests.plan.parts import agent, blueprint, model, rule

QUICK: Final = SupervisorRules(again=Backoff(0.05, 0.1), grace=0.3)
FAKE: Final = Path(__file__).with_name("fake_server.py")


@dataclass
class Place:
    """Folders of one test, with a program in them and model files that say how it behaves."""

    root: Path
    records: Path | None = None
    told: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def program(self, name: str = "llama-server") -> Path:
        """A fake program on the path."""
        return put(self.root / "bin", name, f'exec {sys.executable} -S {FAKE} "$@"')

    def model(self, name: str = "tiny.gguf", **plan: Any) -> Path:
        """A model file with a plan for whoever serves it."""
        file = self.root / name
        file.write_text(f"GGUF    {json.dumps(plan)}")
        return file

    def starts(self, name: str = "tiny.starts") -> list[str]:
        """The lines of all starts."""
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []

    def want(
        self, name: str = "kiosk/tiny", model: str = "tiny.gguf", timeout: float = 20.0, **order: Any
    ) -> ServerWant:
        """A server of the fake program."""
        wanted = LaunchOrder(str(self.root / model), name.partition("/")[2], **order)
        return ServerWant(name, "llama-cpp", wanted, timeout)

    def yard(self, plugins: Plugins) -> Yard:
        launchers = Launchers(self.root / "programs.json", {"PATH": f"{self.root / 'bin'}"})
        state = self.root / "state"
        return Yard(
            launch=launchers.launch,
            glance=launchers.glance,
            usual=launchers.usual,
            meet=launchers.meet,
            leave=launchers.leave,
            processes=LocalProcesses(),
            provider=plugins.provider,
            records=self.records or state / "servers",
            models=state / "models",
            logs=state / "logs",
            environment={"PATH": os.environ["PATH"]},
            program=launchers.program,
        )

    @asynccontextmanager
    async def life(self, rules: SupervisorRules = QUICK, *, close: bool = True) -> AsyncIterator[Servers]:
        """One life of a runtime: restored at its begin; closed at its end, or cut off as by a kill."""
        plugins = Plugins()
        servers = Servers(self.yard(plugins), self._hear, self.changed.append, rules, lambda: 0.5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(servers.run)
            await servers.restore()
            try:
                yield servers
                if close:
                    await servers.close()
            finally:
                tasks.cancel_scope.cancel()
        await plugins.aclose()

    def _hear(self, event: Event) -> None:
        why = f": {event.fields['why']}" if event.fields["why"] else ""
        self.told.append(f"{event.deployment}/{event.fields['server']} {event.fields['state']}{why}")

    def processes(self) -> list[psutil.Process]:
        """All that carry a marker of records or logs of this place, and all that were begun without an environment."""
        return [*(each for each in marked() if str(self.root) in _working_folder(each)), *self.bare()]

    def bare(self) -> list[psutil.Process]:
        """Those that live of what fake servers began without an environment."""
        numbers = [int(line) for file in self.root.glob("*.bare") for line in file.read_text().split()]
        found = [psutil.Process(number) for number in numbers if psutil.pid_exists(number)]
        return [each for each in found if str(self.root) in _working_folder(each) and not _is_zombie(each)]


def marked() -> list[psutil.Process]:
    """Every process that a server's marker is in."""
    return [each for each in psutil.process_iter() if _marker(each)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _marker(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARKER, "") if process.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return ""


def _working_folder(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that another process does."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is another process's
            await anyio.sleep(0.01)


async def looked(made: InProcess) -> None:
    """Wait for two turns of the loop: one may be in the middle, the other is whole."""
    begun = made.planes.reconciler.turns
    await until(lambda: made.planes.reconciler.turns >= begun + 2)


def with_port(want: ServerWant, port: int) -> ServerWant:
    """The same, on a port that is named."""
    return replace(want, order=replace(want.order, port=port))


def with_server(folder: Path, threads: int, keep_alive: float | None = None) -> Blueprint:
    """A model with a server of the fake program, which may rest for so long, and an agent that can do without it."""
    order = {"model": str(folder / "tiny.gguf"), "scenario": None, "host": "127.0.0.1", "port": None}
    server = {
        "kind": "llama-cpp",
        **order,
        "start_timeout": 20.0,
        "remote_code": False,
        "options": {"threads": threads},
    }
    tiny = model("tiny", provider="llama-cpp", ids={"*": ["tiny"]}, server=server, keep_alive=keep_alive)
    return blueprint(tiny, agent("clerk", models=["tiny"], reflex=[rule("alone")]), name="desk")


class Nobody:
    """Calls no server."""

    def use_of(self, name: str, url: str) -> ServerUse:
        del name, url
        return ""

    def works_at(self, url: str) -> bool:
        del url
        return False
