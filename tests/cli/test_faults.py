"""What goes wrong in the program itself: one line, a report, and never a traceback."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.app.lock import write_about
from orchestrator.cli.verbs import explain
from orchestrator.plugins.hosts.local import LocalHost
from tests.cli.commands import ROOT, apart, command, here


def _break(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*_: object) -> int:
        raise error

    monkeypatch.setattr(explain, "run", broken)


def test_a_crash_is_one_line_and_a_report(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The report holds the traceback and the verb, and not what the user typed."""
    _break(monkeypatch, ValueError("the moon is full"))
    ran = here("explain", "code", "my-secret-words")
    (report,) = (home / "state" / "logs").glob("crash-*.txt")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "error: unexpected ValueError: the moon is full\n"
        f"  cure: this is a fault of the program; a report for its makers is in {report}\n"
    )
    text = report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "verb explain" in text and "Traceback" in text and "my-secret-words" not in text


def test_a_crash_shows_its_traceback_when_asked(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """For those who mend it."""
    _break(monkeypatch, ValueError("the moon is full"))
    ran = here("explain", "code", environment={"ORCHESTRATOR_DEBUG": "1"})
    assert "Traceback (most recent call last)" in ran.err
    assert not (home / "state" / "logs").exists()


def test_a_crash_without_a_state_folder_still_tells_the_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second fault does not hide the first."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "file"))
    _break(monkeypatch, ValueError("the moon is full"))
    ran = here("explain", "code")
    assert ran.code == 1 and "the moon is full" in ran.err and "no report could be written" in ran.err


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback."""
    _break(monkeypatch, KeyboardInterrupt())
    ran = here("explain", "code")
    assert (ran.code, ran.err) == (130, "interrupted\n")


def test_an_interrupted_process_ends_with_130() -> None:
    """Ctrl-C while it waits for its input."""
    process = subprocess.Popen(
        command("validate", "-"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _wait_until_reading(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


_AT_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from orchestrator.cli.entry import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "module",
    [
        *(f"orchestrator.{name}" for name in ("cli.main", "cli.table", "core.errors", "cli.parser")),
        "datetime",
        "pydantic",
    ],
)
def test_an_interrupt_while_the_program_is_imported_is_one_too(module: str) -> None:
    """From the first import on, and where compiled code would import: no traceback, no death by the signal."""
    argv = [sys.executable, "-c", _AT_IMPORT.replace("{}", module), "validate", "manifests/single-device.yaml"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_nothing_is_imported_before_an_interrupt_is_answered() -> None:
    """Neither by the package nor by its entry: only what Python itself has."""
    said = "import sys; before = set(sys.modules); import orchestrator.cli.entry; print(*(set(sys.modules) - before))"
    ended = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert set(ended.stdout.split()) <= {"__future__", "orchestrator", "orchestrator.cli", "orchestrator.cli.entry"}


def _wait_until_reading(pid: int) -> None:
    """Until the process sleeps in the read of its standard input."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        wait = Path(f"/proc/{pid}/syscall").read_text().split()
        if wait[:2] == ["0", "0x0"]:
            return
        time.sleep(0.01)
    raise TimeoutError("it never read")


def test_a_closed_pipe_is_no_fault() -> None:
    """`orchestrator schema | head -1` ends quietly, as a shell expects."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(command("schema"), cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize("words", [("schema",), ("--version",), ("run", "--help"), ("status",), ("completion", "bash")])
def test_output_that_cannot_be_kept_is_told_in_one_line(words: tuple[str, ...], home: Path) -> None:
    """A full disk is no fault of the program, whether a text is short or long."""
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command(*words), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (1, b"error: cannot write the output: No space left on device\n")
    assert not list(home.rglob("crash-*"))


@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_request_that_is_not_utf8_is_told(environment: dict[str, str]) -> None:
    """Also where Python would carry the bytes on."""
    ran = subprocess.run(
        command("run", "shop"),
        input=b"caf\xe9\n",
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 64
    assert ran.stderr.startswith(b"error[ORC601]: the request is not UTF-8\n  cure: ")


@pytest.mark.parametrize("words", [("run", "shop", "hi"), ("apply", "shop.yaml")])
@pytest.mark.parametrize("time_", ["0", "0s"])
def test_no_time_is_no_timeout(words: tuple[str, ...], time_: str) -> None:
    """It would end everything before it begins."""
    ran = here(*words[:1], "--timeout", time_, *words[1:])
    assert ran.code == 64 and ran.err.startswith(f"error[ORC601]: --timeout {time_} leaves no time\n")


def test_a_port_that_is_taken_is_told() -> None:
    """By a simulated endpoint too."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = here("simulate-endpoint", "--port", str(port))
    assert ran.code == 4
    assert ran.err.startswith(f"error[ORC415]: port {port} is taken\n  cure: choose another --port")


def test_a_port_that_is_none_is_wrong_usage() -> None:
    """Before anything listens."""
    ran = here("simulate-endpoint", "--port", "99999")
    assert ran.code == 64 and "99999 is no port: 0 to 65535" in ran.err


def _note_of_dead_runtime() -> int:
    """As kill -9 leaves it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = LocalHost().folders().runtime
    write_about(folder, {"pid": ended.pid, "process_started": 1.0})
    return ended.pid


def test_a_runtime_that_was_killed_is_told_with_how_to_bring_it_back(home: Path) -> None:
    """By the status, and by every verb that needs it."""
    pid = _note_of_dead_runtime()
    ended = f"the runtime (process {pid}) ended without being stopped"
    ran = here("status")
    assert (ran.code, ran.out) == (0, f"{ended}: orchestrator runtime start brings back what was applied\n")
    for words in (("run", "shop", "hi"), ("status", "shop"), ("logs", "shop")):
        ran = here(*words)
        assert ran.code == 4
        cure = "orchestrator runtime start brings back what was applied; an apply that had not ended, as in a pull, is typed again"
        assert ran.err == f"error[ORC411]: {ended}\n  cure: {cure}\n"


def test_a_runtime_that_was_stopped_can_be_brought_back(home: Path) -> None:
    """Where one has kept its state."""
    (LocalHost().folders().state / "state.db").touch()
    ran = here("run", "shop", "hi")
    assert "no runtime runs\n  cure: orchestrator runtime start brings back what was applied" in ran.err


def test_a_state_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """Exit code 4, with what to do."""
    (tmp_path / "file").write_text("")
    ran = apart("status", environment={"ORCHESTRATOR_HOME": str(tmp_path / "file")})
    assert ran.code == 4 and ran.err.startswith("error[ORC412]: ") and "ORCHESTRATOR_HOME" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "shop", "hi"),
        ("chat", "shop"),
        ("logs", "shop"),
        ("history", "shop"),
        ("rollback", "shop"),
        ("down", "shop"),
        ("status", "shop"),
        ("explain", "run"),
    ],
)
def test_without_a_runtime_it_is_told_how_to_start_one(words: tuple[str, ...]) -> None:
    """Exit code 4; none of these starts one."""
    ran = here(*words)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err == "error[ORC411]: no runtime runs\n  cure: orchestrator apply FILE starts one\n"


def test_without_a_runtime_the_status_says_so() -> None:
    """That is an answer, not a fault."""
    ran = here("status")
    assert ran.code == 0 and ran.out.startswith("no runtime runs")
    assert here("runtime", "status").out == "no runtime runs\n"
    assert here("runtime", "stop").out == "no runtime runs\n"
    assert here("status", "--json").out == '{\n  "runtime": null,\n  "deployments": []\n}\n'


@pytest.mark.parametrize(
    ("words", "closed", "code", "told"),
    [
        (
            ("run", "kiosk"),
            "<&-",
            64,
            "error[ORC601]: standard input is closed\n  cure: give what is to be read, like `< FILE`\n",
        ),
        (
            ("validate", "-"),
            "<&-",
            64,
            "error[ORC601]: standard input is closed\n  cure: give what is to be read, like `< FILE`\n",
        ),
        (("schema",), ">&-", 1, "error: cannot write the output: standard output is closed\n"),
        (("--version",), ">&-", 1, "error: cannot write the output: standard output is closed\n"),
        (
            ("validate", "manifests/single-device.yaml"),
            ">&-",
            1,
            "error: cannot write the output: standard output is closed\n",
        ),
        (("validate", "manifests/single-device.yaml"), "2>&-", 0, ""),
        (("validate", "manifests/single-device.yaml"), "<&- 2>&-", 0, ""),
    ],
)
def test_a_stream_that_is_closed_is_told_by_whoever_needs_it(
    words: tuple[str, ...], closed: str, code: int, told: str, home: Path
) -> None:
    """And no file that is opened later takes its place."""
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command(*words)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr.decode()) == (code, told)
    assert not list(home.rglob("crash-*"))


@pytest.mark.parametrize("words", [("validate", "k.yaml"), ("validate", "-"), ("doctor",)])
def test_a_working_folder_that_is_gone_is_told(words: tuple[str, ...], home: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0" && exec "$@" < /dev/null'
    ran = subprocess.run(
        ["/bin/sh", "-c", script, str(gone), *command(*words)], capture_output=True, text=True, check=False, timeout=60
    )
    told = "error[ORC601]: the working folder is gone\n  cure: cd to a folder that exists, and try again\n"
    assert (ran.returncode, ran.stderr) == (64, told)
    assert not list(home.rglob("crash-*"))


def test_a_manifest_with_a_whole_path_is_read_from_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Nothing of it counts from there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    words = command("validate", str(ROOT / "manifests/single-device.yaml"))
    ran = subprocess.run(
        ["/bin/sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), *words],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0
