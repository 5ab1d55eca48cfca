"""``orchestrator doctor``: what is on this machine, what would serve what, and what to install."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.inputs import compiled, manifest_arguments
from orchestrator.cli.view.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.core.blueprint import Blueprint

EXAMPLES: Final = """
orchestrator doctor
orchestrator doctor kiosk.yaml
orchestrator doctor --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser, "say what would serve this manifest; without it: the models of the catalogue")
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Look, and tell. It changes and starts nothing."""
    found = _look(options, terminal)
    if options.json:
        import json

        terminal.say(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    from orchestrator.cli.view.checkup import shown_checkup

    terminal.say(shown_checkup(found, terminal))
    return 0


def _look(options: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    from orchestrator.app.checkup import models_of, room, whole_catalogue
    from orchestrator.app.machine import machine
    from orchestrator.cli.reach import client, observed
    from orchestrator.plan.diff import diff

    named = bool(options.files or options.file)
    blueprint: Blueprint = compiled(options, terminal).blueprint if named else whole_catalogue()
    state = observed(blueprint, terminal)
    runtime = client()
    return {
        "machine": machine(runtime.folders) | {"for_models": room(blueprint, state)},
        "runtime": runtime.about() if runtime.answers() else None,
        "servers": [server.as_json() for server in state.servers],
        "silent": dict(state.silent),
        "manifest": blueprint.name if named else None,
        "serving": [each.as_json() for each in diff(blueprint, state).serving] if named else [],
        "models": models_of(blueprint, state),
    }
