"""``orchestrator validate``: every fault of a manifest, with its place and cure."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from orchestrator.cli.inputs import manifest_arguments, named_files, overrides
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.diagnostic import Severity, has_errors

if TYPE_CHECKING:
    from orchestrator.cli.view.verdict import Verdict

EXAMPLES: Final = """
orchestrator validate kiosk.yaml
orchestrator validate manifests/*.yaml --format github
orchestrator validate --together base.yaml site.yaml
cat kiosk.yaml | orchestrator validate - --set metadata.name=kiosk
"""
FORMATS: Final = ("human", "json", "sarif", "github")
FAULTY: Final = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    manifest_arguments(parser, "manifests to check, each by itself; - reads standard input")
    parser.add_argument(
        "--together", action="store_true", help="check all files as one manifest, later ones laid over earlier ones"
    )
    parser.add_argument("--format", choices=FORMATS, default="human", help="how to tell it (default: human)")
    parser.add_argument("--strict", action="store_true", help="fail on warnings too")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Check every manifest; 2 where one has a fault."""
    from orchestrator.cli.view.verdict import told

    files = named_files(options)
    groups = [files] if options.together else [[file] for file in files]
    verdicts = [_check(group, overrides(options), terminal) for group in groups]
    text = told(verdicts, options.format, terminal)
    if text:
        terminal.say(text)
    return FAULTY if any(_fails(verdict, options.strict) for verdict in verdicts) else 0


def _check(files: list[str], laid_over: dict[str, str], terminal: Terminal) -> Verdict:
    from orchestrator.app.compile import compile_files
    from orchestrator.cli.view.verdict import Verdict
    from orchestrator.core.errors import ManifestError
    from orchestrator.graph.render.words import counted

    try:
        found = compile_files(files, environment=terminal.environment, stdin=terminal.stdin, overrides=laid_over)
    except ManifestError as error:
        return Verdict(tuple(files), error.diagnostics, error.sources)
    about = f'"{found.blueprint.name}": {found.blueprint.type}, {counted(found.graph)}'
    return Verdict(tuple(files), found.diagnostics, found.sources, about)


def _fails(verdict: Verdict, strict: bool) -> bool:
    warned = any(diagnostic.severity is Severity.WARNING for diagnostic in verdict.diagnostics)
    return has_errors(verdict.diagnostics) or (strict and warned)
