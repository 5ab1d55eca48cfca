"""The machine that the program runs on: its folders and its background processes."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import stat
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DeployError, StateUnusable
from orchestrator.plugins.hosts.detached import KILL, Detached, is_same, signal_group, start_detached, started
from orchestrator.ports.host import SOCKET_NAME, Child, Folders, ProcessIdentity
from orchestrator.ports.host import make_private as make_missing

_APP: Final = "orchestrator"
_HOME: Final = "ORCHESTRATOR_HOME"
_SOCKET_PATH_BYTES: Final = 100
"""Linux allows 107 bytes, macOS 103; one limit for all."""
_CURE: Final = f"set {_HOME} to a folder that you own"


class LocalHost:
    """A ``Host`` for Linux, and as far as known for macOS and Windows (not tested there).

    Folders: ``$ORCHESTRATOR_HOME/{state,config}``, else those of the system (XDG on Linux). The runtime folder is always
    found from the state folder alone, never from the terminal's environment: a shell, a cron job and a unit that
    share one state must meet at one socket and one lock. ``home`` stands for ``ORCHESTRATOR_HOME`` where this process looks
    after the runtimes of several.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home = str(home) if home is not None else ""
        self._children: dict[int, Detached] = {}

    def folders(self, *, make: bool = True) -> Folders:
        """The folders, made with mode 0700 where they are wanted; raises ``StateUnusable``, also for one that is not ours."""
        home = self._home or os.environ.get(_HOME, "")
        state, config = _state_and_config(home)
        folders = Folders(state, config, _runtime_folder(state))
        if make and not home:
            _check_home(state, config)
        for folder in (folders.state, folders.config, folders.runtime):
            if make:
                make_private(folder)
            else:
                _check_usable(folder)
        return folders

    def spawn_detached(self, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> ProcessIdentity:
        """Start a background process that outlives the caller and its terminal, its output appended to ``log``.

        It gets exactly ``environment``, the umask 077, its own session, and the folder of ``log`` to stand in. Raises
        ``DeployError`` where it cannot start.
        """
        wanted = Child(argv, environment, log.parent, log, marker="")
        child = start_detached(wanted, flags="DETACHED_PROCESS", cure=_CURE)
        self._children[child.pid] = child
        return ProcessIdentity(child.pid, _started(child.pid) or 0.0)

    def alive(self, process: ProcessIdentity) -> bool:
        """Whether exactly that process still runs. A zombie does not."""
        self._reap()
        return is_same(_started(process.pid), process)

    def stop(self, process: ProcessIdentity, patience: float) -> None:
        """Ask it to end (SIGTERM), then end it and its group (SIGKILL) after ``patience`` seconds.

        A process that has only the same number is left alone. Raises ``DeployError`` for another user's process.
        """
        if not self.alive(process):
            return
        try:
            with suppress(ProcessLookupError):  # it ended between the look and the signal
                os.kill(process.pid, signal.SIGTERM)
                if not _gone(process.pid, patience):
                    signal_group(process.pid, KILL)
                    _gone(process.pid, patience=5.0)
        except PermissionError as error:
            raise DeployError(f"process {process.pid} is another user's", cure="stop it as that user") from error
        self._reap()

    def _reap(self) -> None:
        """Take the exit status of children that ended, so that none stays a zombie while we live."""
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                self._children.pop(pid, None)  # another thread may look at the same time


def make_private(folder: Path) -> None:
    """Make ``folder`` with mode 0700, or check that it is ours alone. Raises ``StateUnusable``."""
    try:
        make_missing(folder)
        found = folder.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise FileExistsError
    except FileExistsError as error:
        raise StateUnusable(f"{folder} is a file, not a folder", cure=_CURE) from error
    except OSError as error:
        raise StateUnusable(f"the folder {folder} cannot be made: {error.strerror}", cure=_CURE) from error
    _check_private(folder, found)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StateUnusable(f"the folder {folder} cannot be written", cure=_CURE)


def _check_usable(folder: Path) -> None:
    """It is ours alone, or could be made."""
    if folder.exists():
        _check_private(folder, folder.stat())
        return
    there = next(each for each in folder.parents if each.exists())
    if not there.is_dir():
        raise StateUnusable(f"{there} is a file, not a folder", cure=_CURE)


def _check_private(folder: Path, found: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows: folders of a user's profile are private by their access lists
    if found.st_uid != os.geteuid():
        raise StateUnusable(f"the folder {folder} belongs to another user (uid {found.st_uid})", cure=_CURE)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise StateUnusable(
            f"others may enter the folder {folder} (mode {mode:04o})", cure=f"chmod 700 {shlex.quote(str(folder))}"
        )


def home_in_full(named: str) -> Path:
    """The folder that ``ORCHESTRATOR_HOME`` names. A relative name counts from the working folder, and leads there still when
    that is left or removed."""
    root = Path(named).expanduser()
    return root if root.is_absolute() else root.resolve()


def _state_and_config(home: str) -> tuple[Path, Path]:
    if home:
        root = home_in_full(home)
        _check_root(root)
        return root / "state", root / "config"
    import platformdirs

    # Windows and macOS have one folder for all; ours differ, so that each can be looked at and backed up alone.
    try:
        state = Path(platformdirs.user_state_dir(_APP, appauthor=False))
        config = Path(platformdirs.user_config_dir(_APP, appauthor=False))
    except RuntimeError as error:
        raise StateUnusable("this user has no home folder", cure=_CURE) from error
    if not state.is_absolute() or not config.is_absolute():  # what older versions of platformdirs give instead
        raise StateUnusable("this user has no home folder", cure=_CURE)
    return (state / "state", config / "config") if state == config else (state, config)


def _check_root(root: Path) -> None:
    """Whoever owns a folder can put others in place of those in it. The system's own administrator could anyway."""
    try:
        owner = root.stat().st_uid
    except OSError:
        return  # it is made, or making it says why not
    if hasattr(os, "geteuid") and owner not in (os.geteuid(), 0):
        raise StateUnusable(f"{_HOME}: the folder {root} belongs to another user (uid {owner})", cure=_CURE)


def _check_home(*folders: Path) -> None:
    """A home that is not there is not made: what is kept in it would be found by nobody."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib raises where there is none
    if not home.is_dir() and any(folder.is_relative_to(home) for folder in folders):
        raise StateUnusable(f"the home folder of this user, {home}, does not exist", cure=_CURE)


def _runtime_folder(state: Path) -> Path:
    folder = state / "run"
    if len(os.fsencode(folder / SOCKET_NAME)) > _SOCKET_PATH_BYTES:
        folder = _short_folder(state)
        if folder.is_symlink():
            raise StateUnusable(f"{folder} is a link, which another user may have made", cure=f"remove {folder}")
    return folder


def _short_folder(state: Path) -> Path:
    """A path that fits a socket, and that everyone with the same state folder computes alike."""
    fixed = Path("/tmp")  # noqa: S108 - not $TMPDIR, which differs between terminals; made private and checked
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    digest = hashlib.sha256(os.fsencode(os.path.realpath(state))).hexdigest()[:12]
    return (fixed if fixed.is_dir() else Path(tempfile.gettempdir())) / f"{_APP}-{user}-{digest}"


def _started(pid: int) -> float | None:
    try:
        return started(pid)
    except PermissionError as error:
        raise DeployError(str(error), cure="look at it as that user") from error


def _gone(pid: int, patience: float) -> bool:
    import psutil

    try:
        psutil.Process(pid).wait(patience)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return _started(pid) is None
    return True
