"""Making diagnostics with the cure that their code has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from orchestrator.core.codes.table import CODES
from orchestrator.core.diagnostic import Diagnostic, Place, Severity

MOST_FAULTS: Final = 200
"""Faults of one kind of check that are told; a file with more of them is not looked at further."""
LONGEST_TEXT: Final = 500
"""Characters of one text of a diagnostic."""
_STEERING: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Refused(Exception):
    """Reading one file must stop; it never leaves this package. ``before``: what was found wrong until then."""

    def __init__(self, diagnostic: Diagnostic, before: Sequence[Diagnostic] = ()) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.before = tuple(before)


def fault(code: str, message: str, place: Place | None, label: str = "", cure: str | None = None) -> Diagnostic:
    """An error; without a ``cure`` it has the one of its code."""
    return _made(Severity.ERROR, code, place, (message, label, _cure(code) if cure is None else cure))


def warning(code: str, message: str, place: Place | None, label: str = "", cure: str | None = None) -> Diagnostic:
    """A warning."""
    return _made(Severity.WARNING, code, place, (message, label, _cure(code) if cure is None else cure))


def note(code: str, message: str, place: Place | None, label: str = "", cure: str = "") -> Diagnostic:
    """A note: nothing has to be done."""
    return _made(Severity.NOTE, code, place, (message, label, cure))


def refused(code: str, message: str, place: Place | None, label: str = "") -> Refused:
    """An error that stops the reading of a file."""
    return Refused(fault(code, message, place, label))


def _made(severity: Severity, code: str, place: Place | None, texts: tuple[str, str, str]) -> Diagnostic:
    message, label, cure = (printable(_short(text)) for text in texts)
    return Diagnostic(code, message, place, label, cure, severity=severity)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def printable(text: str) -> str:
    """The text without characters that would steer a terminal or turn the direction of writing; each leaves a mark."""
    return _STEERING.sub("\ufffd", text)


def _cure(code: str) -> str:
    """The code's cure as the end of a line: no capital, no full stop."""
    text = CODES[code].cure.rstrip(".")
    return text[:1].lower() + text[1:]
