"""``python -m benchmarks [NAME ...] [--peers PYTHON]``: run all measurements, or those named."""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time

from benchmarks.measure import MISSED

NAMES = (
    "installed",
    "startup",
    "compile",
    "scheduler",
    "affinity",
    "engine",
    "front_door",
    "routing",
    "faults",
    "doubt",
    "local_share",
    "placement",
    "mesh",
    "scale",
)
PEERS = ("peers", "proxies")


def main() -> int:
    """Run them one after the other; gives 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--peers", metavar="PYTHON", help="also measure the peers that this interpreter has")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: {', '.join(NAMES)}; {' and '.join(PEERS)} come with --peers")
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    print("Wall times move with the machine; compare ratios within one run.\n")
    for name in [*(asked.names or NAMES), *(PEERS if asked.peers else [])]:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"== {name}: {(module.__doc__ or '').strip().splitlines()[0]}")
        began = time.perf_counter()
        module.main(asked.peers) if name in PEERS else module.main()
        print(f"   ({time.perf_counter() - began:.0f} s)\n")
    for what in MISSED:
        print(f"MISSED: {what}")
    return int(bool(MISSED))


if __name__ == "__main__":
    sys.exit(main())
