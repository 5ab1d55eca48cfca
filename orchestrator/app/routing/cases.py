"""Labelled requests of a file: who should answer each. A YAML or JSON list, or one JSON object a line (``.jsonl``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.conditions import shortened
from orchestrator.core.errors import UsageError
from orchestrator.core.names import did_you_mean

if TYPE_CHECKING:
    import yaml

COMPLEXITIES: Final = ("simple", "moderate", "complex")
FORM: Final = "each case is {text: …, agent: NAME}, a list of names, or null for a request that nobody should get"

TWICE: Final = "keep the one that is meant"


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
        written = (
            Path(path).read_bytes().decode()
        )  # as it is: what ends a line for one form is within a text for another
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the cases of {path} cannot be read: {reason}", cure="name a file of cases") from error
    found = list(_entries(path, written, form))
    if not found:
        raise UsageError(f"{path} holds no case", cure=form)
    return found


def _entries(path: str, written: str, form: str) -> Iterator[tuple[str, Any]]:
    if Path(path).suffix == ".jsonl":
        for number, line in enumerate(written.split("\n"), 1):
            if line.strip():
                place = f"{path}:{number}"
                yield place, _parsed(line, place, form)
        return
    listed = _parsed(written, path, form) if _is_json(written) else _listed(path, written, form)
    if isinstance(listed, Mapping) and set(listed) == {"cases"}:
        listed = listed["cases"]
    if not isinstance(listed, list):
        raise UsageError(f"{path} is no list of cases", cure=form)
    for number, entry in enumerate(listed, 1):
        yield f"{path}, case {number}", entry


def _is_json(written: str) -> bool:
    """YAML reads most of JSON, and other escapes and ends of lines than JSON has."""
    try:
        json.loads(written)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(line: str, place: str, form: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_each_once)
    except _TwiceWritten as error:
        raise UsageError(f"{place}: {error}", cure=TWICE) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not JSON: {error}", cure=form) from error


class _TwiceWritten(Exception):
    """A key stands twice in a map: which of the two is meant, nobody can tell."""

    def __init__(self, key: object) -> None:
        super().__init__(f'the key "{key}" stands twice')


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceWritten(key)
        found[key] = value
    return found


def _listed(path: str, written: str, form: str) -> Any:
    """What a file of YAML holds."""
    import yaml

    from orchestrator.manifest.yaml_fault import explain_yaml_error
    from orchestrator.manifest.yaml_reader import compose, load

    try:
        listed, root = load(written), compose(written)
    except yaml.YAMLError as error:
        found = explain_yaml_error(path, written, error)
        where = f"{path}:{found.place.line}" if found.place else path
        raise UsageError(f"{where}: {found.message}", cure=found.cure or form) from error
    waiting: list[yaml.Node] = [root] if root is not None else []
    for node in waiting:
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, path)
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
    return listed


def _check_keys(node: yaml.MappingNode, path: str) -> None:
    seen: set[object] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise UsageError(f"{path}:{key.start_mark.line + 1}: {_TwiceWritten(key.value)}", cure=TWICE)
        seen.add(key.value)


def check_text(entry: Mapping[str, Any], place: str, form: str) -> str:
    """The text of a case. Raises ``UsageError`` that says what stands there instead."""
    text = entry.get("text")
    if isinstance(text, str) and text.strip():
        return text
    if text is None:
        told = "is missing"
    else:
        told = "is empty" if isinstance(text, str) else f"is {_told(text)}, which is no text: write it in quotes"
    raise UsageError(f"{place}: `text` {told}", cure=form)


def _told(value: Any) -> str:
    """What stands there, on one line."""
    return shortened(json.dumps(value, ensure_ascii=False, default=str))


def _case(entry: Any, place: str) -> Case:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{place}: a case is a map", cure=FORM)
    text, agent = check_text(entry, place, FORM), entry.get("agent")
    wanted = agent if isinstance(agent, list) else [] if agent is None else [agent]
    if "agent" not in entry:
        raise UsageError(f"{place}: `agent` is missing", cure=FORM)
    for name in wanted:
        if not isinstance(name, str) or not name:
            raise UsageError(f"{place}: `agent` is {_told(name)}, which is no name", cure=FORM)
    complexity = entry.get("complexity", "")
    if complexity not in ("", *COMPLEXITIES):
        cure = did_you_mean(str(complexity), COMPLEXITIES) or f"write one of {', '.join(COMPLEXITIES)}"
        raise UsageError(f"{place}: complexity {complexity!r} is none", cure=cure)
    return Case(str(entry.get("id") or place), text, tuple(wanted), complexity)
