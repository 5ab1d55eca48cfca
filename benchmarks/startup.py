"""How fast the program starts: `--help`, `validate` of the seed manifests, and the idle runtime's memory.

Targets: help 120 ms, validate 400 ms, idle runtime 80 MB, started in 1.5 s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, at_most, cpu_of, median_process, program, runtime_of, show

MANIFESTS = Path(__file__).parents[1] / "manifests"
SETTLE_SECONDS = 5.0


def rows() -> list[Row]:
    """All rows."""
    python = median_process([sys.executable, "-c", "pass"])
    help_, seed = median_process([*program(), "--help"]), MANIFESTS / "single-device.yaml"
    validate = median_process([*program(), "validate", str(seed)])
    return [
        Row("bare python, wall", python.wall * 1e3, "ms"),
        at_most("orchestrator --help, wall", help_.wall * 1e3, "ms", 120),
        at_most("orchestrator validate manifests/single-device.yaml, wall", validate.wall * 1e3, "ms", 400),
        *_runtime_rows(),
    ]


def _runtime_rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "ORCHESTRATOR_HOME": home}
        began = time.perf_counter()
        subprocess.run([*program(), "runtime", "start"], env=environment, check=True, capture_output=True)
        started = time.perf_counter() - began
        try:
            process = runtime_of(home)
            before, busy = time.perf_counter(), cpu_of(process)
            time.sleep(SETTLE_SECONDS)
            share = (cpu_of(process) - busy) / (time.perf_counter() - before) * 100
            resident = process.memory_info().rss / 1e6
        finally:
            subprocess.run([*program(), "runtime", "stop"], env=environment, check=True, capture_output=True)
    return [
        at_most("runtime start until it answers, wall (with the command's own start)", started, "s", 1.5),
        at_most("idle runtime, resident memory", resident, "MB", 80),
        at_most("idle runtime, share of a core", share, "%", 0.5),
    ]


def main() -> None:
    """Print the rows."""
    show(rows())


if __name__ == "__main__":
    main()
