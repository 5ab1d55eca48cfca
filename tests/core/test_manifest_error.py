"""What a traceback shows of a manifest with faults."""

from __future__ import annotations

from orchestrator.core.diagnostic import Diagnostic, Place, Severity
from orchestrator.core.errors import ManifestError


def test_a_manifest_error_says_every_fault() -> None:
    """Code, message, place and cure; its message stays one line, and a note is no fault."""
    faults = [
        Diagnostic(
            "ORC201", 'unknown agent "b"', Place("shop.yaml", 3, 7), cure='did you mean "a"?', subject="agent.c"
        ),
        Diagnostic("ORC101", "no agents", cure="add one"),
        Diagnostic("ORC139", "accepted", severity=Severity.NOTE),
    ]
    error = ManifestError(faults)
    assert error.message == "the manifest has 2 faults"
    assert str(error) == (
        "the manifest has 2 faults\n"
        'error[ORC201]: unknown agent "b"\n  --> shop.yaml:3:7   in agent.c\n   = did you mean "a"?\n'
        "error[ORC101]: no agents\n   = add one\n"
        "note[ORC139]: accepted"
    )
