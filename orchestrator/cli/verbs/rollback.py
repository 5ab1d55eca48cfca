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
    parser.add_argument(
        "--to",
        type=int,
        metavar="N",
        help="the revision (default: the one that serves or, where that is the wanted one, what served before)",
    )


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Apply it again, as a new revision."""
    from orchestrator.cli.reach import client
    from orchestrator.cli.view.progress import progress

    with progress(terminal, 0) as listen:
        applied = client(terminal).rollback(options.name, options.to, listen)
    terminal.say(f"{options.name} runs, revision {applied['revision']}")
    return 0
