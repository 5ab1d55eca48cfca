"""``orchestrator calibrate``: fit what agents go by when they doubt an answer to answers that are labelled."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.places import Place

EXAMPLES: Final = """
orchestrator calibrate help-desk
orchestrator calibrate help-desk --cases answers.jsonl --target 95%
orchestrator calibrate help-desk --target 90% --wrong-costs 20 --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("name", metavar="NAME", help="the deployment")
    parser.add_argument(
        "--cases",
        metavar="FILE",
        help="labels: a list of {run, right}, or of {text, answer}, which are asked now; or one a line (.jsonl)",
    )
    parser.add_argument(
        "--target", default="95%", metavar="SHARE", help="how much of what is kept should be right (default: 0.95)"
    )
    parser.add_argument(
        "--wrong-costs",
        type=float,
        default=0.0,
        metavar="N",
        help="what a wrong answer that is kept costs, in escalations (default: 0, only the target counts)",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Label the cases, fit, print."""
    from orchestrator.app.labelling import note_labels, read_labels
    from orchestrator.cli.reach import places
    from orchestrator.cli.view.calibrated import as_json, shown, shown_tally

    target = _share(options.target)
    if options.wrong_costs < 0:
        raise UsageError(f"--wrong-costs {options.wrong_costs:g} is less than nothing", cure="write it like 20")
    cases = read_labels(options.cases) if options.cases else []
    asked = places(options.name, terminal)
    tally = note_labels(cases, options.name, asked) if cases else None
    if tally is not None:
        terminal.tell(shown_tally(tally))
    told = asked.ask(lambda each: each.calibrate(options.name, target, options.wrong_costs))
    if options.json:
        terminal.say(as_json(_as_one(told, asked.away) if asked.nodes else told[0][1]))
        return 0
    if asked.nodes:
        terminal.tell("each node fits what was labelled of its own answers, and goes by that")
    terminal.say("\n\n".join(shown(found, terminal, place.node) for place, found in told))
    return 0


def _as_one(told: list[tuple[Place, dict[str, Any]]], away: list[dict[str, str]]) -> dict[str, Any]:
    """What several nodes fitted, each scale with its node."""
    scales = [{**scale, **place.told} for place, found in told for scale in found["scales"]]
    return {**told[0][1], "scales": scales, "nodes": [place.node for place, _ in told], "away": away}


def _share(written: str) -> float:
    from orchestrator.core.quantity import parse_share

    try:
        share = parse_share(written if "%" in written else float(written))
    except ValueError as error:
        raise UsageError(f"--target {written} is no share", cure="write it like 95% or 0.95") from error
    if not 0 < share < 1:  # as of tune
        raise UsageError(
            f"--target {written} cannot be shown by any number of labels" if share else "--target 0 asks for nothing",
            cure="write it like 95%, or 99.9%",
        )
    return share
