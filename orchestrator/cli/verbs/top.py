"""``orchestrator top``: who does how much just now, over all nodes of a fleet, anew every second."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient

EXAMPLES: Final = """
orchestrator top
orchestrator top kiosk
orchestrator top distributed-edge --once
"""
EVERY: Final = 1.0
"""Seconds between two looks."""
HEADS: Final = ("DEPLOYMENT", "NODE", "STATE", "IN WORK", "WAITING", "ROOM", "MS EACH", "AGENTS")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="only this deployment")
    parser.add_argument("--node", default="", help="where all nodes run on this machine: as this one sees it")
    parser.add_argument("--once", action="store_true", help="look once")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Show it until Ctrl-C; once where nobody watches."""
    from orchestrator.cli.reach import client_of, local_fleets

    runtime = client_of(options.name, terminal, options.node)
    if options.name or not local_fleets(runtime):
        runtime.about()  # that none runs is told as everywhere
    if options.once or not terminal.interactive:
        terminal.say(_text(runtime, options.name, terminal))
        return 0
    while True:
        terminal.stdout.write("" if terminal.plain else "\x1b[H\x1b[2J")
        terminal.say(_text(runtime, options.name, terminal))
        terminal.stdout.flush()
        time.sleep(EVERY)


def _text(runtime: RuntimeClient, name: str, terminal: Terminal) -> str:
    from orchestrator.cli.reach import local_fleets
    from orchestrator.cli.view.columns import columns

    fleet, applied = (runtime.fleet(), runtime.status()["deployments"]) if runtime.answers() else (None, [])
    alone = [each for each in applied if fleet is None or not _is_of(fleet, each["name"])]
    beside = [each.client(each.running()[0]).fleet() for each in local_fleets(runtime)] if not name else []
    seen = [row for each in (fleet, *beside) for row in _of_fleet(each)]
    rows = [row for row in (*seen, *map(_of_this, alone)) if not name or row[0] == name]
    if name and not rows:
        from orchestrator.core.unknown import no_deployment

        raise no_deployment(name, [each["name"] for each in alone])
    if not rows:
        return "no deployment is applied: orchestrator apply FILE"
    first, *rest = columns([HEADS, *rows])
    return "\n".join([terminal.paint("bold", first), *rest])


def _is_of(fleet: Mapping[str, Any], name: str) -> bool:
    return any(each["name"] == name for each in fleet["deployments"])


def _of_fleet(fleet: Mapping[str, Any] | None) -> Iterator[tuple[str, ...]]:
    for deployment in fleet["deployments"] if fleet is not None else ():
        for node, each in deployment["nodes"].items():
            load = each["load"] or {}
            told = [str(load.get(key, "-")) for key in ("inflight", "queued", "room", "service_ms")]
            yield (deployment["name"], node, each["health"], *told, ", ".join(each["agents"]) or "-")


def _of_this(deployment: Mapping[str, Any]) -> tuple[str, ...]:
    """A deployment of this machine alone."""
    agents = [each["agent"].partition(".")[2] for each in deployment["agents"] if each["agent"].startswith("agent.")]
    work = str(deployment["in_flight"])
    return (deployment["name"], "-", deployment["state"], work, "-", "-", "-", ", ".join(agents) or "-")
