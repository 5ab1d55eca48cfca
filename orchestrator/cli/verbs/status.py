"""``orchestrator status``: what runs and what serves it."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.reach import ENDED, killed, local_fleets
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient
    from orchestrator.app.fleet.local import LocalFleet

EXAMPLES: Final = """
orchestrator status
orchestrator status kiosk
orchestrator status --json
orchestrator status --watch
"""
EVERY: Final = 2.0
"""Seconds between two looks of ``--watch``."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this deployment")
    parser.add_argument("--node", default="", help="where all nodes run on this machine: as this one sees it")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--watch", action="store_true", help="look again every two seconds, until Ctrl-C")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Show it."""
    from orchestrator.cli.reach import client_of

    runtime = client_of(options.name or "", terminal, options.node)
    if not options.watch:
        terminal.say(_text(runtime, options, terminal))
        return 0
    while True:
        text = _text(runtime, options, terminal)
        clear = "\x1b[H\x1b[2J" if terminal.interactive and not terminal.plain else ""
        terminal.stdout.write(clear)
        terminal.say(text)
        terminal.stdout.flush()
        time.sleep(EVERY)


def _text(runtime: RuntimeClient, options: argparse.Namespace, terminal: Terminal) -> str:
    found = _look(runtime)
    if options.name:
        found = {**found, "deployments": [_of(runtime, found, options.name)]}
    elif fleets := local_fleets(runtime):
        found["local_fleets"] = [seen_of(fleet) for fleet in fleets]
    if options.json:
        import json

        return json.dumps(found, indent=2, ensure_ascii=False)
    if found["runtime"] is None and (pid := killed(runtime)):
        head = f"{ENDED.format(pid=pid)}: orchestrator runtime start brings back what was applied"
    else:
        from orchestrator.cli.view.status import shown_status

        head = shown_status(found, terminal, whole=bool(options.name))
    if not found.get("local_fleets"):
        return head
    from orchestrator.cli.view.fleet import shown_local_fleet

    return "\n\n".join([head, *(shown_local_fleet(each, terminal) for each in found["local_fleets"])])


def _look(runtime: RuntimeClient) -> dict[str, Any]:
    """The status; that no runtime runs is a status too."""
    if not runtime.answers():
        return {"runtime": None, "deployments": []}
    return {**runtime.status(), "fleet": runtime.fleet()}


def seen_of(fleet: LocalFleet) -> dict[str, Any]:
    """A fleet whose nodes all are on this machine: which of them run, and what the first one that does sees."""
    running = fleet.running()
    nodes = {node: node in running for node in fleet.nodes}
    return {"name": fleet.name, "nodes": nodes, "fleet": fleet.client(running[0]).fleet() if running else None}


def _of(runtime: RuntimeClient, found: dict[str, Any], name: str) -> dict[str, Any]:
    for deployment in found["deployments"]:
        if deployment["name"] == name:
            one: dict[str, Any] = deployment
            return one
    if found["runtime"] is None:
        runtime.about()  # raises, and says what starts it
    from orchestrator.core.unknown import no_deployment

    raise no_deployment(name, [deployment["name"] for deployment in found["deployments"]])
