"""How things are measured: CPU time (user and system) of whole processes or of a block, medians of interleaved rounds."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run took: wall and CPU seconds, and the largest resident set in MB where it was a process of its own."""

    wall: float
    cpu: float
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure beside its target; ``good`` is ``None`` where there is no target."""

    what: str
    value: float
    unit: str
    target: str = ""
    good: bool | None = None

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "MISS", None: "    "}[self.good]
        target = f"   target {self.target}" if self.target else ""
        return f"{mark} {self.what:<72} {self.value:>10.3f} {self.unit}{target}"


def at_most(what: str, value: float, unit: str, limit: float) -> Row:
    """A figure that must not be above its limit."""
    return Row(what, value, unit, f"<= {limit:g} {unit}", value <= limit)


def at_least(what: str, value: float, unit: str, limit: float) -> Row:
    """A figure that must not be below its limit."""
    return Row(what, value, unit, f">= {limit:g} {unit}", value >= limit)


MISSED: Final[list[str]] = []
"""What was shown and missed its target."""


def show(rows: Iterable[Row]) -> None:
    """Print them, and remember those that missed their target: the program then ends with 1."""
    for row in rows:
        print(row)
        if row.good is False:
            MISSED.append(row.what)


_ALONE: Final = """
import os, sys, time
began = time.perf_counter()
output = (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[output])
_, status, used = os.wait4(child, 0)
print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""
"""Runs a command and tells its wall and CPU seconds and its peak in MB. In a small process of its own: a child is said to have been
as large as its parent was when it began."""


def run_process(argv: Sequence[str], environment: dict[str, str] | None = None) -> Spent:
    """Run a command to its end, its output thrown away; raises ``CalledProcessError`` where it fails."""
    alone = [sys.executable, "-I", "-S", "-c", _ALONE, *argv]
    done = subprocess.run(alone, check=True, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    wall, cpu, peak = map(float, done.stdout.split())
    return Spent(wall, cpu, peak)


def median_process(argv: Sequence[str], rounds: int = 7) -> Spent:
    """The medians of several runs, after one to warm the disk."""
    run_process(argv)
    runs = [run_process(argv) for _ in range(rounds)]
    return Spent(
        statistics.median(r.wall for r in runs), statistics.median(r.cpu for r in runs), max(r.peak_mb for r in runs)
    )


@contextmanager
def cpu_of_block(into: list[float]) -> Iterator[None]:
    """Append the CPU seconds that this process spends in the block."""
    began = time.process_time()
    yield
    into.append(time.process_time() - began)


def program() -> list[str]:
    """The command line program of this environment."""
    return [os.path.join(os.path.dirname(sys.executable), "orchestrator")]  # noqa: PTH118, PTH120 - as short as it gets


def runtime_of(home: str) -> psutil.Process:
    """The runtime whose state is in that folder; raises ``RuntimeError`` where none runs."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "orchestrator.app.runtime" in words and process.environ().get("ORCHESTRATOR_HOME") == home:
            return process
    raise RuntimeError("no runtime runs")


def cpu_of(process: psutil.Process) -> float:
    """Its CPU seconds so far, user and system."""
    times = process.cpu_times()
    return float(times.user + times.system)
