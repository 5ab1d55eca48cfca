"""``orchestrator down``: end a deployment."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.client import RuntimeClient

EXAMPLES: Final = """
orchestrator down kiosk
orchestrator down kiosk --drain 5s
orchestrator down --all
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="deployments")
    parser.add_argument("--all", action="store_true", help="every deployment")
    parser.add_argument("--drain", metavar="TIME", default="30s", help="how long requests may finish (default: 30s)")
    parser.add_argument("--yes", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """End them, one after the other; none where one of the names is no deployment's."""
    from orchestrator.cli.reach import client, local_fleet, local_fleets, seconds

    if options.yes:  # who knows it from apply is told why there is none
        raise UsageError("down has no --yes", cure="leave it out: down asks nothing, and keeps the history")
    drain = seconds(options.drain)
    if bool(options.names) == options.all:
        raise UsageError("name deployments, or --all", cure="see `orchestrator status`")
    runtime = client(terminal)
    fleets = local_fleets(runtime) if options.all else [local_fleet(name, runtime) for name in options.names]
    local = {fleet.name: fleet for fleet in fleets if fleet is not None}
    others = [name for name in dict.fromkeys(options.names) if name not in local]
    if others or (options.all and (not local or runtime.answers())):
        _end(others, drain, options, terminal)
    for fleet in local.values():
        nodes = fleet.nodes
        fleet.stop(drain)
        terminal.say(f"{fleet.name} is down; its {len(nodes)} nodes have ended, and their state stays")
    return 0


def _end(names: list[str], drain: float, options: argparse.Namespace, terminal: Terminal) -> None:
    """Those of the user's own runtime."""
    from orchestrator.cli.reach import client
    from orchestrator.cli.view.progress import progress

    runtime = client(terminal)
    deployments = [each["name"] for each in runtime.status()["deployments"]]
    names = deployments if options.all else names
    for name in names:
        _check_known(name, deployments)
    for name in names:
        with progress(terminal, 0) as listen:
            left = runtime.down(name, drain, listen)
        unfinished = f"; {left} request{'s' * (left != 1)} did not finish in {options.drain}" if left else ""
        terminal.say(f"{name} is down{unfinished}; its history stays{_left_waiting(runtime, name)}")


def _left_waiting(runtime: RuntimeClient, name: str) -> str:
    """What waits for a person still, which nobody can act on before it is applied again."""
    count = len(runtime.approvals(name))
    things = f"{count} thing{'s' * (count != 1)} still wait{'s' * (count == 1)} for a person"
    return f"; {things}, and for {name} to be applied again: orchestrator approvals list {name}" if count else ""


def _check_known(name: str, known: list[str]) -> None:
    if name in known:
        return
    from orchestrator.core.unknown import no_deployment

    raise no_deployment(name, known)
