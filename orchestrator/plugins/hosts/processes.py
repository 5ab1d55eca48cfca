"""Child processes that may outlive us: started in sessions of their own, found again by a marker, ended with all they began.

A descendant may overwrite its environment (a program that sets its title does), and its leader may be gone when it is looked
for. So who belongs to a leader is told by its session and its descent while it lives, and written down with the times at
which they started. Of a session whose leader is gone, nobody is touched on the strength of its number alone: the system gives
a number anew only after the last of its session, so the rest of it is ours where one that we know is still in it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orchestrator.plugins.hosts.detached import KILL, Detached, is_same, signal_group, start_detached, started
from orchestrator.ports.host import Child, ProcessIdentity

if TYPE_CHECKING:
    import psutil

MARKER: Final = "ORCHESTRATOR_SERVER"
"""The variable of the environment that tells our processes and their descendants from all others."""
_ROUNDS: Final = 5
"""How often it is looked whether those that are ended have begun others meanwhile."""


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

    def members(self, process: ProcessIdentity) -> tuple[ProcessIdentity, ...]:
        """All that it began and that can be told so while it lives, wherever they are now; none once it is gone."""
        if not self.alive(process):
            return ()
        found = {*_session(process), *_descendants(process)} - {process}
        return tuple(sorted(found, key=lambda each: (each.started, each.pid)))

    def kill(self, process: ProcessIdentity, marker: str, members: Iterable[ProcessIdentity] = ()) -> None:
        """End its whole group, the ``members`` that were known of it with their session, and whatever else has the marker."""
        known = {*members, *self.members(process)}
        if self.alive(process):
            with suppress(ProcessLookupError):
                signal_group(process.pid, KILL)
        for _ in range(_ROUNDS):
            left = {each for each in known if is_same(_started(each.pid), each)}
            # A child of ours that we have just seen end kept its number until then.
            if process.pid in self._children or any(_session_of(each.pid) == process.pid for each in left):
                left.update(_session(process))
            known = left | {ProcessIdentity(each.pid, each.create_time()) for each in _marked(marker)}
            if not known:
                return
            for each in known:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each.pid, KILL)


def _started(pid: int) -> float | None:
    try:
        return started(pid)
    except PermissionError:  # another user's process is none of ours
        return None


def _session_of(pid: int) -> int:
    """The number of its session; 0 where it has none that is told."""
    try:
        return os.getsid(pid) if hasattr(os, "getsid") else 0
    except OSError:
        return 0


def _session(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """Processes of this user in the session that the leader began. None where its number is another process's by now, or where
    they are older than the leader."""
    import psutil

    own, began = _user(os.getpid()), _started(leader.pid)
    if leader.pid <= 0 or (began is not None and not is_same(began, leader)):
        return []
    pids = [pid for pid in psutil.pids() if _session_of(pid) == leader.pid and _user(pid) == own]
    found = [ProcessIdentity(pid, started) for pid in pids if (started := _started(pid)) is not None]
    return [each for each in found if each.started > leader.started or is_same(each.started, leader)]


def _descendants(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """What it began and what those began, also in sessions of their own; without those whose parent is gone."""
    import psutil

    try:
        found = psutil.Process(leader.pid).children(recursive=True)
    except psutil.Error:
        return []
    return [ProcessIdentity(each.pid, began) for each in found if (began := _started(each.pid)) is not None]


def _user(pid: int) -> object:
    """Whose it is; ``None`` where that is not told."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.uids().real if hasattr(process, "uids") else process.username()
    except psutil.Error:
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
