"""What is written down of the servers beside the runtime, so that a later process finds them again."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.plugins.sidecars.nats_server import write_configuration
from orchestrator.ports.host import Processes, ProcessIdentity


@dataclass(frozen=True, slots=True)
class SidecarRecord:
    """By what a process is known again; ``process`` is ``None`` from just before its start until it is known."""

    marker: str
    digest: str
    process: ProcessIdentity | None = None


def configuration_file(folder: Path, name: str) -> Path:
    """Where the configuration of a server stands."""
    return folder / f"{name}.conf"


def log_file(folder: Path, name: str) -> Path:
    """Where stands what a server says."""
    return folder / f"{name}.log"


def read_record(folder: Path, name: str) -> SidecarRecord | None:
    """What was written down of the server that was started last; ``None`` where nothing is, or nothing that can be read."""
    try:
        value = json.loads(record_file(folder, name).read_text(encoding="utf-8"))
        process = ProcessIdentity(int(value["pid"]), float(value["started"])) if value["pid"] else None
        return SidecarRecord(str(value["marker"]), str(value["digest"]), process)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def reload_server(folder: Path, name: str, text: str, processes: Processes) -> bool:
    """Write a configuration, and have the server read it that runs by it, whoever started it; tells whether one runs."""
    write_configuration(configuration_file(folder, name), text)
    record = read_record(folder, name)
    if record is None or record.process is None or not processes.alive(record.process):
        return False
    with suppress(ProcessLookupError):  # it ended between the look and the signal
        os.kill(record.process.pid, signal.SIGHUP)
        return True
    return False


def end_left(folder: Path, name: str, processes: Processes) -> None:
    """End what a killed process left of a server."""
    record = read_record(folder, name)
    if record is not None:
        processes.kill(record.process or ProcessIdentity(0, 0.0), record.marker)
        record_file(folder, name).unlink(missing_ok=True)


def record_file(folder: Path, name: str) -> Path:
    """Where it stands."""
    return folder / f"{name}.json"
