"""What model servers are started with, and what earlier lives of a runtime left running."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from orchestrator.deploy.server_records import ServerRecord, end_recorded, places_of_processes
from orchestrator.ports.host import Processes, ProcessIdentity
from orchestrator.ports.lifecycle import Launch, LaunchOrder
from orchestrator.ports.provider import Provider

STRAYS_EVERY: Final = 10.0
"""Seconds between two looks for servers that a killed process left."""


@dataclass(frozen=True, slots=True)
class Yard:
    """What servers are started with: who builds their commands (``launch`` may take seconds, as it asks the program; ``glance``
    takes what is known, ``usual`` a new version of the program, whatever is installed; all raise ``PlanError`` and
    ``DeployError``), who has a program say what it can do (``meet``: it may
    take seconds, and tells whether that is news; ``leave`` breaks it off), processes, providers to ask them for a token, folders
    for their records, for models that they fetch and for their logs, the environment that they get, and what the ``program``
    of a kind is called. ``also``: folders in which processes that are no runtime keep their records, beside that of ours."""

    launch: Callable[[str, LaunchOrder], Launch]
    glance: Callable[[str, LaunchOrder], Launch]
    usual: Callable[[str, LaunchOrder], Launch]
    meet: Callable[[str], bool]
    leave: Callable[[], None]
    processes: Processes
    provider: Callable[[str], Provider]
    records: Path
    models: Path
    logs: Path
    environment: Mapping[str, str]
    program: Callable[[str], str] = str
    also: Sequence[Path] = ()


def still_there(yard: Yard, record: ServerRecord) -> ProcessIdentity | None:
    """The process of a record, if exactly that one lives; else nothing of it may stay."""
    found = record.process or yard.processes.find(record.marker)
    if found is not None and yard.processes.alive(found):
        return found
    yard.processes.kill(found or ProcessIdentity(0, 0.0), record.marker, record.members)
    return None


def end_strays(yard: Yard) -> None:
    """Servers of processes that were no runtime and were killed: nobody else ends them."""
    places = [place for servers in (yard.records.parent, *yard.also) for place in places_of_processes(servers)]
    for folder, owner in places:
        if yard.processes.alive(owner):
            continue
        end_recorded(folder, yard.processes)
        shutil.rmtree(folder, ignore_errors=True)


async def keep_ending_strays(yard: Yard) -> None:
    """From time to time, until cancelled: a runtime may live for weeks after such a process was killed."""
    while True:
        await anyio.sleep(STRAYS_EVERY)
        await anyio.to_thread.run_sync(end_strays, yard)
