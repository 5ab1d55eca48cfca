"""How what goes wrong is told: a code, what it is, and a cure; never a traceback."""

from __future__ import annotations

from orchestrator.cli.view.diagnostics import counts, shown
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.errors import ManifestError, OrchestratorError, RuntimeUnavailable


def tell_fault(error: OrchestratorError, terminal: Terminal) -> None:
    """Tell an error on stderr."""
    if isinstance(error, ManifestError):
        tell_diagnostics(error, terminal)
        return
    head = terminal.paint("red", f"error[{error.code}]", on=terminal.stderr)
    message, cure = _told(error)
    terminal.tell(f"{head}: {message}")
    if cure:
        terminal.tell(f"  cure: {cure}")


def _told(error: OrchestratorError) -> tuple[str, str]:
    if isinstance(error, RuntimeUnavailable):
        from orchestrator.cli.reach import why_none_runs

        return why_none_runs(error)
    return error.message, error.cure


def tell_diagnostics(error: ManifestError, terminal: Terminal) -> None:
    """Tell every fault of a manifest on stderr, and how many there are."""
    for diagnostic in error.diagnostics:
        terminal.tell(shown(diagnostic, error.sources, terminal, terminal.stderr) + "\n")
    terminal.tell(counts(error.diagnostics))
