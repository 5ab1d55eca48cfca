"""Labelled requests of a file: who should answer each. A YAML or JSON list, or one JSON object a line (``.jsonl``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean

COMPLEXITIES: Final = ("simple", "moderate", "complex")
FORM: Final = "each case is {text: …, agent: NAME}, a list of names, or null for a request that nobody should get"


@dataclass(frozen=True, slots=True)
class Case:
    """A request and who may answer it: nobody where ``wanted`` is empty. ``id`` is as written, else its number."""

    id: str
    text: str
    wanted: tuple[str, ...]
    complexity: str = ""


def read_cases(path: str) -> tuple[Case, ...]:
    """The cases of a file, in order. Raises ``UsageError`` with the place of what is not one."""
    return tuple(_case(entry, place) for place, entry in entries_of(path, FORM))


def entries_of(path: str, form: str) -> list[tuple[str, Any]]:
    """The entries of a file of cases, each with its place; at least one. ``form`` says for the cure what one looks like. Raises
    ``UsageError``."""
    try:
        written = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the cases of {path} cannot be read: {reason}", cure="name a file of cases") from error
    found = list(_entries(path, written, form))
    if not found:
        raise UsageError(f"{path} holds no case", cure=form)
    return found


def _entries(path: str, written: str, form: str) -> Iterator[tuple[str, Any]]:
    if Path(path).suffix == ".jsonl":
        for number, line in enumerate(written.splitlines(), 1):
            if line.strip():
                place = f"{path}:{number}"
                yield place, _parsed(line, place, form)
        return
    import yaml

    from orchestrator.manifest.yaml_fault import explain_yaml_error
    from orchestrator.manifest.yaml_reader import load

    try:
        listed = load(written)
    except yaml.YAMLError as error:
        found = explain_yaml_error(path, written, error)
        where = f"{path}:{found.place.line}" if found.place else path
        raise UsageError(f"{where}: {found.message}", cure=found.cure or form) from error
    if isinstance(listed, Mapping) and set(listed) == {"cases"}:
        listed = listed["cases"]
    if not isinstance(listed, list):
        raise UsageError(f"{path} is no list of cases", cure=form)
    for number, entry in enumerate(listed, 1):
        yield f"{path}, case {number}", entry


def _parsed(line: str, place: str, form: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not JSON: {error}", cure=form) from error


def _case(entry: Any, place: str) -> Case:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{place}: a case is a map", cure=FORM)
    text, agent = entry.get("text"), entry.get("agent")
    wanted = agent if isinstance(agent, list) else [] if agent is None else [agent]
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{place}: `text` is missing", cure=FORM)
    if "agent" not in entry or not all(isinstance(name, str) and name for name in wanted):
        raise UsageError(f"{place}: `agent` is missing, or is no name", cure=FORM)
    complexity = entry.get("complexity", "")
    if complexity not in ("", *COMPLEXITIES):
        cure = did_you_mean(str(complexity), COMPLEXITIES) or f"write one of {', '.join(COMPLEXITIES)}"
        raise UsageError(f"{place}: complexity {complexity!r} is none", cure=cure)
    return Case(str(entry.get("id") or place), text, tuple(wanted), complexity)
