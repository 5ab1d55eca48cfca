"""What goes wrong in the program itself: one line, a report, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.cli.verbs import explain
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
