"""The JSON Schema of a part of a manifest: a file that is included or laid over others holds what it has to say, and no more.

Nothing is needed but the names by which parts are merged; in lists that are replaced whole, items are whole. ``key: null``
takes a key away.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Final, Union, get_args, get_origin

from orchestrator.manifest.anatomy import specs_in
from orchestrator.manifest.overlay import NAMED_LISTS
from orchestrator.manifest.schema import deployment_schema
from orchestrator.manifest.spec.fields import Spec
from orchestrator.manifest.spec.manifest import Manifest

PART_ID: Final = "urn:orchestrator:schema:part:v1"
_NULL: Final = {"type": "null"}


def part_schema() -> dict[str, Any]:
    """The schema; made from that of whole manifests."""
    whole = deployment_schema()
    merged = {spec.__name__: name for spec, name in _merged()}
    parts = {name: _loosened(part, merged[name]) if name in merged else part for name, part in whole["$defs"].items()}
    about = "A part of a deployment manifest: a file that is included, or laid over others."
    root = _loosened(whole, merged[Manifest.__name__])
    return {**root, "$id": PART_ID, "title": "Part of a deployment manifest", "description": about, "$defs": parts}


def _merged() -> Iterator[tuple[type[Spec], str]]:
    """Every model whose values are merged key by key, with the key that its items are told apart by, if any."""
    waiting: list[tuple[type[Spec], str]] = [(Manifest, "")]
    for spec, name in waiting:
        yield spec, name
        for key, field in spec.model_fields.items():
            item = NAMED_LISTS.get(key, "")
            if item or not _is_list(field.annotation):
                waiting += [
                    (one, item) for one in specs_in(field.annotation) if one not in [seen for seen, _ in waiting]
                ]


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(_is_list(inner) for inner in get_args(annotation))
    return origin is list


def _loosened(part: dict[str, Any], name: str) -> dict[str, Any]:
    keys = {key: value if key == name else _or_null(value) for key, value in part["properties"].items()}
    loose = {key: value for key, value in part.items() if key != "required"}
    return {**loose, "properties": keys, **({"required": [name]} if name else {})}


def _or_null(value: dict[str, Any]) -> dict[str, Any]:
    notes = {key: inner for key, inner in value.items() if key in ("description", "default", "examples")}
    checks = {key: inner for key, inner in value.items() if key not in notes}
    return {**notes, "anyOf": [*(checks["anyOf"] if set(checks) == {"anyOf"} else [checks]), dict(_NULL)]}
