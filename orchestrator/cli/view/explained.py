"""A resolved manifest written out as YAML, with a remark on every value that was inferred and why. It can be loaded again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.core.diagnostic import Place
from orchestrator.manifest.marks import Path
from orchestrator.manifest.resolved import Resolved
from orchestrator.manifest.scalar import resolve_scalar

PARTS: Final = {
    "models": ("model", "alias"),
    "agents": ("agent", "name"),
    "tools": ("tool", "name"),
    "knowledge": ("knowledge", "name"),
    "nodes": ("node", "id"),
}
"""Lists of parts: the kind of address and the key that holds the name."""
LONGEST_FLOW: Final = 90
"""Characters of a list that is written on one line."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./ @+-]*(?<! )")
_WORDS_OF_YAML_1_1: Final = frozenset({"y", "n", "yes", "no", "on", "off"})

Remarks = Mapping[Path, str]
NO_BUILDS: Final[Mapping[str, Any]] = {}


def explained(
    resolved: Resolved, *, everything: bool = False, places: bool = False, builds: Mapping[str, Any] = NO_BUILDS
) -> str:
    """The YAML. ``everything`` shows defaults too; ``places`` says where each value was written; ``builds`` are told below."""
    tree = written_out(resolved, everything=everything)
    remarks = _remarks(resolved, tree, places=places)
    return "\n".join([*_map(tree, (), remarks), *_builds(builds)]) + "\n"


def _builds(builds: Mapping[str, Any]) -> Iterator[str]:
    """As remarks, so that the text stays a manifest."""
    if not builds:
        return
    yield f"# builds, best first for this device: models may take {builds['room'] or 'what nobody knows'}"
    for alias, told in builds["models"].items():
        yield f"#   {alias}{'' if told else ': its size is not known'}"
        yield from (f"#     {each}" for each in told)


def written_out(resolved: Resolved, *, everything: bool = False) -> dict[str, Any]:
    """The manifest as plain values; its name is there even where it comes from the file's name."""
    manifest = resolved.manifest.model_dump(mode="json", exclude_none=True, exclude_defaults=not everything)
    for agent in manifest["deployment"].get("agents", []):
        if agent.get("model") == []:
            del agent["model"]  # none was found for it, and none would be again
    metadata = {"name": resolved.loaded.name, **manifest.pop("metadata", {})}
    return {"metadata": metadata, **manifest}


def _remarks(resolved: Resolved, tree: dict[str, Any], *, places: bool) -> Remarks:
    remarks: dict[Path, str] = {}
    if places:
        remarks |= {path: f"{place.file}:{place.line}" for path, place in _places(resolved, tree)}
    parts = dict(_parts(tree))
    for inference in resolved.inferences:
        path = parts.get(inference.subject)
        if path is not None:
            at = (*path, inference.key)
            remarks[at] = f"inferred: {inference.why}" + (f" ({remarks[at]})" if at in remarks else "")
    if resolved.loaded.manifest.metadata.name is None:
        remarks["metadata", "name"] = "inferred: after the file"
    return remarks


def _parts(tree: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Address and path of every part."""
    for list_, (kind, key) in PARTS.items():
        for index, part in enumerate(tree["deployment"].get(list_, [])):
            router = kind == "agent" and part.get("role") == "router"
            yield f"{'router' if router else kind}.{part[key]}", ("deployment", list_, index)


def _places(resolved: Resolved, tree: dict[str, Any]) -> Iterator[tuple[Path, Place]]:
    """Where values of the tree were written, for those that were."""
    marks = resolved.loaded.marks
    addresses = {path: address for address, path in _parts(tree)}
    for path in _leaves(tree, ()):
        address = addresses.get(path[:3])
        origin = path if address is None else _origin(resolved, address, path[3:])
        if origin is not None and marks.holds(origin):
            yield path, marks.value(origin)


def _origin(resolved: Resolved, address: str, keys: Path) -> Path | None:
    """The path of a part's key in what was written. The name of a part may be all that was: there, or where another names it."""
    is_name = len(keys) == 1 and keys[0] in ("alias", "name", "id")
    part = resolved.origins.get(address)
    if part is None:
        return resolved.mentions.get(address) if is_name else None
    return part if is_name and not resolved.loaded.marks.holds((*part, *keys)) else (*part, *keys)


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path


def _map(value: dict[str, Any], path: Path, remarks: Remarks) -> Iterator[str]:
    for key, inner in value.items():
        yield from _entry(f"{_scalar(key)}:", inner, (*path, key), remarks)


def _entry(head: str, value: Any, path: Path, remarks: Remarks) -> Iterator[str]:
    remark = f"  # {remarks[path]}" if path in remarks else ""
    if isinstance(value, dict) and value:
        yield head + remark
        yield from (f"  {line}" if line else "" for line in _map(value, path, remarks))
    elif isinstance(value, list) and (flow := _flow(value)) is None:
        yield head + remark
        for index, item in enumerate(value):
            yield from _item(item, (*path, index), remarks)
    elif isinstance(value, str) and _is_block(value):
        keep = "" if value.endswith("\n") else "-"
        yield f"{head} |{keep}{remark}"
        yield from (f"  {line}" if line else "" for line in _text(value).removesuffix("\n").split("\n"))
    else:
        yield f"{head} {flow if isinstance(value, list) else _scalar(value)}{remark}"


def _item(item: Any, path: Path, remarks: Remarks) -> Iterator[str]:
    if isinstance(item, dict) and item:
        first, *rest = _map(item, path, remarks)
        yield f"  - {first}"
        yield from (f"    {line}" if line else "" for line in rest)
    else:
        yield f"  - {_flow(item) if isinstance(item, list) else _scalar(item)}"


def _flow(value: list[Any]) -> str | None:
    """A short list of plain values on one line; ``None`` for any other."""
    if any(isinstance(item, (dict, list)) and item for item in value):
        return None
    text = f"[{', '.join(_scalar(item, flow=True) for item in value)}]"
    return text if len(text) <= LONGEST_FLOW or len(value) < 2 else None


def _is_block(text: str) -> bool:
    """Whether a text of several lines can be written as a block that reads back the same."""
    lines = text.split("\n")
    clean = all(line == line.rstrip() for line in lines) and "\r" not in text and "\t" not in text
    return len(lines) > 1 and clean and bool(lines[0]) and not lines[0].startswith(" ") and not text.endswith("\n\n")


def _scalar(value: Any, *, flow: bool = False) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = _text(value)
    plain = _PLAIN.fullmatch(text) and _stays_text(text) and not (flow and "," in text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _stays_text(text: str) -> bool:
    """Whether the plain scalar is a text for every reader, also for those of YAML 1.1."""
    if text.casefold() in _WORDS_OF_YAML_1_1:
        return False
    try:
        return isinstance(resolve_scalar(text), str)
    except ValueError:
        return False  # a number that is refused


def _text(value: str) -> str:
    """A text in which nothing is taken for a variable."""
    return value.replace("$", "$$") if "${" in value or "$$" in value else value
