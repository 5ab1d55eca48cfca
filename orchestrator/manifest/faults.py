"""Making diagnostics with the cure that their code has."""

from __future__ import annotations

from orchestrator.core.codes.table import CODES
from orchestrator.core.diagnostic import Diagnostic, Place, Severity


class Refused(Exception):
    """Reading one file must stop; it never leaves this package."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def fault(code: str, message: str, place: Place | None, label: str = "", cure: str | None = None) -> Diagnostic:
    """An error; without a ``cure`` it has the one of its code."""
    return Diagnostic(code, message, place, label, _cure(code) if cure is None else cure)


def warning(code: str, message: str, place: Place | None, label: str = "", cure: str | None = None) -> Diagnostic:
    """A warning."""
    return Diagnostic(code, message, place, label, _cure(code) if cure is None else cure, severity=Severity.WARNING)


def note(code: str, message: str, place: Place | None, label: str = "", cure: str = "") -> Diagnostic:
    """A note: nothing has to be done."""
    return Diagnostic(code, message, place, label, cure, severity=Severity.NOTE)


def refused(code: str, message: str, place: Place | None, label: str = "") -> Refused:
    """An error that stops the reading of a file."""
    return Refused(fault(code, message, place, label))


def _cure(code: str) -> str:
    """The code's cure as the end of a line: no capital, no full stop."""
    text = CODES[code].cure.rstrip(".")
    return text[:1].lower() + text[1:]
