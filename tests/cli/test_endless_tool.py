"""A tool whose own code never returns: the run ends in time, and so does the runtime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

PROGRAM = Path(sys.executable).with_name("orchestrator")
MANIFEST = """
metadata: {name: spins}
deployment:
  type: single-device
  tools: [{name: t, python: "spin:spin", timeout: 200ms}]
  agents: [{name: a, tools: [t], reflex: [{call: t.spin, arguments: {x: a}, say: done}]}]
"""
SPIN = 'def spin(x: str) -> str:\n    "Spins."\n    while True:\n        pass\n'


def test_a_runtime_ends_although_a_tool_never_returns(tmp_path: Path) -> None:
    """Python waits for the thread that such a tool holds; the process does not, and nothing of it is left."""
    environment = _prepared(tmp_path)
    assert _run(environment, "apply", str(tmp_path / "spins.yaml")).returncode == 0
    runtimes = [each for each in psutil.process_iter() if _is_of(each, tmp_path)]
    try:
        assert "did not finish in 0.2 s" in _run(environment, "run", "spins", "go").stderr
        # Patience and the grace of servers are 56 s: only then would a process that hangs be killed.
        assert _run(environment, "runtime", "stop").stdout == "the runtime is stopped\n"
        assert len(runtimes) == 1
        runtimes[0].wait(timeout=5)
    finally:
        for each in runtimes:
            if each.is_running():
                each.kill()


def test_so_does_one_in_the_foreground(tmp_path: Path) -> None:
    """At the first signal, as for systemd and containers."""
    environment = _prepared(tmp_path)
    words = [str(PROGRAM), "apply", str(tmp_path / "spins.yaml"), "--foreground"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            assert "spins runs, revision 1" in served.stdout.readline()
            assert "did not finish in 0.2 s" in _run(environment, "run", "spins", "go").stderr
            served.send_signal(signal.SIGTERM)
            assert served.wait(timeout=5) == 0
        finally:
            served.kill()


def _prepared(folder: Path) -> dict[str, str]:
    (folder / "spin.py").write_text(SPIN)
    (folder / "spins.yaml").write_text(MANIFEST)
    return {**os.environ, "ORCHESTRATOR_HOME": str(folder / "home"), "ORCHESTRATOR_SERVERS": ""}


def _run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, check=False, timeout=50)


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return "orchestrator.app.runtime" in process.cmdline() and str(home) in process.environ().get(
            "ORCHESTRATOR_HOME", ""
        )
    except psutil.Error:  # it ended meanwhile, or is another user's
        return False
