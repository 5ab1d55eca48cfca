"""Child processes that may outlive us: started in groups of their own, found again by a marker, ended with all they began."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import DeployError, StateUnusable
from orchestrator.ports.host import Child, ProcessIdentity

if TYPE_CHECKING:
    import psutil

MARKER: Final = "ORCHESTRATOR_SERVER"
"""The variable of the environment that tells our processes and their descendants from all others."""
_SAME_START: Final = 1.0
"""Seconds by which the start of one process may be read differently: it is computed from the time of the boot."""


class LocalProcesses:
    """``Processes`` of the machine that the program runs on."""

    def __init__(self) -> None:
        self._children: dict[int, _Child] = {}

    def start(self, wanted: Child) -> ProcessIdentity:
        """Start one in its own session, with the umask 077. Raises ``DeployError`` where it cannot start."""
        try:
            output = os.open(wanted.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StateUnusable(f"the log {wanted.log} cannot be written: {error.strerror}") from error
        try:
            child = _start(wanted, output)
        except OSError as error:
            program = wanted.argv[0]
            raise DeployError(
                f"cannot start {program}: {error.strerror}", cure="is the program still there?"
            ) from error
        finally:
            os.close(output)
        self._children[child.pid] = child
        return ProcessIdentity(child.pid, _started(child.pid) or 0.0)

    def alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly that process still runs. A zombie does not."""
        child = self._children.get(process.pid)
        if child is not None:
            return child.poll() is None
        started = _started(process.pid)
        return started is not None and abs(started - process.started) < _SAME_START

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
                _signal_group(process.pid, signal.SIGTERM)

    def kill(self, process: ProcessIdentity, marker: str) -> None:
        """End its whole group, and whatever else has the marker."""
        if self.alive(process):
            with suppress(ProcessLookupError):
                _signal_group(process.pid, _KILL)
        for each in _marked(marker):
            with suppress(ProcessLookupError):
                os.kill(each.pid, _KILL)


_KILL: Final[signal.Signals] = getattr(signal, "SIGKILL", signal.SIGTERM)


class _Child(subprocess.Popen[bytes]):
    """A child that may outlive us: letting go of it is no mistake to warn of."""

    def __del__(self) -> None:
        """Nothing: the parent class warns of a child that still runs."""


def _start(wanted: Child, output: int) -> _Child:
    # What a system does not know, it ignores (session, umask) or has as 0 (flags).
    return _Child(
        list(wanted.argv),
        env={**wanted.environment, MARKER: wanted.marker},
        cwd=wanted.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        umask=0o077,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def _signal_group(pid: int, number: signal.Signals) -> None:
    if hasattr(os, "killpg") and os.getpgid(pid) == pid:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)


def _started(pid: int) -> float | None:
    """When that process started, in seconds since 1970; ``None`` where none runs."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            started = process.create_time()
            return None if process.status() == psutil.STATUS_ZOMBIE else started
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # another user's process is none of ours
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
