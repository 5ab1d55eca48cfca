"""What a JSON Schema refers to: in itself, and further into the value."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.schema_refs import misreferred

ROUND = "a $ref leads back to itself without going further into the value"
GOOD: list[dict[str, Any]] = [
    {"type": "object", "items": True, "not": False},
    {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}},
    {"$ref": "#x", "$defs": {"n": {"$anchor": "x", "type": "integer"}}},
    {"$id": "https://a.example/x", "$ref": "y", "$defs": {"n": {"$id": "y", "type": "integer"}}},
    {"$ref": "https://json-schema.org/draft/2020-12/schema"},
    {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "integer"}}},
    {"properties": {"a": {"$ref": "#"}}},
    {"$dynamicAnchor": "node", "properties": {"all": {"items": {"$dynamicRef": "#node"}}}},
    {"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [{"type": "null"}, {"items": {"$ref": "#/$defs/n"}}]}}},
    {"enum": [{"$ref": "#/nowhere"}]},
]
AWAY = ["#/$defs/n", "#n", "https://schemas.example/order.json", "order.json", "file:///etc/hosts", "http://[bad"]
IN_A_CIRCLE: list[dict[str, Any]] = [
    {"$ref": "#"},
    {"$defs": {"n": {"$ref": "#/$defs/n"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    *({"$ref": "#/$defs/n", "$defs": {"n": {key: [{"$ref": "#/$defs/n"}]}}} for key in ("allOf", "anyOf", "oneOf")),
    *({"$ref": "#/$defs/n", "$defs": {"n": {key: {"$ref": "#/$defs/n"}}}} for key in ("not", "if", "then", "else")),
    {"$ref": "#/$defs/n", "$defs": {"n": {"dependentSchemas": {"a": {"$ref": "#/$defs/n"}}}}},
]


@pytest.mark.parametrize("schema", GOOD, ids=str)
def test_what_stands_in_the_schema_may_be_referred_to(schema: dict[str, Any]) -> None:
    """By a path, an anchor or an id; the schemas of the standard are known; one may hold itself further down."""
    assert misreferred(schema) == ""


@pytest.mark.parametrize("target", AWAY)
@pytest.mark.parametrize("deep", [False, True])
def test_what_is_elsewhere_is_named(target: str, deep: bool) -> None:
    """Wherever the reference stands."""
    schema: dict[str, Any] = {"$ref": target}
    fault = misreferred({"properties": {"a": {"items": schema}}} if deep else schema)
    assert fault == f"{target!r} is not in the schema itself, and nothing is fetched"


@pytest.mark.parametrize("schema", IN_A_CIRCLE, ids=str)
def test_a_circle_is_found(schema: dict[str, Any]) -> None:
    """Whoever checks a value would follow it for ever."""
    assert misreferred(schema) == ROUND


def test_long_chains_end() -> None:
    """Thousands of references, one behind the other, are no circle, and take no stack."""
    chain: dict[str, Any] = {f"n{number}": {"$ref": f"#/$defs/n{number + 1}"} for number in range(3000)}
    assert misreferred({"$ref": "#/$defs/n0", "$defs": chain | {"n3000": {"type": "integer"}}}) == ""
