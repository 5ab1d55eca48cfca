"""Makes a JSON value that fits a JSON Schema, by chance and from a seed. Pure.

It knows what schemas of tools and routes use: type, enum, const, properties, required, items, bounds, anyOf, $ref to
definitions inside the same schema. It is no validator: what it does not know, it leaves out of account.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

_WORDS: Final = ("river", "lamp", "stone", "green", "seven", "paper", "north", "cloud", "bread", "clock")
_DEPTH: Final = 12
_Maker = Callable[[Mapping[str, Any], random.Random], Any]


def fitting(schema: Mapping[str, Any], chance: random.Random) -> Any:
    """A value that fits ``schema``."""
    return _fit(schema, chance, schema, 0)


def _fit(schema: Any, chance: random.Random, root: Mapping[str, Any], depth: int) -> Any:
    schema = _chosen(schema, chance, root, depth)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return chance.choice(list(schema["enum"]))
    return _by_type(schema, chance, root, depth)


def _chosen(schema: Any, chance: random.Random, root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """The schema that stands behind references and choices."""
    for _ in range(_DEPTH):
        if not isinstance(schema, Mapping):
            return {"type": "null"}
        options = [option for name in ("anyOf", "oneOf") for option in schema.get(name) or ()]
        if "$ref" in schema:
            schema = _resolved(str(schema["$ref"]), root)
        elif options:
            schema = options[-1] if depth >= _DEPTH else chance.choice(options)
        elif schema.get("allOf"):
            schema = {name: value for part in schema["allOf"] for name, value in part.items()}
        else:
            return schema
    return {"type": "null"}


def _resolved(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found


def _by_type(schema: Mapping[str, Any], chance: random.Random, root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = chance.choice(kind)
    if kind == "object":
        return _object(schema, chance, root, depth)
    if kind == "array":
        return _array(schema, chance, root, depth)
    simple: _Maker = _SIMPLE.get(str(kind), _string)
    return simple(schema, chance)


def _object(schema: Mapping[str, Any], chance: random.Random, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    wanted = [name for name in properties if name in required or (depth < _DEPTH and chance.random() < 0.5)]
    return {name: _fit(properties[name], chance, root, depth + 1) for name in wanted}


def _array(schema: Mapping[str, Any], chance: random.Random, root: Mapping[str, Any], depth: int) -> list[Any]:
    least = int(schema.get("minItems", 0))
    most = int(schema.get("maxItems", max(least, 2)))
    size = least if depth >= _DEPTH else chance.randint(least, most)
    return [_fit(schema.get("items") or {}, chance, root, depth + 1) for _ in range(size)]


def _integer(schema: Mapping[str, Any], chance: random.Random) -> int:
    least = int(schema.get("minimum", int(schema.get("exclusiveMinimum", -1)) + 1))
    most = int(schema.get("maximum", int(schema.get("exclusiveMaximum", least + 101)) - 1))
    return chance.randint(least, max(least, most))


def _number(schema: Mapping[str, Any], chance: random.Random) -> float:
    least = float(schema.get("minimum", schema.get("exclusiveMinimum", 0.0)))
    most = float(schema.get("maximum", schema.get("exclusiveMaximum", least + 1.0)))
    return round(least + (most - least) * chance.uniform(0.01, 0.99), 6)


def _boolean(_schema: Mapping[str, Any], chance: random.Random) -> bool:
    return chance.random() < 0.5


def _nothing(_schema: Mapping[str, Any], _chance: random.Random) -> None:
    return None


def _string(schema: Mapping[str, Any], chance: random.Random) -> str:
    least, most = int(schema.get("minLength", 1)), int(schema.get("maxLength", 40))
    text = " ".join(chance.choice(_WORDS) for _ in range(chance.randint(1, 3)))
    while len(text) < least:
        text += " " + chance.choice(_WORDS)
    return text[:most].rstrip() if len(text[:most].rstrip()) >= least else text[:most]


_SIMPLE: Final[dict[str, _Maker]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _nothing,
    "string": _string,
}
