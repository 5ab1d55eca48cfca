"""``orchestrator routes``: how well the routers of a manifest choose, measured without a runtime."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orchestrator.cli.inputs import compiled, manifest_arguments
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.compile import Compilation
    from orchestrator.app.routing.cases import Case
    from orchestrator.app.routing.examine import Examined

EXAMPLES: Final = """
orchestrator routes test kiosk.yaml
orchestrator routes test kiosk.yaml --cases requests.jsonl --fail-under 90%
orchestrator routes test kiosk.yaml --cases requests.jsonl --ask
orchestrator routes test kiosk.yaml --router front --json
"""
TOO_FEW_RIGHT: Final = 1
NOT_LEFT_OUT: Final = "its strategy cannot leave its examples out"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    test = actions.add_parser(
        "test", help="try the routers on their own examples, each left out, and on labelled cases"
    )
    manifest_arguments(test)
    test.add_argument(
        "--cases", metavar="FILE", help="labelled requests: a list of {text, agent}, or one a line (.jsonl)"
    )
    test.add_argument("--router", default="", metavar="NAME", help="only this router (default: all)")
    test.add_argument(
        "--fail-under",
        metavar="SHARE",
        help="exit 1 where fewer first choices, or fewer decisions, are right, like 0.9",
    )
    test.add_argument(
        "--ask", action="store_true", help="ask the servers that answer, for the router's model and for its encoder"
    )
    test.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Measure and print; 1 where ``--fail-under`` is missed."""
    from orchestrator.app.routing.cases import read_cases
    from orchestrator.cli.view.routes import as_json, shown

    least = _share(options.fail_under)
    cases = read_cases(options.cases) if options.cases else ()
    found = _examined(compiled(options, terminal), cases, options.router, terminal, ask=options.ask)
    terminal.say(as_json(found) if options.json else shown(found, terminal))
    if least is None:
        return 0
    missed = _missed(found, least)
    for line in missed:
        terminal.tell(f"--fail-under: {line}")
    return TOO_FEW_RIGHT if missed else 0


def _examined(
    compilation: Compilation, cases: Sequence[Case], router: str, terminal: Terminal, *, ask: bool
) -> list[Examined]:
    import anyio

    from orchestrator.app.encoders import Encoders
    from orchestrator.app.routing.examine import Means, examine, labels_of
    from orchestrator.plugins.hosts.local import LocalHost

    blueprint = compilation.blueprint
    state = LocalHost().folders(make=False).state
    means = Means(Encoders(state), labels_of(blueprint.name, state))
    if not ask:
        return anyio.run(examine, blueprint, cases, means, router)
    from orchestrator.app.routing.asking import asked_servers
    from orchestrator.cli.reach import observed

    there = observed(blueprint, terminal)

    async def asking() -> list[Examined]:
        async with asked_servers(blueprint, there, compilation.loaded.folder) as asked:
            return await examine(blueprint, cases, replace(means, asked=asked), router)

    return anyio.run(asking)


def _share(written: str | None) -> float | None:
    from orchestrator.core.quantity import parse_share

    if written is None:
        return None
    try:
        return parse_share(float(written) if "%" not in written else written)
    except ValueError as error:
        raise UsageError(f"--fail-under {written} is no share", cure="write it like 90% or 0.9") from error


def _missed(found: list[Examined], least: float) -> list[str]:
    """What is under ``least``: of the cases where there are some, else of the routers' own examples."""
    from orchestrator.app.routing.figures import below

    with_cases = any(one.cases is not None for one in found)
    measured = [(one.router, one.cases if with_cases else one.own) for one in found]
    return [
        f"{router}: {line}"
        for router, figures in measured
        if figures is not None or not with_cases
        for line in (below(figures, least) if figures is not None else [NOT_LEFT_OUT])
    ]
