"""``orchestrator completion``: the completion script of a shell, made from the table of verbs."""

from __future__ import annotations

import argparse
from typing import Final

from orchestrator.cli.view.terminal import Terminal

EXAMPLES: Final = """
orchestrator completion bash > ~/.local/share/bash-completion/completions/orchestrator
orchestrator completion zsh > "${fpath[1]}/_orchestrator"
orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Print it."""
    from orchestrator.cli.options import commands
    from orchestrator.cli.view.completion import SCRIPTS

    terminal.stdout.write(SCRIPTS[options.shell](commands()))
    return 0
