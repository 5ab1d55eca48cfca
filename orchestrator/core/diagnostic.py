"""What is wrong in something the user wrote, where it stands, and how to mend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from unicodedata import combining, east_asian_width


class Severity(StrEnum):
    """How much a diagnostic weighs: an error stops, a warning does not, a note only tells."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a source: file name as the user gave it, 1-based line and column, length in characters."""

    file: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault with one cause.

    ``message`` says what is wrong; ``label`` stands under the place; ``cure`` says what to do; ``subject`` is the
    address or path of the part it is in (``agent.refunds``).
    """

    code: str
    message: str
    place: Place | None = None
    label: str = ""
    cure: str = ""
    subject: str = ""
    severity: Severity = Severity.ERROR

    def as_json(self) -> dict[str, Any]:
        """A plain form for ``--format json``."""
        place = self.place
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "label": self.label,
            "cure": self.cure,
            "subject": self.subject,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
            "length": place.length if place else None,
        }


def has_errors(diagnostics: Sequence[Diagnostic]) -> bool:
    """Whether any of them stops the work."""
    return any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)


def in_order(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Sorted by file, line and column; those without a place come last."""
    return sorted(diagnostics, key=_sort_key)


def _sort_key(diagnostic: Diagnostic) -> tuple[bool, str, int, int, str]:
    place = diagnostic.place
    if place is None:
        return (True, "", 0, 0, diagnostic.code)
    return (False, place.file, place.line, place.column, diagnostic.code)


def render(diagnostic: Diagnostic, sources: Mapping[str, Sequence[str]]) -> str:
    """The text form, with the offending line where ``sources`` (file -> lines) has it.

    ::

        error[ORC201]: unknown agent "biling"
          --> support.yaml:14:18   in agent.refunds
        14 |     escalate_to: biling
           |                  ^^^^^^ no agent has this name; did you mean "billing"?
    """
    lines = [f"{diagnostic.severity.value}[{diagnostic.code}]: {diagnostic.message}"]
    inside = f"   in {diagnostic.subject}" if diagnostic.subject else ""
    if diagnostic.place is not None:
        lines.append(f"  --> {diagnostic.place}{inside}")
    elif inside:
        lines.append(f"  -->{inside}")
    excerpt = _excerpt(diagnostic, sources)
    lines.extend(excerpt)
    remark = _remark(diagnostic)
    if not excerpt and remark:
        lines.append(f"   = {remark}")
    return "\n".join(lines)


def _remark(diagnostic: Diagnostic) -> str:
    return "; ".join(part for part in (diagnostic.label, diagnostic.cure) if part)


def _columns(text: str) -> int:
    """How many columns of a terminal it takes (Unicode Standard Annex 11)."""
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def _excerpt(diagnostic: Diagnostic, sources: Mapping[str, Sequence[str]]) -> list[str]:
    place = diagnostic.place
    if place is None:
        return []
    source = sources.get(place.file, ())
    if not 1 <= place.line <= len(source):
        return []
    text = source[place.line - 1].replace("\t", " ")
    column = place.column - 1
    start = max(0, column - 60) if len(text) > 120 else 0
    shown = text[start : start + 120].rstrip()
    width = max(1, min(place.length, max(1, len(shown) - (column - start))))
    margin = len(str(place.line))
    before, meant = shown[: column - start], shown[column - start : column - start + width]
    pointer = " " * (_columns(before) + column - start - len(before)) + "^" * max(1, _columns(meant))
    return [f"{place.line} | {shown}", f"{' ' * margin} | {pointer} {_remark(diagnostic)}".rstrip()]
