"""What is said of manifests, for people and for the programs that read diagnostics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from orchestrator.cli.view.diagnostics import counts, shown
from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.codes.table import CODES
from orchestrator.core.diagnostic import Diagnostic, Place, has_errors


@dataclass(frozen=True, slots=True)
class Verdict:
    """One manifest: its files, what is wrong with it, the lines to show it, and what it is where it is valid."""

    files: tuple[str, ...]
    diagnostics: Sequence[Diagnostic]
    sources: Mapping[str, Sequence[str]]
    about: str = ""

    @property
    def valid(self) -> bool:
        """Whether nothing stops it."""
        return not has_errors(self.diagnostics)


def told(verdicts: Sequence[Verdict], format_: str, terminal: Terminal) -> str:
    """All verdicts in one of the formats."""
    if format_ == "human":
        return "\n".join(_human(verdict, terminal) for verdict in verdicts)
    return _FORMATS[format_](verdicts)


def _human(verdict: Verdict, terminal: Terminal) -> str:
    told = [shown(diagnostic, verdict.sources, terminal) + "\n" for diagnostic in verdict.diagnostics]
    files = " + ".join(verdict.files)
    many = counts(verdict.diagnostics)
    if not verdict.valid:
        return "\n".join([*told, f"{files}: {terminal.paint('red', 'not valid')}, {many}"])
    tail = f" ({many})" if many else ""
    return "\n".join([*told, f"{files}: {terminal.paint('green', 'valid')}, {verdict.about}{tail}"])


def _json(verdicts: Sequence[Verdict]) -> str:
    manifests = [
        {
            "files": list(verdict.files),
            "valid": verdict.valid,
            "diagnostics": [diagnostic.as_json() for diagnostic in verdict.diagnostics],
        }
        for verdict in verdicts
    ]
    valid = all(verdict.valid for verdict in verdicts)
    return json.dumps({"valid": valid, "manifests": manifests}, indent=2, ensure_ascii=False)


def _github(verdicts: Sequence[Verdict]) -> str:
    """Workflow commands, which GitHub shows beside the lines of a change."""
    return "\n".join(_annotation(diagnostic) for verdict in verdicts for diagnostic in verdict.diagnostics)


def _annotation(diagnostic: Diagnostic) -> str:
    level = {"error": "error", "warning": "warning", "note": "notice"}[diagnostic.severity.value]
    place = diagnostic.place
    facts = {"title": f"{diagnostic.code} {_title(diagnostic.code)}".strip()}
    if place:
        facts = {
            "file": place.file,
            "line": str(place.line),
            "col": str(place.column),
            "endColumn": str(place.column + place.length),
            **facts,
        }
    named = ",".join(f"{key}={_percent(value, ',:')}" for key, value in facts.items())
    return f"::{level} {named}::{_percent(_whole(diagnostic))}"


def _percent(text: str, more: str = "") -> str:
    """The escapes of workflow commands."""
    return "".join(f"%{ord(sign):02X}" if sign in "%\r\n" + more else sign for sign in text)


def _whole(diagnostic: Diagnostic) -> str:
    return "; ".join(part for part in (diagnostic.message, diagnostic.label, diagnostic.cure) if part)


def _title(code: str) -> str:
    return CODES[code].title if code in CODES else ""


def _sarif(verdicts: Sequence[Verdict]) -> str:
    """SARIF 2.1.0 (OASIS), as code scanning services read it."""
    from orchestrator.cli.version import version

    diagnostics = [diagnostic for verdict in verdicts for diagnostic in verdict.diagnostics]
    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    driver = {"name": "orchestrator", "semanticVersion": version(), "rules": [_rule(code) for code in codes]}
    results = [_finding(diagnostic, codes.index(diagnostic.code)) for diagnostic in diagnostics]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _rule(code: str) -> dict[str, Any]:
    known = CODES.get(code)
    if known is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": known.title},
        "fullDescription": {"text": known.why},
        "help": {"text": known.cure},
    }


def _finding(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    finding: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity.value,
        "message": {"text": _whole(diagnostic)},
    }
    location: dict[str, Any] = {}
    if diagnostic.place:
        location["physicalLocation"] = _physical(diagnostic.place)
    if diagnostic.subject:
        location["logicalLocations"] = [{"fullyQualifiedName": diagnostic.subject}]
    return {**finding, "locations": [location]} if location else finding


def _physical(place: Place) -> dict[str, Any]:
    from urllib.parse import quote

    return {
        "artifactLocation": {"uri": quote(PurePath(place.file).as_posix())},
        "region": {"startLine": place.line, "startColumn": place.column, "endColumn": place.column + place.length},
    }


_FORMATS: Final[Mapping[str, Callable[[Sequence[Verdict]], str]]] = {
    "json": _json,
    "github": _github,
    "sarif": _sarif,
}
