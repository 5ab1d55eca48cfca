"""Child processes that may outlive us: started in groups of their own, found again by a marker, ended with all they began."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orchestrator.plugins.hosts.detached import KILL, Detached, is_same, signal_group, start_detached, started
from orchestrator.ports.host import Child, ProcessIdentity

if TYPE_CHECKING:
    import psutil

MARKER: Final = "ORCHESTRATOR_SERVER"
"""The variable of the environment that tells our processes and their descendants from all others."""


class LocalProcesses:
    """``Processes`` of the machine that the program runs on."""

    def __init__(self) -> None:
        self._children: dict[int, Detached] = {}

    def start(self, wanted: Child) -> ProcessIdentity:
        """Start one in its own session, with the umask 077. Raises as ``start_detached``."""
        marked = {**wanted.environment, MARKER: wanted.marker}
        child = start_detached(replace(wanted, environment=marked), flags="CREATE_NEW_PROCESS_GROUP")
        self._children[child.pid] = child
        return ProcessIdentity(child.pid, _started(child.pid) or 0.0)

    def alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly that process still runs. A zombie does not."""
        child = self._children.get(process.pid)
        if child is not None:
            return child.poll() is None
        return is_same(_started(process.pid), process)

    def ended(self, process: ProcessIdentity) -> str:
        """How a child of ours ended; empty for one that an earlier process of ours started."""
        child = self._children.pop(process.pid, None)
        code = child.poll() if child is not None else None
        if code is None:
            return ""
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def find(self, marker: str) -> ProcessIdentity | None:
        """The oldest process that has this marker."""
        found = sorted((each.create_time(), each.pid) for each in _marked(marker))
        return ProcessIdentity(found[0][1], found[0][0]) if found else None

    def terminate(self, process: ProcessIdentity) -> None:
        """Ask its whole group to end."""
        if self.alive(process):
            with suppress(ProcessLookupError):  # it ended between the look and the signal
                signal_group(process.pid, signal.SIGTERM)

    def kill(self, process: ProcessIdentity, marker: str) -> None:
        """End its whole group, and whatever else has the marker."""
        if self.alive(process):
            with suppress(ProcessLookupError):
                signal_group(process.pid, KILL)
        for each in _marked(marker):
            with suppress(ProcessLookupError):
                os.kill(each.pid, KILL)


def _started(pid: int) -> float | None:
    try:
        return started(pid)
    except PermissionError:  # another user's process is none of ours
        return None


def _marked(marker: str) -> Iterator[psutil.Process]:
    """Processes that have the marker in their environment; those of other users cannot be read, and are none of ours."""
    import psutil

    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARKER) == marker and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        if marked:
            yield process
