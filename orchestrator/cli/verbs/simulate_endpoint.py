"""``orchestrator simulate-endpoint``: a model server that obeys a script, for trying things out and for tests."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator simulate-endpoint --port 8080 --model phi-4-mini
orchestrator simulate-endpoint --face ollama --port 11434 --model phi4-mini --ttft 200ms --tps 30
orchestrator simulate-endpoint --list-faults
orchestrator simulate-endpoint --fault server-error@2
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options: those of the simulated server."""
    from orchestrator.testing.simulated_server import add_options

    add_options(parser)


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Serve until a signal comes."""
    from orchestrator.testing.simulated_server import serve

    terminal.stdout.flush()
    return serve(options)
