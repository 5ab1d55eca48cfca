"""What a JSON Schema refers to: in itself, and further into the value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from orchestrator.core.schema_refs import MOST_STEPS, misreferred, unfit

TOO_LONG = "a value would be checked against more than 50 schemas, one behind the other"
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


NO_OBJECT = "leads to what is no schema: it is neither an object nor true or false"
BEHIND_UNKNOWN_KEYS: list[tuple[dict[str, Any], str]] = [
    (
        {"required": ["a"], "properties": {"b": {"$ref": "#/required/first"}}},
        "'#/required/first' is not in the schema itself, and nothing is fetched",
    ),
    (
        {"$ref": "#/x/y", "x": {"y": {"$ref": "http://away.example/z"}}},
        "'http://away.example/z' is not in the schema itself, and nothing is fetched",
    ),
    (
        {"$ref": "#/x", "x": {"properties": {"a": {"$ref": "#/nowhere"}}}},
        "'#/nowhere' is not in the schema itself, and nothing is fetched",
    ),
    ({"$ref": "#/required", "required": ["a"]}, f"'#/required' {NO_OBJECT}"),
    ({"$dynamicRef": "#/required", "required": ["a"]}, f"'#/required' {NO_OBJECT}"),
    ({"$ref": "#/title/0", "title": "abc"}, f"'#/title/0' {NO_OBJECT}"),
    ({"$ref": "#/maximum/0", "maximum": 5}, "'#/maximum/0' is not in the schema itself, and nothing is fetched"),
    ({"properties": {"a": {"$ref": "#/x"}}, "x": {"$ref": "#/properties/a"}}, ROUND),
    (
        {"$ref": "#/x", "x": {"type": 5}},
        "'#/x' leads to what is no schema: type: 5 is not valid under any of the given schemas",
    ),
    ({"$ref": "#/x", "x": {"$id": 5}}, "'#/x' leads to what is no schema: $id: 5 is not of type 'string'"),
    ({"$id": "http://[bad", "$ref": "#"}, "an $id in it is no address (Invalid IPv6 URL)"),
    (
        {"$id": "http://a.example/", "$defs": {"a": {"$id": "http://a.example/"}}},
        "the $id 'http://a.example/' stands for two schemas",
    ),
    (  # the library looks for it in c/c/d
        {"$id": "c/d", "$anchor": "n", "properties": {"a": {"$ref": "#n"}}},
        "'#n' is not in the schema itself, and nothing is fetched",
    ),
]
_OWN = {"$id": "http://y.example/z", "$ref": "#/$defs/q", "$defs": {"q": True}}
STAYS: list[dict[str, Any]] = [
    {"contains": _OWN},
    {"not": _OWN},
    {"if": _OWN},
    {"oneOf": [True, _OWN]},
    {"unevaluatedProperties": False, "allOf": [_OWN]},
]


def faults(schema: dict[str, Any], *values: Any) -> list[str]:
    """What the library says of the values."""
    validator = Draft202012Validator(schema, registry=Registry())
    return [fault.message for value in values for fault in validator.iter_errors(value)]


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


def test_long_chains_are_refused() -> None:
    """Whoever checks a value follows them by calls of calls: of thousands Python has no stack for. To see that takes none."""
    chain: dict[str, Any] = {f"n{number}": {"$ref": f"#/$defs/n{number + 1}"} for number in range(3000)}
    assert misreferred({"$ref": "#/$defs/n0", "$defs": chain | {"n3000": {"type": "integer"}}}) == TOO_LONG
    assert misreferred({"$defs": dict(reversed(chain.items())) | {"n3000": {"type": "integer"}}}) == TOO_LONG


def test_a_chain_of_some_is_followed() -> None:
    """As far as it is let through, with any answer."""
    chain: dict[str, Any] = {f"n{number}": {"$ref": f"#/$defs/n{number + 1}"} for number in range(MOST_STEPS - 2)}
    schema = {"$ref": "#/$defs/n0", "$defs": chain | {f"n{MOST_STEPS - 2}": {"type": "integer"}}}
    assert misreferred(schema) == "" and faults(schema, "x") == ["'x' is not of type 'integer'"]
    assert misreferred({"allOf": [schema]}) != ""


@pytest.mark.parametrize(("schema", "fault"), BEHIND_UNKNOWN_KEYS, ids=str)
def test_what_is_referred_to_is_looked_at_wherever_it_stands(schema: dict[str, Any], fault: str) -> None:
    """Under a key that holds no schema otherwise, too: there it has to be one, and so has all that it refers to."""
    assert misreferred(schema) == fault


def test_what_is_not_referred_to_is_not_looked_at() -> None:
    """Unknown keys are notes."""
    assert misreferred({"x-note": {"$ref": "#/nowhere", "type": 5}, "examples": [{"$ref": "#"}]}) == ""


@pytest.mark.parametrize("schema", STAYS, ids=str)
def test_an_id_that_is_not_regarded_everywhere(schema: dict[str, Any]) -> None:
    """The library resolves from outside what stands in one, under these keys: it would find nothing in any answer."""
    assert misreferred(schema) == "'#/$defs/q' is not in the schema itself, and nothing is fetched"
    with pytest.raises(Unresolvable):
        faults(schema, {"a": 1}, [1])


def test_a_dynamic_anchor_is_looked_at_from_where_it_may_be_called() -> None:
    """The standard's own schemas would go on with this one, and look for its path in themselves."""
    standard = "https://json-schema.org/draft/2020-12/schema"
    ours = {"$dynamicAnchor": "meta", "$ref": "#/$defs/q"}
    schema = {"$id": "http://a.example/", "$ref": standard, "$defs": {"q": True, "m": ours}}
    assert misreferred(schema) == "'#/$defs/q' is not in the schema itself, and nothing is fetched"
    assert misreferred({"$id": "http://a.example/", "$dynamicAnchor": "meta", "$ref": standard}) == ""


@pytest.mark.parametrize("draft", ["http://json-schema.org/draft-03/schema#", "http://[bad", "https://a.example/own"])
def test_another_draft_within_is_refused(draft: str) -> None:
    """The library would go on by its rules, or stumble over its name; what the whole says of itself is not looked at."""
    fault = f"$schema is {draft!r} in it, and answers are checked by https://json-schema.org/draft/2020-12/schema"
    assert misreferred({"properties": {"a": {"$schema": draft, "extends": 5}}}) == fault
    assert misreferred({"$schema": draft, "properties": {"a": {"$ref": "#"}, "b": True}}) == fault
    assert misreferred({"$schema": draft, "properties": {"a": {"type": "integer"}}}) == ""


@pytest.mark.parametrize("name", ["schema", "meta/core"])
def test_the_standards_own_drafts_may_be_referred_to(name: str) -> None:
    """They say which draft they are."""
    assert misreferred({"$ref": f"https://json-schema.org/draft/2020-12/{name}"}) == ""
    assert misreferred({"$ref": "http://json-schema.org/draft-07/schema#"}) == ""


# -- what passes can be followed with any answer ----------------------------------------------------------------------

POINTERS = [
    "/x",
    "/x/y",
    "/properties/a",
    "/$defs/a",
    "/$defs/b",
    "/required",
    "/required/0",
    "/allOf/0",
    "/$defs",
    "/%",
]
ADDRESSES = ["", "http://a.example/", "b", "http://[bad"]
references = st.builds(
    lambda address, part: f"{address}#{part}", st.sampled_from(ADDRESSES), st.sampled_from(["", "n", "m", *POINTERS])
)


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas around others, and what only looks like one."""
    named = st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    some = st.lists(inner, min_size=1, max_size=2)
    keys: dict[str, st.SearchStrategy[Any]] = {
        "$id": st.sampled_from(["b", "c/d", "http://a.example/", "http://c.example/b", "http://[bad"]),
        "$anchor": st.sampled_from("nm"),
        "$dynamicAnchor": st.sampled_from("nm"),
        "$ref": references,
        "$dynamicRef": references,
        "$schema": st.sampled_from(
            ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-04/schema#"]
        ),
        "type": st.sampled_from(["object", "array", "integer"]),
        "required": st.just(["a"]),
        "x": st.one_of(inner, st.fixed_dictionaries({"y": inner}), st.just({"type": 5})),
        **dict.fromkeys(["$defs", "properties", "dependentSchemas", "patternProperties"], named),
        **dict.fromkeys(["allOf", "anyOf", "oneOf", "prefixItems"], some),
        **dict.fromkeys(["not", "if", "then", "else", "items", "contains", "propertyNames"], inner),
        **dict.fromkeys(["additionalProperties", "unevaluatedProperties", "unevaluatedItems"], inner),
    }
    return st.fixed_dictionaries({}, optional=keys)


schemas = st.recursive(st.one_of(st.booleans(), st.fixed_dictionaries({"$ref": references})), around, max_leaves=8)
VALUES: list[Any] = [{}, {"a": 1}, {"a": {"a": {"b": [1]}}, "b": 2}, [], [1, {"a": []}], [[2], "x"], 5, "a", None, True]


@settings(max_examples=100)
@given(
    st.fixed_dictionaries({"$defs": st.dictionaries(st.sampled_from(["a", "b"]), schemas, max_size=2)}), around(schemas)
)
def test_what_passes_can_be_followed_with_any_answer(defs: dict[str, Any], schema: dict[str, Any]) -> None:
    """A value fits, or does not: nothing else comes of it."""
    schema = defs | schema
    assume(not unfit(schema))
    if not misreferred(schema):
        event("passes")
        assert all(map(bool, faults(schema, *VALUES)))  # each fault is told in words, and nothing is raised
