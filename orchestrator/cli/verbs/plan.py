"""``orchestrator plan``: what apply would do, with a cause for each step. Changes and starts nothing."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.inputs import compiled, manifest_arguments, origin
from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator plan kiosk.yaml
orchestrator plan base.yaml site.yaml --format json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser)
    parser.add_argument("--name", default="", help="plan it under another deployment name")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Show it."""
    from orchestrator.cli.reach import planned

    compilation = compiled(options, terminal, options.name)
    plan = planned(compilation, origin(options), terminal)
    if options.format == "json":
        import json

        terminal.say(json.dumps(plan.as_json(), indent=2, ensure_ascii=False))
    else:
        from orchestrator.cli.view.plan import shown_plan

        terminal.say(shown_plan(plan, terminal))
    return 0
