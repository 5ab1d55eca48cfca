"""``orchestrator schema``: the JSON Schema of manifests."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.inputs import write_out
from orchestrator.cli.streams import in_utf8
from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator schema -o deployment.schema.json
orchestrator schema --part -o part.schema.json
orchestrator schema | jq '.properties | keys'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "--part", action="store_true", help="of files that are included or laid over others: nothing is needed"
    )
    parser.add_argument("-o", "--output", metavar="PATH", help="write it to a file")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print it."""
    from orchestrator.manifest.schema import deployment_schema, schema_text
    from orchestrator.manifest.schema_part import part_schema

    schema = part_schema() if options.part else deployment_schema()
    in_utf8(terminal.stdout)
    write_out(schema_text(schema), options.output, terminal)
    return 0
