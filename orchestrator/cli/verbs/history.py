"""``orchestrator history``: the revisions of a deployment."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator history kiosk
orchestrator history kiosk --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """List them, newest first."""
    from orchestrator.cli.reach import client_of

    revisions = client_of(options.name, terminal).history(options.name)
    if options.json:
        import json

        terminal.say(json.dumps(revisions, indent=2, ensure_ascii=False))
        return 0
    from orchestrator.cli.view.columns import columns
    from orchestrator.cli.view.moments import clock

    rows = [
        (f"{each['number']}{_state(each)}", clock(each["created"]), each["cause"], each["origin"]) for each in revisions
    ]
    first, *rest = columns([("REVISION", "WHEN", "CAUSE", "FROM"), *rows])
    terminal.say("\n".join([terminal.paint("bold", first), *rest]))
    return 0


def _state(revision: Mapping[str, Any]) -> str:
    """Whether it serves; the one that is wanted and does not yet is told too."""
    if revision["current"]:
        return " (runs)"
    return " (wanted, does not serve)" if revision.get("wanted") else ""
