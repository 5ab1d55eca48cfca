"""One NATS server beside the runtime: started, tried, watched, started again, and never given up.

As with model servers (decision 0012) it ends with a runtime that is stopped, and outlives one that is killed: the next one takes
it over where it is still what is wanted, else ends it. It is known again by its record and by the mark in its environment.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final, Literal

import anyio
import anyio.to_thread

from orchestrator.app.fleet.records import (
    SidecarRecord,
    configuration_file,
    end_left,
    log_file,
    read_record,
    record_file,
)
from orchestrator.app.rotating import LARGEST
from orchestrator.core.digest import digest_of
from orchestrator.core.errors import DeployError, OrchestratorError
from orchestrator.deploy.backoff import Backoff
from orchestrator.deploy.server_logs import last_lines, size_of
from orchestrator.plugins.sidecars.nats_server import sickness, write_configuration
from orchestrator.ports.host import Child, Processes, ProcessIdentity
from orchestrator.ports.log_file import cut

SidecarState = Literal["waiting", "starting", "ready", "stopped"]


AGAIN: Final = Backoff(0.3, 60.0)


@dataclass(frozen=True, slots=True)
class SidecarRules:
    """Times are seconds. ``again``: pauses before it is started anew; one that was ready for ``calm`` is as good as new. It is
    ended after ``start`` without a successful try, and after ``misses`` tries in a row that failed, one every ``look``."""

    again: Backoff = AGAIN
    calm: float = 20.0
    start: float = 20.0
    glance: float = 0.05
    poll: float = 0.2
    look: float = 10.0
    misses: int = 3
    grace: float = 5.0


RULES: Final = SidecarRules()


@dataclass(frozen=True, slots=True)
class SidecarOrder:
    """What runs: its ``name`` (hub, leaf), the command, what is added to the environment (secrets stand nowhere else), the folder
    of its configuration, log and record, the ``text`` of its configuration as it shall be now, and ``probe``, a real use of it that
    raises where it cannot be used."""

    name: str
    argv: tuple[str, ...]
    secrets: Mapping[str, str] = field(repr=False)
    folder: Path
    text: Callable[[], str]
    probe: Callable[[], Awaitable[object]]

    @property
    def configuration(self) -> Path:
        """The file that its command names."""
        return configuration_file(self.folder, self.name)

    @property
    def log(self) -> Path:
        """What it says."""
        return log_file(self.folder, self.name)


@dataclass(eq=False)
class Sidecar:
    """Owns the process. ``state`` and ``why`` say how it is; ``starts`` counts how often it was started."""

    order: SidecarOrder
    processes: Processes
    rules: SidecarRules = RULES
    state: SidecarState = "waiting"
    why: str = ""
    starts: int = 0
    _record: SidecarRecord | None = None
    _read: int = 0
    _asked_again: str = ""
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def ready(self, patience: float) -> None:
        """Wait until it can be used. Raises ``DeployError`` after ``patience`` seconds, with what it said last."""
        with anyio.move_on_after(patience):
            while self.state != "ready":
                await self._changed.wait()
            return
        said = last_lines(self.order.log)
        why = self.why or "it does not answer"
        raise DeployError(
            f"the {self.order.name} server is not ready after {patience:g} s: {why}" + (f" ({said})" if said else ""),
            cure=f"see {self.order.log}",
        )

    async def changed(self) -> None:
        """Wait until its state is another one."""
        await self._changed.wait()

    def restart(self, why: str) -> None:
        """End it and start it anew; ``why`` is told."""
        self._asked_again = why

    async def run(self) -> None:
        """Have it run until cancelled; then it is ended."""
        times = 0
        try:
            await anyio.to_thread.run_sync(self._take_over)
            while True:
                ready_at = inf
                try:
                    if self._record is None:
                        self._became("starting")
                        await anyio.to_thread.run_sync(self._start)
                    await self._until_ready()
                    ready_at = anyio.current_time()
                    self._became("ready")
                    why = await self._until_sick()
                except (OrchestratorError, OSError) as error:  # a full disk too: it is told, and tried again
                    why = error.line if isinstance(error, OrchestratorError) else str(error)
                self._became("waiting", why)
                await self._end()
                times = 0 if anyio.current_time() - ready_at >= self.rules.calm else times
                await anyio.sleep(self.rules.again.delay(times, random.random))
                times += 1
        finally:
            with anyio.CancelScope(shield=True):
                await self._end()
            self._became("stopped")

    # -- its life ---------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        """What an earlier life left running goes on, where it is what is wanted now; else nothing of it may stay."""
        record = read_record(self.order.folder, self.order.name)
        if record is None:
            return
        process = record.process or self.processes.find(record.marker)
        same = record.digest == self._digest and self._written() == self.order.text()
        if same and process is not None and self.processes.alive(process):
            self._record = SidecarRecord(record.marker, record.digest, process)
            self._read = size_of(self.order.log)
            return
        end_left(self.order.folder, self.order.name, self.processes)

    def _start(self) -> None:
        """Written down before it is started: whoever comes after a power cut looks for the mark."""
        write_configuration(self.order.configuration, self.order.text())
        cut(self.order.log, LARGEST)
        self._read = size_of(self.order.log)
        marker = secrets.token_hex(16)
        self._note(SidecarRecord(marker, self._digest))
        environment = {**os.environ, **self.order.secrets}
        child = Child(self.order.argv, environment, self.order.folder, self.order.log, marker)
        self._note(SidecarRecord(marker, self._digest, self.processes.start(child)))
        self.starts += 1

    async def _until_ready(self) -> None:
        pause, why = self.rules.glance, ""
        with anyio.move_on_after(self.rules.start):
            while True:
                self._look()
                try:
                    await self.order.probe()
                except OrchestratorError as error:
                    why = error.line
                else:
                    return
                await anyio.sleep(pause)
                pause = min(pause * 2, 1.0)
        raise DeployError(f"it could not be used within {self.rules.start:g} s: {why}")

    async def _until_sick(self) -> str:
        """Why it must be started again."""
        misses, due = 0, anyio.current_time() + self.rules.look
        while misses < self.rules.misses:
            await anyio.sleep(self.rules.poll)
            self._look()
            if self._asked_again:
                why, self._asked_again = self._asked_again, ""
                return why
            if said := await anyio.to_thread.run_sync(self._sickness):
                return f"it cannot serve any more: {said}"
            if anyio.current_time() < due:
                continue
            due = anyio.current_time() + self.rules.look
            try:
                await self.order.probe()
                misses = 0
            except OrchestratorError as error:
                misses, self.why = misses + 1, error.line
        return f"{misses} tries in a row failed, the last with: {self.why}"

    def _look(self) -> None:
        """Raises ``DeployError`` where it has ended."""
        process = self._record.process if self._record else None
        if process is None or not self.processes.alive(process):
            how = (self.processes.ended(process) if process else "") or "it ended"
            raise DeployError(f"{how}: {last_lines(self.order.log, self._read)}")

    def _sickness(self) -> str:
        """What it said since the last look that means that it must be started again."""
        size = size_of(self.order.log)
        if size <= self._read:
            self._read = size
            return ""
        with self.order.log.open("rb") as log:
            log.seek(self._read)
            said = log.read()
        self._read += len(said)
        return sickness(said.decode(errors="replace"))

    async def _end(self) -> None:
        """Asked, then killed; nothing of it stays."""
        record, self._record = self._record, None
        if record is None:
            return
        process = record.process or ProcessIdentity(0, 0.0)
        self.processes.terminate(process)
        with anyio.move_on_after(self.rules.grace):
            while self.processes.alive(process):  # noqa: ASYNC110 - a process has no event for us
                await anyio.sleep(0.02)
        await anyio.to_thread.run_sync(self.processes.kill, process, record.marker)
        self.processes.ended(process)
        record_file(self.order.folder, self.order.name).unlink(missing_ok=True)

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _digest(self) -> str:
        return digest_of([list(self.order.argv), dict(self.order.secrets)])

    def _written(self) -> str:
        try:
            return self.order.configuration.read_text(encoding="utf-8")
        except OSError:
            return ""  # it was never started

    def _note(self, record: SidecarRecord) -> None:
        process = record.process
        value = {"marker": record.marker, "digest": record.digest, "pid": 0, "started": 0.0}
        if process is not None:
            value |= {"pid": process.pid, "started": process.started}
        write_configuration(record_file(self.order.folder, self.order.name), json.dumps(value))
        self._record = record

    def _became(self, state: SidecarState, why: str = "") -> None:
        self.state, self.why = state, why
        self._changed.set()
        self._changed = anyio.Event()
