"""The root of all errors, what is wrong with a manifest, and with a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from orchestrator.core.diagnostic import Diagnostic, Severity, render


def in_one_line(message: str, cure: str) -> str:
    """What went wrong and its cure as one sentence: a cure that is a sentence of its own loses its capital and its end."""
    if not cure:
        return message
    begins_plainly = cure[1:2].islower() or cure[1:2] == " "
    return f"{message}; {cure[0].lower() + cure[1:] if begins_plainly else cure}".removesuffix(".")


class OrchestratorError(Exception):
    """Root of every error that a user may see: a stable ``code``, a message and a ``cure``."""

    code: ClassVar[str] = "ORC501"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    @property
    def line(self) -> str:
        """Message and cure as one sentence, for where there is no room for two."""
        return in_one_line(self.message, self.cure)

    def as_json(self) -> dict[str, Any]:
        """A plain form: code, kind, message, cure."""
        return {"code": self.code, "kind": type(self).__name__, "message": self.message, "cure": self.cure}


class ManifestError(OrchestratorError):
    """The manifest has faults; all of them are in ``diagnostics``, with the ``sources`` (file -> lines) to show them."""

    code = "ORC100"
    exit_code = 2

    def __init__(self, diagnostics: Sequence[Diagnostic], sources: dict[str, list[str]] | None = None) -> None:
        count = sum(one.severity is not Severity.NOTE for one in diagnostics)
        super().__init__(f"the manifest has {count} fault{'s' if count != 1 else ''}")
        self.diagnostics = tuple(diagnostics)
        self.sources = sources or {}

    def __str__(self) -> str:
        """How many faults there are, and each in short: what a traceback shows."""
        return "\n".join([self.message, *(render(one, {}) for one in self.diagnostics)])


class UsageError(OrchestratorError):
    """What was asked does not fit: a word of the command line, or the ``field`` of a request."""

    code = "ORC601"
    exit_code = 64

    def __init__(self, message: str, *, cure: str = "", field: str = "") -> None:
        super().__init__(message, cure=cure)
        self.field = field


class NoSuchRun(UsageError):
    """No run that is kept has this id, or begins so."""
