"""``orchestrator rollback``: go back to an earlier revision."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator rollback kiosk
orchestrator rollback kiosk --to 3
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("--to", type=int, metavar="N", help="the revision (default: the one before the last)")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Apply it again, as a new revision."""
    from orchestrator.cli.reach import client
    from orchestrator.cli.view.progress import progress

    runtime = client()
    if options.to is not None:
        _check_revision(options.name, options.to, [each["number"] for each in runtime.history(options.name)])
    with progress(terminal, 0) as listen:
        applied = runtime.rollback(options.name, options.to, listen)
    terminal.say(f"{options.name} runs, revision {applied['revision']}")
    return 0


def _check_revision(name: str, number: int, known: list[int]) -> None:
    if number in known:
        return
    from orchestrator.core.errors import DeployError

    first, last = min(known), max(known)
    whole = len(known) == last - first + 1 > 1
    there = f"{first} to {last}" if whole else ", ".join(map(str, sorted(known)))
    raise DeployError(f"{name} has no revision {number}; it has {there}", cure=f"see `orchestrator history {name}`")
