"""Validate and compile manifests of 10 to 10,000 agents: each size in a process of its own, CPU and wall time, peak memory.

Target: 1,000 agents in 0.8 s, 10,000 in 5 s, and linear.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.manifests import manifest_text
from benchmarks.measure import Row, at_most, program, run_process, show

SIZES = ((10, 0.0), (1_000, 0.8), (10_000, 5.0))
ROUNDS = 3


def rows() -> list[Row]:
    """One row a size, and how far from linear the largest is."""
    found: list[Row] = []
    wall: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size, limit in SIZES:
            file = Path(folder) / f"size-{size}.yaml"
            file.write_text(manifest_text(size), encoding="utf-8")
            runs = [run_process([*program(), "validate", str(file)]) for _ in range(ROUNDS)]
            wall[size] = statistics.median(run.wall for run in runs)
            name = f"validate + compile {size:,} agents, wall"
            found.append(at_most(name, wall[size], "s", limit) if limit else Row(name, wall[size], "s"))
            found.append(
                Row(f"validate + compile {size:,} agents, peak memory", max(run.peak_mb for run in runs), "MB")
            )
    growth = (wall[10_000] - wall[10]) / (wall[1_000] - wall[10])
    found.append(at_most("growth from 1,000 to 10,000 agents (10 is linear)", growth, "times", 13.0))
    return found


def main() -> None:
    """Print the rows."""
    show(rows())


if __name__ == "__main__":
    main()
