"""``orchestrator label``: say that the answer of a run, or whom a router chose, was right or wrong; calibration learns from it."""

from __future__ import annotations

import argparse
import json
from typing import Final

from orchestrator.cli.inputs import in_utf8
from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator label run_9f2c right
orchestrator label run_9f2c wrong --by anna
orchestrator label run_9f2c wrong --agent clerk --json
orchestrator label run_9f2c wrong --router front
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="RUN", help="the run's id, or the beginning of it")
    parser.add_argument(
        "verdict", choices=("right", "wrong"), metavar="VERDICT", help="what its answer was: right or wrong"
    )
    meant = parser.add_mutually_exclusive_group()
    meant.add_argument(
        "--agent",
        default="",
        metavar="NAME",
        help="the agent that is meant, where it handed over; else the one that answered",
    )
    meant.add_argument(
        "--router", default="", metavar="NAME", help="not the answer is meant, but whom this router chose"
    )
    parser.add_argument("--by", default="", metavar="NAME", help="who says so; without it, the name of the user")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Note it."""
    from orchestrator.cli.reach import places

    by = in_utf8(options.by) or terminal.environment.get("USER", "")
    right, agent, router = options.verdict == "right", in_utf8(options.agent), in_utf8(options.router)
    found = places("", terminal).label(options.run, right=right, agent=agent, router=router, by=in_utf8(by))
    scores = ", ".join(f"{each.get('signal') or each['stage']} {each['score']:.2f}" for each in found["scores"])
    what = f"the choice of {router}" if router else f"the answer of {found['agent']}"
    where = f" on {found['node']}" if found.get("node") else ""
    told = f"{found['run']}{where}: {what} was {options.verdict} ({scores})"
    terminal.say(json.dumps(found, indent=2, ensure_ascii=False) if options.json else terminal.foreign(told))
    return 0
