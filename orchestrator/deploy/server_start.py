"""The start of a server's process: its port, its command, its record, and the process itself. Blocks: not for the event loop."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.core.errors import OrchestratorError, PortTaken
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.deploy.free_port import free_port, holder_of, is_free, named, port_of
from orchestrator.deploy.server_records import ServerRecord, ServerRecords, ServerWant, known
from orchestrator.deploy.yard import Yard
from orchestrator.ports.host import Child, make_private
from orchestrator.ports.lifecycle import Launch

declare("server.recorded", "server.spawned", "server.noted")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A process that can be started, and is written down already."""

    launch: Launch
    record: ServerRecord


def prepare(want: ServerWant, yard: Yard, before: int, running: Mapping[str, ServerRecord]) -> Prepared:
    """Find its port, the one that it had ``before`` where that is free, and its command; written down before it is started:
    whoever comes after a power cut looks for the marker. ``running`` are our own by name,
    for who has a port that is taken. Raises ``PortTaken``,
    ``DeployError``, ``PlanError`` and ``OSError``."""
    port = want.order.port or free_port(want.order.host, before)
    if want.order.port and not is_free(want.order.host, port):
        raise PortTaken(f"port {port} is taken{_holder(running, port)}", cure="write another `port`, none, or end that")
    launch = yard.launch(want.kind, replace(want.order, port=port))
    make_private(yard.logs)
    for folder in launch.folders:
        make_private(Path(folder))
    record = ServerRecord(want, launch.argv, launch.url, launch.serves, secrets.token_hex(16))
    ServerRecords(yard.records).write(record)
    failpoint("server.recorded")
    return Prepared(launch, record)


def begin(prepared: Prepared, yard: Yard, log: Path) -> ServerRecord:
    """Start it, and write down which process it is. Raises ``OSError``."""
    launch, record = prepared.launch, prepared.record
    environment = {**yard.environment, **launch.environment}
    process = yard.processes.start(Child(launch.argv, environment, yard.logs, log, record.marker))
    failpoint("server.spawned")
    record = known(record, process)
    ServerRecords(yard.records).write(record)
    failpoint("server.noted")
    return record


def why_not(error: Exception) -> str:
    """Why a process could not be started, in words."""
    if isinstance(error, OrchestratorError):
        return error.line
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _holder(running: Mapping[str, ServerRecord], port: int) -> str:
    """Who listens there, in words: one of ours, or another process."""
    ours = next((name for name, each in running.items() if port_of(each.url) == port), "")
    deployment, _, alias = ours.partition("/")
    return f" by server.{alias} of {deployment}" if ours else named(holder_of(port)) or " by another process"
