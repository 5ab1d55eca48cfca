"""The resolved manifest as YAML, with a comment behind every value that was inferred or that came from another file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.manifest.marks import Path
from orchestrator.manifest.resolved import Resolved
from orchestrator.manifest.scalar import NumberRefused, resolve_scalar

_KINDS: Final = {
    "models": ("model", "alias"),
    "agents": ("agent", "name"),
    "tools": ("tool", "name"),
    "knowledge": ("knowledge", "name"),
    "nodes": ("node", "id"),
}
_OWN_KEY: Final = 4
"""Steps to a key of a part: deployment, agents, 0, model."""
_SPECIAL: Final = frozenset("-?:,[]{}#&*!|>'\"%@` ")


def explain_manifest(resolved: Resolved) -> str:
    """The whole manifest that will run. Comments tell why a value is there, and where it was written if in several files."""
    plain = resolved.manifest.model_dump(mode="json", exclude_defaults=True)
    plain.pop("include", None)
    metadata = {"name": resolved.loaded.name, **plain.pop("metadata", {})}
    writer = _Writer(_Reasons(resolved))
    lines = list(writer.map({"apiVersion": "orchestrator/v1", "metadata": metadata, **plain}, (), 0))
    return "\n".join(lines) + "\n"


@dataclass(slots=True)
class _Reasons:
    """Why the value at a path of the resolved manifest is there."""

    resolved: Resolved
    by_key: Mapping[tuple[str, str], str]
    several: bool

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self.by_key = {(one.subject, one.key): one.why for one in resolved.inferences}
        self.several = len(resolved.loaded.roots) > 1 or len(resolved.loaded.sources) > 1

    def of(self, path: Path, addresses: tuple[str, ...]) -> str:
        """The reason, or an empty text for what simply stands in the only file."""
        for address in addresses if len(path) == _OWN_KEY else ():
            why = self.by_key.get((address, str(path[-1])))
            if why is not None:
                return why
        if path == ("metadata", "name") and not self.resolved.loaded.marks.holds(path):
            return "after the file"
        return self._origin(path, addresses) if self.several else ""

    def _origin(self, path: Path, addresses: tuple[str, ...]) -> str:
        origins = self.resolved.origins
        start = next((origins[address] for address in addresses if address in origins), None)
        if addresses and start is None:
            return ""
        full = (*start, *path[3:]) if start is not None else path
        marks = self.resolved.loaded.marks
        if not marks.holds(full):
            return ""
        place = marks.key(full)
        return f"{place.file}:{place.line}"


class _Writer:
    """Writes plain values as YAML, block style, with comments."""

    def __init__(self, reasons: _Reasons) -> None:
        self.reasons = reasons
        self.addresses: tuple[str, ...] = ()

    def map(self, value: Mapping[str, Any], path: Path, indent: int) -> Iterator[str]:
        """The lines of a map."""
        for key, inner in value.items():
            here = (*path, key)
            comment = self._comment(here)
            head = f"{' ' * indent}{_scalar(key)}:"
            if isinstance(inner, dict) and inner:
                yield head + comment
                yield from self.map(inner, here, indent + 2)
            elif isinstance(inner, list) and _is_long(inner):
                yield head + comment
                yield from self._list(inner, here, indent + 2)
            else:
                yield from _keyed(head, inner, comment, indent)

    def _list(self, items: list[Any], path: Path, indent: int) -> Iterator[str]:
        for number, item in enumerate(items):
            here = (*path, number)
            if len(path) == 2 and path[0] == "deployment" and path[1] in _KINDS:
                self.addresses = _addresses(str(path[1]), item)
            if not isinstance(item, dict) or not item:
                yield f"{' ' * indent}- {_flow(item)}"
                continue
            lines = list(self.map(item, here, indent + 2))
            yield f"{' ' * indent}- {lines[0].lstrip()}"
            yield from lines[1:]
        if len(path) == 2:
            self.addresses = ()

    def _comment(self, path: Path) -> str:
        if len(path) < 2 or (self.addresses and len(path) < 4):
            return ""
        why = self.reasons.of(path, self.addresses)
        return f"  # {why}" if why else ""


def _addresses(kind: str, item: Any) -> tuple[str, ...]:
    name, key = _KINDS[kind]
    address = f"{name}.{item[key]}"
    return (address, f"router.{item[key]}") if kind == "agents" else (address,)


def _is_long(items: list[Any]) -> bool:
    return any(isinstance(item, (dict, list)) for item in items) or len(_flow(items)) > 80


def _keyed(head: str, value: Any, comment: str, indent: int) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value.rstrip("\n") and not value.startswith((" ", "\n")):
        chomp = "" if value.endswith("\n") else "-"
        yield f"{head} |{chomp}{comment}"
        for line in value.rstrip("\n").split("\n"):
            yield f"{' ' * (indent + 2)}{line}".rstrip()
        return
    yield f"{head} {_flow(value)}{comment}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


def _scalar(text: str) -> str:
    """A text as YAML: plain where it stays a text, else in double quotes."""
    if not text or text[0] in _SPECIAL or text[-1] in " :" or ": " in text or " #" in text:
        return json.dumps(text, ensure_ascii=False)
    if any(char in text for char in ",[]{}\n\t$") or not text.isprintable() or not _is_text(text):
        return json.dumps(text, ensure_ascii=False)
    return text


def _is_text(text: str) -> bool:
    try:
        return isinstance(resolve_scalar(text), str)
    except NumberRefused:
        return False
