"""``orchestrator report``: how much of a deployment's work was handled locally, by whom, and what that saved."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

EXAMPLES: Final = """
orchestrator report mixed-office
orchestrator report mixed-office --since 24h --cloud-price 0.25/2
orchestrator report mixed-office --last 200 --watts 45 --kwh-price 0.30 --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument("--since", metavar="TIME", help="only runs that ended this long ago or later, like 24h")
    parser.add_argument("--last", type=int, metavar="N", help="only the newest N runs")
    parser.add_argument(
        "--cloud-price",
        metavar="IN/OUT",
        help="money for a million tokens read and written, for models in the cloud without a price in the manifest",
    )
    parser.add_argument(
        "--cloud-tokens",
        metavar="IN/OUT",
        help="tokens of a request that only the cloud answers (default: as the models that answered took)",
    )
    parser.add_argument(
        "--cloud-wh", metavar="WH", help="watt-hours of a call in the cloud (default: 0.24, see docs/report.md)"
    )
    parser.add_argument("--watts", metavar="W", help="what this device draws while a model works, beyond idle")
    parser.add_argument("--kwh-price", metavar="MONEY", help="money for a kilowatt-hour")
    parser.add_argument(
        "--small-below", metavar="B", help="a model with fewer billions of parameters is small (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Fetch the runs, reckon, print."""
    import time

    from orchestrator.app.report.assumed import CLOUD_WH, Assumed, read_amount, read_pair
    from orchestrator.app.report.figures import Figures
    from orchestrator.app.report.several import merged
    from orchestrator.app.report.tiers import SMALL_BELOW, NamedModel
    from orchestrator.cli.reach import places
    from orchestrator.cli.view.report import as_json, shown
    from orchestrator.core.served import ServedRun

    def amount(option: str, text: str | None) -> float | None:
        return None if text is None else read_amount(option, text)

    assumed = Assumed(
        cloud_price=read_pair("--cloud-price", options.cloud_price),
        cloud_tokens=read_pair("--cloud-tokens", options.cloud_tokens),
        cloud_wh=CLOUD_WH if options.cloud_wh is None else read_amount("--cloud-wh", options.cloud_wh),
        watts=amount("--watts", options.watts),
        kwh_price=amount("--kwh-price", options.kwh_price),
    )
    below = amount("--small-below", options.small_below)
    since, last = _since(options.since, time.time()), options.last
    if last is not None and last < 1:
        raise UsageError(f"--last {last} is no number of runs", cure="write it like 200")
    asked = places(options.name, terminal)
    alone = len(asked.nodes) < 2  # what is the newest of all is known when all are heard
    told = asked.ask(lambda each: each.report(options.name, last if alone else None, since))
    found = merged(((place.node, each) for place, each in told), last) if asked.nodes else told[0][1]
    runs = tuple(map(ServedRun.from_json, found["runs"]))
    models = tuple(map(NamedModel.from_json, found["models"]))
    figures = Figures(runs, models, SMALL_BELOW if below is None else below * 1e9)
    nodes = found.get("nodes", {})
    if options.json:
        fleet = {"nodes": nodes, "away": asked.away} if nodes else {}
        terminal.say(as_json(options.name, figures, assumed, fleet))
    else:
        terminal.say(shown(options.name, figures, assumed, terminal, nodes))
    return 0


def _since(written: str | None, now: float) -> float:
    from orchestrator.core.quantity import parse_duration

    if written is None:
        return 0.0
    try:
        return now - parse_duration(written)
    except ValueError as error:
        raise UsageError(f"--since {written} is no span of time", cure="write it like 24h, 90m or 7d") from error
