"""The local host: private folders, detached processes, and telling one process from another."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestrator.core.errors import DeployError, StateUnusable
from orchestrator.plugins.hosts.local import LocalHost, make_private
from orchestrator.ports.host import SOCKET_NAME, ProcessIdentity

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait for a condition; whether it came in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_the_folders_are_made_private_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        folders = LocalHost().folders()
    finally:
        os.umask(before)
    assert (folders.state, folders.config) == (home / "state", home / "config")
    for folder in (home, folders.state, folders.config, folders.runtime):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert LocalHost().folders() == folders


def test_a_look_makes_no_folder_and_still_refuses_one_that_others_may_enter(home: Path) -> None:
    """Whoever only looks leaves nothing behind."""
    folders = LocalHost().folders(make=False)
    assert not home.exists() or list(home.iterdir()) == []
    folders.state.mkdir(parents=True, mode=0o755)
    folders.state.chmod(0o755)
    with pytest.raises(StateUnusable, match="others may enter"):
        LocalHost().folders(make=False)


def test_without_a_home_of_its_own_it_uses_the_folders_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    folders = LocalHost().folders()
    assert (folders.state, folders.config) == (tmp_path / "s" / "orchestrator", tmp_path / "c" / "orchestrator")


def test_a_shell_and_a_unit_with_other_environments_find_the_same_runtime_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_a_shell = LocalHost().folders().runtime
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert LocalHost().folders().runtime == in_a_shell


def test_a_socket_fits_also_below_a_very_long_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / ("è" * 60)))
    folders = LocalHost().folders()
    try:
        assert len(os.fsencode(folders.runtime / SOCKET_NAME)) <= 100
        assert stat.S_IMODE(folders.runtime.stat().st_mode) == 0o700
        assert LocalHost().folders().runtime == folders.runtime
        monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / ("é" * 60)))
        other = LocalHost().folders().runtime
        other.rmdir()
        assert other != folders.runtime
    finally:
        folders.runtime.rmdir()


def test_a_link_in_place_of_the_short_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / ("x" * 100)))
    short = LocalHost().folders().runtime
    short.rmdir()
    short.symlink_to(tmp_path)
    try:
        with pytest.raises(StateUnusable, match="is a link"):
            LocalHost().folders()
    finally:
        short.unlink()


def test_a_folder_that_others_may_enter_is_refused_with_the_line_to_type(home: Path) -> None:
    (home / "state").mkdir(parents=True)
    (home / "state").chmod(0o755)
    with pytest.raises(StateUnusable, match="others may enter") as caught:
        LocalHost().folders()
    assert caught.value.cure == f"chmod 700 {home / 'state'}"


def test_a_line_to_type_is_quoted_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may have a space in its name."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "my home"))
    state = tmp_path / "my home" / "state"
    state.mkdir(parents=True)
    state.chmod(0o755)
    with pytest.raises(StateUnusable, match="others may enter") as caught:
        LocalHost().folders()
    assert caught.value.cure == f"chmod 700 '{state}'"


def test_a_file_in_place_of_a_folder_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "state").write_text("")
    with pytest.raises(StateUnusable, match="is a file"):
        LocalHost().folders()


@pytest.mark.parametrize("answer", ["~/.local/state", None])
def test_no_home_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    def user_state_dir(*_: object, **__: object) -> str:
        if answer is None:
            raise RuntimeError("could not determine the home directory")
        return answer

    monkeypatch.delenv("ORCHESTRATOR_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_state_dir", user_state_dir)
    with pytest.raises(StateUnusable, match="no home folder") as caught:
        LocalHost().folders()
    assert "ORCHESTRATOR_HOME" in caught.value.cure


def test_a_place_that_takes_no_folder_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", "/proc/nowhere")
    with pytest.raises(StateUnusable, match="cannot be made") as caught:
        LocalHost().folders()
    assert "ORCHESTRATOR_HOME" in caught.value.cure


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can act as another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(StateUnusable, match=r"belongs to another user \(uid 65534\)"):
        make_private(folder)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can act as another user")
def test_a_home_of_another_user_is_refused_before_anything_is_made_in_it(home: Path) -> None:
    """Its owner could put other folders in place of ours. One of root is no danger."""
    home.mkdir()
    os.chown(home, 65534, 65534)
    for make in (True, False):
        with pytest.raises(
            StateUnusable, match=r"ORCHESTRATOR_HOME: .* belongs to another user \(uid 65534\)"
        ) as caught:
            LocalHost().folders(make=make)
        assert caught.value.cure == "set ORCHESTRATOR_HOME to a folder that you own"
    assert list(home.iterdir()) == []


def test_a_home_folder_that_does_not_exist_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root could make it, and nobody would find what is in it. One may look, and folders that are named elsewhere need no home."""
    for name in ("ORCHESTRATOR_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert LocalHost().folders(make=False).state.is_relative_to(tmp_path / "nowhere")
    with pytest.raises(StateUnusable, match="nowhere, does not exist") as caught:
        LocalHost().folders()
    assert "ORCHESTRATOR_HOME" in caught.value.cure and not (tmp_path / "nowhere").exists()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert LocalHost().folders().state == tmp_path / "s" / "orchestrator"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)  # a user of no name, as in some containers
    assert LocalHost().folders().state == tmp_path / "s" / "orchestrator"


# ---- processes -------------------------------------------------------------------------------------------------------


def test_a_detached_process_has_its_own_session_an_empty_input_and_only_the_given_environment(tmp_path: Path) -> None:
    code = (
        "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', "
        "sorted(set(os.environ) - {'LC_CTYPE'}), oct(os.umask(0)), os.getcwd())"
    )
    log = tmp_path / "runtime.log"
    log.write_text("before\n")
    log.chmod(0o600)
    host = LocalHost()
    child = host.spawn_detached([sys.executable, "-c", code], {"ONLY": "this"}, log)
    assert until(lambda: not host.alive(child))
    assert log.read_text() == f"before\nTrue True ['ONLY'] 0o77 {tmp_path}\n"


def test_a_new_log_is_private(tmp_path: Path) -> None:
    host = LocalHost()
    child = host.spawn_detached([sys.executable, "-c", ""], {}, tmp_path / "log")
    assert until(lambda: not host.alive(child))
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_a_process_is_told_from_a_later_one_with_the_same_number(tmp_path: Path) -> None:
    host = LocalHost()
    child = host.spawn_detached(SLEEP, {}, tmp_path / "log")
    stranger = ProcessIdentity(child.pid, child.started - 3600)
    assert host.alive(child)
    assert LocalHost().alive(child)
    assert not host.alive(stranger)
    host.stop(stranger, 0.0)
    assert host.alive(child)
    host.stop(child, 5.0)
    assert not host.alive(child)
    assert not psutil.pid_exists(child.pid)
    host.stop(child, 5.0)


def test_a_process_that_does_not_listen_is_ended_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    host = LocalHost()
    child = host.spawn_detached([sys.executable, "-c", code], {}, log)
    assert until(lambda: log.read_text().endswith("\n"))
    grandchild = psutil.Process(int(log.read_text()))
    host.stop(child, 0.1)
    assert not host.alive(child)
    assert until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_somebody_else_started_can_be_stopped(tmp_path: Path) -> None:
    spawner = (
        "import sys; from pathlib import Path; from orchestrator.plugins.hosts.local import LocalHost; "
        f"p = LocalHost().spawn_detached({SLEEP!r}, {{}}, Path(sys.argv[1])); print(p.pid, p.started)"
    )
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", spawner, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == ""
    pid, started = said.stdout.split()
    child = ProcessIdentity(int(pid), float(started))
    host = LocalHost()
    assert host.alive(child)
    host.stop(child, 5.0)
    assert not host.alive(child)


def test_a_program_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="cannot start /nowhere/python"):
        LocalHost().spawn_detached(["/nowhere/python"], {}, tmp_path / "log")


def test_a_log_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(StateUnusable, match="cannot be written"):
        LocalHost().spawn_detached(SLEEP, {}, tmp_path / "missing" / "log")


def test_a_process_that_died_at_once_is_not_alive(tmp_path: Path) -> None:
    host = LocalHost()
    child = host.spawn_detached([sys.executable, "-c", "import os; os.abort()"], {}, tmp_path / "log")
    assert until(lambda: not host.alive(child))
    os.kill(os.getpid(), signal.SIGCONT)  # harmless: the next line must not meet a reused number
    assert not LocalHost().alive(child)


def test_the_module_imports_nothing_that_only_linux_has() -> None:
    code = (
        "import sys; [sys.modules.__setitem__(n, None) for n in ('fcntl', 'pwd', 'grp', 'resource', 'termios')]; "
        "import orchestrator.plugins.hosts.local; assert 'psutil' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
