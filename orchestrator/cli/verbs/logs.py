"""``orchestrator logs``: requests and events of a deployment."""

from __future__ import annotations

import argparse
import json
from typing import Final

from orchestrator.cli.inputs import how_many
from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator logs kiosk
orchestrator logs kiosk -f
orchestrator logs kiosk -n 1000 --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=how_many, default=100, metavar="N", help="how many to begin with (default: 100)"
    )
    parser.add_argument("--node", default="", help="where all nodes run on this machine: of this one")
    parser.add_argument("--json", action="store_true", help="each line as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print them."""
    from orchestrator.cli.reach import client_of
    from orchestrator.cli.view.log import log_line

    for entry in client_of(options.name, terminal, options.node).logs(
        options.name, options.lines, follow=options.follow
    ):
        terminal.write((json.dumps(entry, ensure_ascii=False) if options.json else log_line(entry)) + "\n")
        if options.follow:
            terminal.stdout.flush()
    return 0
