"""``orchestrator simulate``: a manifest under load and faults, in virtual time."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.inputs import check_writable, compiled, manifest_arguments, write_out
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import RunError, UsageError

EXAMPLES: Final = """
orchestrator simulate manifests/distributed-edge.yaml --rps 2 --fail edge-2@60s+30s
orchestrator simulate fleet.yaml --rps 500 --duration 120s --fail edge-1@60s --plot fleet.svg
orchestrator simulate kiosk.yaml --rps 5 --hardware pi --service inventory=800ms --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser)
    parser.add_argument(
        "--rps", type=_rate, default=1.0, metavar="N", help="requests a second, at all nodes together (default: 1)"
    )
    parser.add_argument("--duration", default="120s", metavar="TIME", help="for how long they come (default: 120s)")
    parser.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="WHAT@TIME[+TIME]",
        help="a node, hub, or a link like edge-1-hub that fails then, and is back after so long; may be repeated",
    )
    parser.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="[AGENT=]TIME",
        help="how long an answer takes on average, like billing=800ms; may be repeated (default: by model and hardware)",
    )
    parser.add_argument(
        "--hardware",
        action="append",
        default=[],
        metavar="[NODE=]KIND",
        help="what the machines are: pi, cpu, apple or gpu; may be repeated (default: cpu)",
    )
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="AGENT=WEIGHT",
        help="how many of the requests are for an agent (default: 1 for each specialist)",
    )
    parser.add_argument(
        "--tokens", default="300+120", metavar="PROMPT+ANSWER", help="of a request and its answer (default: 300+120)"
    )
    parser.add_argument(
        "--slots",
        type=int,
        default=1,
        metavar="N",
        help="answers that a model writes at once where the manifest has no max_concurrent (default: 1)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="where chance begins; the same gives the same (default: 0)"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw requests, queues, times and utilisation over time, as SVG")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Simulate and print; 5 where requests were lost, or came to a node that was down with no other to answer them."""
    if options.plot not in (None, "-") and not options.plot.casefold().endswith(".svg"):
        raise UsageError(f"--plot {options.plot}: what is drawn is SVG", cure="end the name with .svg")
    check_writable(options.plot, "--plot")
    compilation = compiled(options, terminal)
    from orchestrator.app.simulation.order import Order, simulate
    from orchestrator.cli.view.simulated import as_json, shown

    order = Order(
        options.rps, options.duration, options.seed, options.slots, options.fail, options.service, options.share,
        options.hardware, options.tokens,
    )  # fmt: skip
    simulated = simulate(compilation.blueprint, order)
    place_of = compilation.resolved.place_of
    terminal.say(as_json(simulated, place_of) if options.json else shown(simulated, terminal, place_of))
    if options.plot:
        from orchestrator.cli.view.simulated_plot import plot

        write_out(plot(simulated), options.plot, terminal, "--plot")
    return RunError.exit_code if simulated.figures.lost or simulated.unheard else 0


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate; write it like 20") from error
