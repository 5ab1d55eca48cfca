"""``orchestrator graph``: a drawing of who answers and what they use."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.inputs import compiled, manifest_arguments, write_out
from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator graph kiosk.yaml
orchestrator graph kiosk.yaml --format svg -o kiosk.svg
orchestrator graph base.yaml site.yaml --format mermaid
"""
FORMATS: Final = ("text", "mermaid", "dot", "json", "svg")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="what to draw (default: text)")
    parser.add_argument("-o", "--output", metavar="PATH", help="write it to a file")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Draw it."""
    from orchestrator.graph.render.formats import render

    compilation = compiled(options, terminal)
    write_out(render(compilation.graph, options.format), options.output, terminal)
    return 0
