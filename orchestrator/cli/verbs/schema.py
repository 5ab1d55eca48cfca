"""``orchestrator schema``: the JSON Schema of manifests."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.inputs import write_out
from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator schema -o deployment.schema.json
orchestrator schema | jq '.properties | keys'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("-o", "--output", metavar="PATH", help="write it to a file")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print it."""
    import json

    from orchestrator.manifest.schema import deployment_schema

    write_out(json.dumps(deployment_schema(), indent=2, ensure_ascii=False) + "\n", options.output, terminal)
    return 0
