"""A tool whose own code never returns: the run ends in time, and so does the runtime."""

from __future__ import annotations

import os
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
    (tmp_path / "spin.py").write_text(SPIN)
    (tmp_path / "spins.yaml").write_text(MANIFEST)
    environment = {**os.environ, "ORCHESTRATOR_HOME": str(tmp_path / "home"), "ORCHESTRATOR_SERVERS": ""}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *words], env=environment, capture_output=True, text=True, check=False, timeout=50
        )

    assert run("apply", str(tmp_path / "spins.yaml")).returncode == 0
    runtimes = [each for each in psutil.process_iter() if _is_of(each, tmp_path)]
    try:
        assert "did not finish in 0.2 s" in run("run", "spins", "go").stderr
        # Patience and the grace of servers are 56 s: only then would a process that hangs be killed.
        assert run("runtime", "stop").stdout == "the runtime is stopped\n"
        assert len(runtimes) == 1
        runtimes[0].wait(timeout=5)
    finally:
        for each in runtimes:
            if each.is_running():
                each.kill()


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        return "orchestrator.app.runtime" in process.cmdline() and str(home) in process.environ().get(
            "ORCHESTRATOR_HOME", ""
        )
    except psutil.Error:  # it ended meanwhile, or is another user's
        return False
