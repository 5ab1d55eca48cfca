"""What a proof found, before it is given its place in the text."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.diagnostic import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """A property that does not hold, with its counter-example in ``message``."""

    code: str
    subject: str
    message: str
    cure: str = ""
    severity: Severity = Severity.ERROR
