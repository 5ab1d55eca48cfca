"""``orchestrator export``: files that run a manifest under Kubernetes, Compose or systemd."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from orchestrator.cli.inputs import compiled, manifest_arguments, overrides
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import UsageError

EXAMPLES: Final = """
orchestrator export kubernetes kiosk.yaml --image registry.example.org/orchestrator:1 > kiosk.k8s.yaml
orchestrator export compose kiosk.yaml --include 'data/*.csv' -o deploy
orchestrator export systemd nodes.yaml -o units
"""
ENGINES: Final = ("kubernetes", "compose", "systemd")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("engine", choices=ENGINES, metavar="ENGINE", help="kubernetes, compose or systemd")
    manifest_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FOLDER", help="write files into a folder (default: print them)")
    parser.add_argument("--image", default="", help="the image of containers (default: orchestrator:VERSION)")
    parser.add_argument(
        "--namespace", default="", metavar="NAME", help="of Kubernetes (default: that of who applies it)"
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="more files to carry along, like 'data/*.csv'; counts from the manifest's folder",
    )
    parser.add_argument("--force", action="store_true", help="write over files that were not written by an export")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Export it."""
    if options.namespace and options.engine != "kubernetes":
        raise UsageError(f"{options.engine} has no namespaces", cure="leave --namespace out")
    compilation = compiled(options, terminal)
    from orchestrator.app.exporting.gather import Asked, gather
    from orchestrator.app.exporting.pages import exported

    asked = Asked(options.image, options.namespace, overrides(options), options.include)
    made = exported(options.engine, gather(compilation, asked))
    if options.output is None:
        terminal.write(made.printed)
    else:
        from orchestrator.app.exporting.folder import write_folder

        for name in write_folder(Path(options.output), made.pages, force=options.force):
            terminal.say(f"wrote {Path(options.output) / name}")
    for note in made.notes:
        terminal.tell(f"note: {note}")
    return 0
