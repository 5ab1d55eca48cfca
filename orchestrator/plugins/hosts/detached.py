"""A child that may outlive us: how it is started, told from a later process with its number, and signalled with its group."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Final

from orchestrator.core.errors import DeployError, StateUnusable
from orchestrator.ports.host import Child, ProcessIdentity

KILL: Final[signal.Signals] = getattr(signal, "SIGKILL", signal.SIGTERM)
_SAME_START: Final = 1.0
"""Seconds by which the start of one process may be read differently: it is computed from the time of the boot."""


class Detached(subprocess.Popen[bytes]):
    """A child that is meant to outlive us: letting go of it is no mistake to warn of."""

    def __del__(self) -> None:
        """Nothing: the parent class warns of a child that still runs."""


def start_detached(wanted: Child, *, flags: str, cure: str = "") -> Detached:
    """Start it in its own session with the umask 077; its marker is the caller's to set.

    ``flags`` is the name of ``subprocess``'s creation flags for Windows. Raises ``StateUnusable`` where the log cannot be
    written (``cure`` is what to do then), ``DeployError`` where the program cannot start.
    """
    try:
        output = os.open(wanted.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise StateUnusable(f"the log {wanted.log} cannot be written: {error.strerror}", cure=cure) from error
    try:
        # What a system does not know, it ignores (session, umask) or has as 0 (flags).
        return Detached(
            list(wanted.argv),
            env=dict(wanted.environment),
            cwd=wanted.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
            creationflags=getattr(subprocess, flags, 0),
        )
    except OSError as error:
        program = wanted.argv[0]
        raise DeployError(f"cannot start {program}: {error.strerror}", cure="is the program still there?") from error
    finally:
        os.close(output)


def started(pid: int) -> float | None:
    """When that process started, in seconds since 1970; ``None`` where none runs, or only a zombie.

    Raises ``PermissionError`` for another user's process that may not be looked at.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            began = process.create_time()
            return None if process.status() == psutil.STATUS_ZOMBIE else began
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(f"process {pid} is another user's") from error


def is_same(began: float | None, process: ProcessIdentity) -> bool:
    """Whether what began then is that process, not a later one with its number."""
    return began is not None and abs(began - process.started) < _SAME_START


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal all that it began with it, where it leads a group; else it alone."""
    if hasattr(os, "killpg") and os.getpgid(pid) == pid:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)
