"""What a real machine does to a runtime: leftovers, taken ports, other users, other versions, disks that refuse."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.app import client as client_module
from orchestrator.app import patience
from orchestrator.app.answer import RuntimeHangs
from orchestrator.app.client import RuntimeClient
from orchestrator.app.compile import compile_files
from orchestrator.app.lock import ABOUT_NAME, RuntimeLock
from orchestrator.app.sources import pack_sources
from orchestrator.app.start import LEAST_FREE, ensure_runtime, running_process, start_log, stop_runtime, why_full
from orchestrator.core.errors import (
    DeployError,
    RuntimeUnavailable,
    RuntimeVersionClash,
    StateUnusable,
)
from orchestrator.core.request import Request
from orchestrator.deploy.wanted import Wanted
from orchestrator.gateway.bind import answers, bind_first_free
from orchestrator.plan.diff import diff
from orchestrator.plugins.hosts.local import LocalHost
from orchestrator.plugins.stores.sqlite import open_stores
from tests.plan.parts import agent, blueprint, rule
from tests.runtime.living import ARGV, Home, eventually

SHOP = blueprint(agent("a", reflex=[rule("hello")]), name="shop")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def test_one_command_starts_it_and_the_next_finds_it(home: Home) -> None:
    """In the background, with a private socket, and once."""
    host = LocalHost()
    first = ensure_runtime(host)
    pid = first.about()["pid"]
    assert ensure_runtime(host).about()["pid"] == pid
    assert stat.S_IMODE(first.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.socket.parent.stat().st_mode) == 0o700
    assert stop_runtime(host) and home.left_over() == []
    assert not stop_runtime(host)


def test_a_socket_with_a_full_backlog_has_somebody_behind_it(tmp_path: Path) -> None:
    """A runtime that is too busy to accept is no file that a killed one left."""
    path = tmp_path / "s"
    with ExitStack() as stack:
        behind = stack.enter_context(socket.socket(socket.AF_UNIX))
        behind.bind(str(path))
        behind.listen(0)
        with suppress(BlockingIOError):
            while True:
                waits = stack.enter_context(socket.socket(socket.AF_UNIX))
                waits.setblocking(False)
                waits.connect(str(path))
        assert answers(path)
    assert not answers(path)


def test_two_commands_at_once_share_one_runtime(home: Home) -> None:
    """Both start one; the lock lets one live, and the other command uses it."""
    host, pids = LocalHost(), list[int]()
    threads = [threading.Thread(target=lambda: pids.append(ensure_runtime(host).about()["pid"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 3 and len(set(pids)) == 1
    stop_runtime(host)


def test_a_command_that_lost_the_race_starts_it_when_the_faster_one_fails(home: Home) -> None:
    """The one that holds the lock may end without ever having served; then ours is started again."""
    host, pids = LocalHost(), list[int]()
    faster = RuntimeLock(home.folders.runtime)
    faster.take()
    thread = threading.Thread(target=lambda: pids.append(ensure_runtime(host).about()["pid"]))
    thread.start()
    lost = b"another runtime of this user runs already"
    while not start_log(home.folders).exists() or lost not in start_log(home.folders).read_bytes():
        assert thread.is_alive(), "it gave up"
        time.sleep(0.005)  # the runtime that is started is another process
    faster.free()
    thread.join()
    assert len(pids) == 1
    stop_runtime(host)


@pytest.fixture
def frozen(home: Home, monkeypatch: pytest.MonkeyPatch) -> RuntimeClient:
    """A runtime that is there and does nothing: its process is stopped."""
    monkeypatch.setattr(client_module, "GLANCE_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(patience, "HANGS_SECONDS", 0.2)
    client = ensure_runtime(LocalHost())
    os.kill(client.about()["pid"], signal.SIGSTOP)
    return client


def test_a_runtime_that_hangs_is_told_by_every_verb_and_can_be_stopped(frozen: RuntimeClient, home: Home) -> None:
    """No verb waits for ever, none starts a second one beside it, and a stop ends it and what it was."""
    for look in (frozen.answers, frozen.state, lambda: ensure_runtime(LocalHost(), deadline=0.5)):
        with pytest.raises(RuntimeHangs, match="does not answer"):
            look()
    with pytest.raises(RuntimeHangs) as caught:
        frozen.status()
    assert "orchestrator runtime stop" in caught.value.cure
    assert stop_runtime(LocalHost(), 1.0)
    assert home.left_over() == []
    assert not frozen.answers()


def test_the_time_of_a_request_holds_when_the_runtime_hangs(frozen: RuntimeClient) -> None:
    """The runtime cannot end it, so the client does."""
    with pytest.raises(RuntimeHangs):
        frozen.run("shop", Request("hello", timeout=0.3))
    stop_runtime(LocalHost(), 1.0)


def test_killed_and_started_again_it_serves_what_was_applied(home: Home) -> None:
    """The socket and the note that the killed one left are recognised as stale."""
    client = home.start()
    client.apply(Wanted(SHOP))
    home.kill()
    assert client.socket.exists() and (client.folders.runtime / ABOUT_NAME).exists()
    assert client.state() == "" and running_process(LocalHost(), client.folders) is None
    client = ensure_runtime(LocalHost())
    eventually(lambda: client.state() == "ready")
    assert client.run("shop", Request("hi")).text == "hello"
    assert diff(SHOP, client.observe(SHOP)).empty
    stop_runtime(LocalHost())


def test_a_process_that_has_only_the_old_number_is_left_alone(home: Home) -> None:
    """After a reboot another program may have the number that the note names."""
    folders = home.folders
    mine = psutil.Process()
    note = {"pid": mine.pid, "process_started": mine.create_time() - 1000.0, "version": "0.1.0"}
    (folders.runtime / ABOUT_NAME).write_text(json.dumps(note))
    assert running_process(LocalHost(), folders) is None
    assert not stop_runtime(LocalHost())


def test_a_note_that_is_broken_is_no_runtime(home: Home) -> None:
    """As a full disk or an old version may leave it."""
    (home.folders.runtime / ABOUT_NAME).write_text("{")
    assert running_process(LocalHost(), home.folders) is None


def test_a_file_in_the_place_of_the_socket_is_named(home: Home) -> None:
    """It is not ours to remove."""
    home.client.socket.write_text("mine")
    with pytest.raises(RuntimeUnavailable, match="is no socket"):
        ensure_runtime(LocalHost())
    home.start(wait="")
    assert home.processes[-1].wait() == 4
    assert "is there and is no socket" in home.said()


def test_a_second_runtime_says_that_one_runs(home: Home) -> None:
    """And the first goes on."""
    client = home.start()
    pid = client.about()["pid"]
    done = subprocess.run(ARGV, check=False, env=home.environment(), capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stderr == (
        "error[ORC410]: another runtime of this user runs already\n   = orchestrator runtime status\n"
    )
    assert client.about()["pid"] == pid


def test_a_taken_port_that_was_not_asked_for_is_passed_by(home: Home) -> None:
    """The next free one is used, and the log says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with bind_first_free("127.0.0.1", taken) as found:
            assert found.getsockname()[1] > taken


def test_a_taken_port_that_was_asked_for_is_an_error_with_its_holder(home: Home) -> None:
    """The reason reaches the terminal of the command that started the runtime."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        environment = {**os.environ, "ORCHESTRATOR_PORT": str(port)}
        with pytest.raises(
            RuntimeUnavailable, match=rf"did not start: port {port} is taken by .*process {os.getpid()}"
        ):
            ensure_runtime(LocalHost(), environment)
    assert home.left_over() == []


def test_a_wrong_setting_is_named(home: Home) -> None:
    """As everything that keeps a runtime from starting."""
    with pytest.raises(RuntimeUnavailable, match="ORCHESTRATOR_PORT is 'seven', which is no port"):
        ensure_runtime(LocalHost(), {**os.environ, "ORCHESTRATOR_PORT": "seven"})


@as_root
def test_another_users_runtime_is_never_talked_to(home: Home) -> None:
    """It would see our manifests and requests."""
    client = home.start()
    os.chown(client.socket, 4242, -1)
    for ask in (client.answers, client.about, lambda: client.apply(Wanted(SHOP))):
        with pytest.raises(RuntimeUnavailable, match=r"belongs to another user \(uid 4242\)"):
            ask()


@as_root
def test_another_users_state_folder_is_refused(home: Home) -> None:
    """Before anything is read or written there."""
    folder = home.folders.state
    os.chown(folder, 4242, -1)
    with pytest.raises(StateUnusable, match="belongs to another user"):
        ensure_runtime(LocalHost())


def test_a_runtime_of_another_version_is_only_looked_at(home: Home) -> None:
    """Looking works; changing says what to type."""
    home.start().apply(Wanted(SHOP))
    newer = RuntimeClient(home.folders, version="99.0.0")
    with pytest.raises(RuntimeVersionClash, match=r"running runtime is version .*, this command is 99.0.0") as raised:
        newer.apply(Wanted(SHOP))
    assert raised.value.cure.startswith("orchestrator runtime stop")
    for change in (lambda: newer.down("shop"), lambda: newer.rollback("shop")):
        with pytest.raises(RuntimeVersionClash):
            change()
    assert newer.status()["deployments"][0]["name"] == "shop"
    assert newer.history("shop") and newer.run("shop", Request("hi")).text == "hello"


def test_no_home_folder_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without one, as some services are."""
    monkeypatch.delenv("ORCHESTRATOR_HOME")
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/dev/null/nowhere")
    with pytest.raises(StateUnusable) as raised:
        ensure_runtime(LocalHost())
    assert raised.value.cure == "set ORCHESTRATOR_HOME to a folder that you own"


@as_root
def test_a_read_only_disk_is_said(home: Home) -> None:
    """Nothing can be recorded there, so nothing is begun."""
    disk = home.path / "disk"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=700", "none", disk], check=False)  # noqa: S607 - the system's own
    if mounted.returncode != 0:
        pytest.skip("this machine does not let the tests mount a disk")
    try:
        os.environ["ORCHESTRATOR_HOME"] = str(disk)
        with pytest.raises(StateUnusable, match="Read-only file system"):
            ensure_runtime(LocalHost())
    finally:
        os.environ["ORCHESTRATOR_HOME"] = str(home.path)
        subprocess.run(["umount", disk], check=True)  # noqa: S607 - the system's own


def test_a_state_that_cannot_be_opened_is_said_by_the_command(home: Home) -> None:
    """The reason comes from the runtime's own words."""
    (home.folders.state / "state.db").mkdir()
    with pytest.raises(RuntimeUnavailable, match=r"did not start: the state database .*state.db cannot be used"):
        ensure_runtime(LocalHost())


def test_secrets_that_cannot_be_read_are_said_by_the_command(home: Home) -> None:
    """The file, what is wrong with it, and what to do."""
    home.keep_secrets("KEY=1\nhunter2\n")
    told = r"did not start: line 2 of /.*/environment is not NAME=value"
    with pytest.raises(RuntimeUnavailable, match=told) as raised:
        ensure_runtime(LocalHost())
    assert "begin it with a #" in raised.value.cure and "hunter2" not in home.said()


def test_a_crash_at_start_shows_its_last_line(home: Home) -> None:
    """Whatever it was."""
    environment = {**os.environ, "PYTHONPATH": str(home.path)}
    (home.path / "uvicorn.py").write_text("raise RuntimeError('a broken library')")
    with pytest.raises(
        RuntimeUnavailable, match="did not start and gave no reason; its last words: RuntimeError: a broken library"
    ):
        ensure_runtime(LocalHost(), environment)


def test_a_fault_that_nobody_foresaw_is_told_too(home: Home) -> None:
    """By its kind and its words, whatever a library printed after it."""
    environment = {**os.environ, "PYTHONPATH": str(home.path)}
    (home.path / "sqlite3.py").write_text(
        "import atexit\natexit.register(print, 'bye')\nraise RuntimeError('no sqlite')"
    )
    with pytest.raises(RuntimeUnavailable, match="did not start: RuntimeError: no sqlite"):
        ensure_runtime(LocalHost(), environment)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\nos._exit(3)\n", "it said nothing"),
        ("import os\nprint('a library is broken', flush=True)\nos._exit(3)\n", "its last words: a library is broken"),
    ],
)
def test_a_runtime_that_ends_without_a_reason_is_said_with_its_last_words(home: Home, code: str, said: str) -> None:
    """Those of an older start are not taken for its own."""
    start_log(home.folders).parent.mkdir(parents=True, exist_ok=True)
    start_log(home.folders).write_text("error[ORC410]: another runtime of this user runs already\n")
    (home.path / "psutil.py").write_text(code)
    with pytest.raises(RuntimeUnavailable) as raised:
        ensure_runtime(LocalHost(), {**os.environ, "PYTHONPATH": str(home.path)})
    assert raised.value.message == f"the runtime did not start and gave no reason; {said}"
    assert raised.value.cure == f"see {start_log(home.folders)}"


def test_nothing_stays_of_what_a_start_told(home: Home) -> None:
    """Whether it served or not."""
    with pytest.raises(RuntimeUnavailable):
        ensure_runtime(LocalHost(), {**os.environ, "ORCHESTRATOR_PORT": "seven"})
    assert list(home.folders.runtime.glob("start-*")) == []
    ensure_runtime(LocalHost())
    assert list(home.folders.runtime.glob("start-*")) == []
    stop_runtime(LocalHost())


def test_secrets_of_the_shell_do_not_go_with_the_runtime(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be gone after a reboot; the file ``environment`` of the config folder is the place for them."""
    monkeypatch.setenv("MY_SECRET_KEY", "in the shell")
    home.keep_secrets("# kept\nFROM_FILE=here\n")
    client = ensure_runtime(LocalHost())
    given = psutil.Process(client.about()["pid"]).environ()
    assert "MY_SECRET_KEY" not in given and given["ORCHESTRATOR_HOME"] == str(home.path)
    stop_runtime(LocalHost())


def test_the_state_folder_may_be_removed_while_it_runs(home: Home) -> None:
    """An apply then fails with a reason, and what serves goes on serving."""
    client = home.start()
    client.apply(Wanted(SHOP))
    shutil.rmtree(home.folders.state / "tools", ignore_errors=True)
    (home.folders.state / "state.db-wal").unlink(missing_ok=True)
    assert client.run("shop", Request("hi")).text == "hello"


def test_logs_and_state_are_private(home: Home) -> None:
    """Files 0600, folders 0700, whatever the umask of the terminal."""
    before = os.umask(0)
    try:
        client = ensure_runtime(LocalHost())
    finally:
        os.umask(before)
    client.apply(Wanted(SHOP))
    client.run("shop", Request("hi"))
    list(client.logs("shop"))
    open_ones = [path for path in _all(home.path) if path.lstat().st_mode & 0o077]
    assert open_ones == []
    stop_runtime(LocalHost())


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_symlink()]


def test_a_version_that_does_not_know_the_format_compiles_the_sources_again(home: Home, tmp_path: Path) -> None:
    """What an older program applied comes back after an update, with the values that its variables had then."""
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(
        "deployment:\n  type: single-device\n  agents:\n    - name: a\n      reflex:\n        - say: ${WORD}\n"
    )
    made = compile_files([str(manifest)], environment={"WORD": "ciao"})
    client = home.start()
    client.apply(Wanted(made.blueprint, pack_sources(made.loaded), str(manifest)))
    assert home.stop() == 0
    stores = open_stores(home.folders.state / "state.db")
    [revision] = stores.revisions.desired()
    stores.revisions.add(replace(revision, number=2, blueprint={"format": 0}))
    stores.close()
    manifest.unlink()
    client = home.start()
    assert client.run("shop", Request("hi")).text == "ciao"


def test_the_own_port_of_a_deployment_is_taken_at_apply(home: Home) -> None:
    """The plan says it before, the apply fails with the holder's name, and what served serves."""
    client = home.start()
    client.apply(Wanted(SHOP))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        wanted = blueprint(agent("a", reflex=[rule("hello")]), name="shop", port=port)
        assert diff(wanted, client.observe(wanted)).notes[0].startswith(f"port {port} is taken")
        with pytest.raises(DeployError, match=f"port {port} is taken"):
            client.apply(Wanted(wanted))
        assert client.run("shop", Request("hi")).revision == 1
    client.apply(Wanted(wanted))
    assert client.run("shop", Request("hi")).revision == 2


def test_a_full_disk_is_the_reason_of_a_runtime_that_could_write_none() -> None:
    """It has nowhere to say so: whoever starts it looks."""
    assert why_full(Path("/var/state"), 4096) == "the disk that holds /var/state is full (4.1 kB free)"
    assert why_full(Path("/var/state"), LEAST_FREE) == ""
