"""Diagnostics for people, with colours where the terminal shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.diagnostic import Diagnostic, Severity, render

STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def shown(
    diagnostic: Diagnostic, sources: Mapping[str, Sequence[str]], terminal: Terminal, on: TextIO | None = None
) -> str:
    """One diagnostic as text, painted for the stream that it goes to."""
    style = STYLES[diagnostic.severity]
    first, *rest = render(diagnostic, sources).split("\n")
    head, bracket, message = first.partition("]: ")
    lines = [terminal.paint(style, head + bracket[:1], on=on) + bracket[1:] + terminal.paint("bold", message, on=on)]
    for line in rest:
        margin, bar, remark = line.partition("| ")
        points = bool(bar) and not margin.strip() and "^" in remark
        lines.append(margin + bar + terminal.paint(style, remark, on=on) if points else line)
    return "\n".join(lines)


def counts(diagnostics: Sequence[Diagnostic]) -> str:
    """``2 errors, 1 warning``; an empty text where there is nothing to tell."""
    found = Counter(diagnostic.severity for diagnostic in diagnostics)
    words = [
        f"{found[severity]} {severity.value}{'s' * (found[severity] != 1)}" for severity in STYLES if found[severity]
    ]
    return ", ".join(words)
