"""``orchestrator calibrate``: fit what agents go by when they doubt an answer to answers that are labelled."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

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
    from orchestrator.cli.reach import client
    from orchestrator.cli.view.calibrated import as_json, shown, shown_tally

    target = _share(options.target)
    if options.wrong_costs < 0:
        raise UsageError(f"--wrong-costs {options.wrong_costs:g} is less than nothing", cure="write it like 20")
    cases = read_labels(options.cases) if options.cases else []
    runtime = client(terminal)
    tally = note_labels(cases, options.name, runtime) if cases else None
    if tally is not None:
        terminal.tell(shown_tally(tally))
    found = runtime.calibrate(options.name, target, options.wrong_costs)
    terminal.say(as_json(found) if options.json else shown(found, terminal))
    return 0


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
