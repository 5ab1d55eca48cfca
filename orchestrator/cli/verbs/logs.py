"""``orchestrator logs``: requests and events of a deployment."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.inputs import how_many
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient

EVERY: Final = 0.25
"""Seconds between two looks for the next runtime."""
CAUGHT_UP: Final = 10_000
"""How many of the newest events are looked through for what came while no runtime was there to tell it."""
EXAMPLES: Final = """
orchestrator logs kiosk
orchestrator logs kiosk -f
orchestrator logs kiosk -n 1000 --json
orchestrator logs distributed-edge --node edge-2
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=how_many, default=100, metavar="N", help="how many to begin with (default: 100)"
    )
    parser.add_argument("--node", default="", help="of a fleet's nodes only this one (default: all)")
    parser.add_argument("--json", action="store_true", help="each line as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print them."""
    from orchestrator.cli.reach import client, client_of, local_fleet
    from orchestrator.cli.view.log import log_line

    local = local_fleet(options.name, client())  # each tells of itself there, whatever became of the hub
    runtime = client_of(options.name, terminal, options.node if local is not None else "")
    follow = options.follow
    begun = runtime.logs(options.name, options.lines, node=options.node) if not follow else ()
    for entry in _followed(runtime, options, terminal) if follow else begun:
        terminal.write((json.dumps(entry, ensure_ascii=False) if options.json else log_line(entry)) + "\n")
        if follow:
            terminal.stdout.flush()
    return 0


def _followed(runtime: RuntimeClient, options: argparse.Namespace, terminal: Terminal) -> Iterator[dict[str, Any]]:
    """Over the lives of the runtime: what came between two of them is told by the next. Raises ``RuntimeUnavailable`` where none
    runs to begin with, or one hangs."""
    from orchestrator.app.answer import RuntimeHangs

    runtime.about()
    begun, count = -inf, options.lines
    seen, last = dict[str, float](), dict[str, float]()
    started = time.time()
    while True:
        try:
            for entry in runtime.logs(options.name, count, follow=True, node=options.node):
                node = entry.get("node", "")
                if entry["at"] > seen.get(node, begun):
                    last[node] = entry["at"]
                    yield entry
        except RuntimeUnavailable as error:  # it has ended in the middle of a line
            if isinstance(error, RuntimeHangs):
                raise
        seen, begun, count = dict(last), started, CAUGHT_UP
        _wait_for(runtime, terminal)


def _wait_for(runtime: RuntimeClient, terminal: Terminal) -> None:
    time.sleep(EVERY)
    if runtime.answers():
        return
    terminal.tell("the runtime has ended: waiting for the next one")
    while not runtime.answers():
        time.sleep(EVERY)
