"""``orchestrator tune``: propose thresholds and stages for the routers of a manifest, measured on labelled requests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from orchestrator.cli.inputs import check_writable, compiled, manifest_arguments, write_out
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.app.compile import Compilation
    from orchestrator.app.routing.cases import Case
    from orchestrator.app.routing.tune import Tuned, Wish

EXAMPLES: Final = """
orchestrator tune kiosk.yaml --cases requests.yaml
orchestrator tune kiosk.yaml --cases requests.yaml --target 90% --plot kiosk.svg
orchestrator tune kiosk.yaml --cases requests.yaml --write
"""
SOMETHING_BETTER: Final = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser)
    parser.add_argument(
        "--cases",
        required=True,
        metavar="FILE",
        help="labelled requests: a list of {text, agent}, or one a line (.jsonl)",
    )
    parser.add_argument(
        "--target", default="95%", metavar="SHARE", help="how much of what is decided should be right (default: 0.95)"
    )
    parser.add_argument("--router", default="", metavar="NAME", help="only this router (default: all)")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="how the requests are halved; another one halves otherwise (default: 0)",
    )
    asking = parser.add_mutually_exclusive_group()
    asking.add_argument(
        "--ask", action="store_true", help="ask the models of the servers that answer, and try smaller ones"
    )
    asking.add_argument("--no-models", action="store_true", help="ask no model (the default)")
    parser.add_argument("--write", action="store_true", help="write the proposal into the manifest")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw what is right against what is decided, and against what it costs, as SVG"
    )
    parser.add_argument("--fail-if-better", action="store_true", help="exit 1 where something better was found")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Search, measure, print; 1 where ``--fail-if-better`` finds something."""
    from orchestrator.app.routing.cases import read_cases
    from orchestrator.app.routing.patch import patch_of
    from orchestrator.app.routing.tune import Wish
    from orchestrator.cli.view.tuned import Told, as_json, shown

    check_writable(options.plot, "--plot")
    wish = Wish(_share(options.target), options.seed, options.router)
    cases = read_cases(options.cases)
    compilation = compiled(options, terminal)
    found, left = _tuned(compilation, cases, wish, terminal, ask=options.ask)
    better = {one.router: one.proposed for one in found if one.comparison.better and one.proposed is not None}
    patch = patch_of(compilation, better, terminal.environment)
    told = Told(wish, tuple(found), tuple(left), patch)
    terminal.say(as_json(told) if options.json else shown(told, terminal))
    if options.plot:
        from orchestrator.cli.view.tuned_plot import plot

        write_out(plot(told), options.plot, terminal, "--plot")
    if options.write:
        for name in patch.write():
            terminal.tell(f"wrote {name}")
    return SOMETHING_BETTER if options.fail_if_better and better else 0


def _tuned(
    compilation: Compilation, cases: Sequence[Case], wish: Wish, terminal: Terminal, *, ask: bool
) -> tuple[list[Tuned], list[str]]:
    import time

    import anyio

    from orchestrator.app.encoders import Encoders
    from orchestrator.app.routing.examine import labels_of
    from orchestrator.app.routing.tune import Bench, tune
    from orchestrator.plugins.hosts.local import LocalHost

    blueprint = compilation.blueprint
    state = LocalHost().folders(make=False).state
    bench = Bench(blueprint, Encoders(state), time.thread_time, labels=labels_of(blueprint.name, state))
    if not ask:
        return anyio.run(partial(tune, bench, cases, wish))
    from orchestrator.app.routing.asking import asked_servers
    from orchestrator.cli.reach import observed

    there = observed(blueprint, terminal)

    async def asking() -> tuple[list[Tuned], list[str]]:
        async with asked_servers(blueprint, there, compilation.loaded.folder) as asked:
            return await tune(replace(bench, models=asked.models), cases, wish)

    return anyio.run(asking)


def _share(written: str) -> float:
    from orchestrator.core.quantity import parse_share

    try:
        share = parse_share(written if "%" in written else float(written))
    except ValueError as error:
        raise UsageError(f"--target {written} is no share", cure="write it like 95% or 0.95") from error
    if not 0 < share < 1:
        raise UsageError(
            f"--target {written} cannot be shown by any number of requests" if share else "--target 0 asks for nothing",
            cure="write it like 95%, or 99.9%",
        )
    return share
