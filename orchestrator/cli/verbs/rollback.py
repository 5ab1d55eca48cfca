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
    which = "the revision (default: the one that serves or, where that is the wanted one, what served before)"
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("--to", type=int, metavar="N", help=which)
    parser.add_argument(
        "--timeout", metavar="TIME", help="how long to wait until it serves, like 30s; the runtime goes on after that"
    )


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Apply it again, as a new revision."""
    from orchestrator.cli.reach import client_of, patience
    from orchestrator.cli.view.progress import progress

    timeout = patience(options.timeout)
    with progress(terminal, 0) as listen:
        applied = client_of(options.name, terminal).rollback(options.name, options.to, listen, timeout)
    terminal.say(f"{options.name} runs, revision {applied['revision']}")
    return 0
