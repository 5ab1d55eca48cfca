"""The check of a function's arguments: what fits, what is mended, what is said where nothing can be mended."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.schema_check import Checked, check_arguments, unsupported_keywords

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
        "quantity": {"type": "integer", "minimum": 1, "maximum": 100},
        "price": {"type": "number", "exclusiveMinimum": 0},
        "gift": {"type": "boolean"},
        "colour": {"type": "string", "enum": ["red", "Blue"]},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 3},
        "note": {"type": ["string", "null"], "maxLength": 5},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}},
            "required": ["street"],
            "additionalProperties": False,
        },
        "when": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 3}]},
    },
    "required": ["sku"],
    "additionalProperties": False,
}


def fault(**arguments: Any) -> str:
    return check_arguments({"sku": "PT-1", **arguments}, ORDER).fault


def test_arguments_that_fit_come_back_equal() -> None:
    fitting = {
        "sku": "PT-1101",
        "quantity": 3,
        "price": 1.5,
        "gift": False,
        "colour": "red",
        "tags": ["a"],
        "note": None,
        "address": {"street": "Via Roma"},
        "when": 5,
    }
    assert check_arguments(fitting, ORDER) == Checked(fitting)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("quantity", "3", 3),
        ("quantity", 3.0, 3),
        ("quantity", " +7 ", 7),
        ("price", "12.50", 12.5),
        ("gift", "True", True),
        ("colour", "RED", "red"),
        ("colour", " blue", "Blue"),
        ("tags", '["a", "b"]', ["a", "b"]),
        ("note", 12, "12"),
        ("address", '{"street": "x"}', {"street": "x"}),
        ("when", "7", 7),
    ],
)
def test_what_can_only_mean_one_thing_is_read_so(name: str, written: Any, read: Any) -> None:
    checked = check_arguments({"sku": "PT-1", name: written}, ORDER)
    assert checked.fault == ""
    assert checked.value[name] == read
    assert type(checked.value[name]) is type(read)
    assert bool(checked.changes) == (written != read)


def test_null_for_what_may_be_left_out_is_read_as_left_out() -> None:
    checked = check_arguments({"sku": "PT-1", "quantity": None, "note": None}, ORDER)
    assert checked == Checked({"sku": "PT-1", "note": None}, "", ('"quantity": null read as not given',))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantity": "three"}, '"quantity" must be a whole number, not "three"'),
        ({"quantity": 2.5}, '"quantity" must be a whole number, not 2.5'),
        ({"quantity": True}, '"quantity" must be a whole number, not true'),
        ({"quantity": 0}, '"quantity" must be at least 1, not 0'),
        ({"quantity": 101}, '"quantity" must be at most 100, not 101'),
        ({"price": 0}, '"price" must be more than 0, not 0'),
        ({"price": float("nan")}, '"price" must be a number, not NaN'),
        ({"gift": "yes please"}, '"gift" must be true or false, not "yes please"'),
        ({"colour": "green"}, '"colour" must be one of "red", "Blue", not "green"'),
        ({"tags": ["a", ""]}, '"tags[1]" must not be empty'),
        ({"tags": ["a"] * 4}, '"tags" must have at most 3 items, not 4'),
        ({"tags": "a"}, '"tags" must be a list, not "a"'),
        ({"note": "too long"}, '"note" must have at most 5 characters, not 8'),
        ({"note": []}, '"note" must be a text or null, not []'),
        ({"address": {}}, '"address.street" is missing'),
        ({"address": {"street": "x", "stret": 1}}, '"address.stret" is unknown (did you mean "street")'),
        ({"quantiti": 1}, '"quantiti" is unknown (did you mean "quantity")'),
        ({"when": []}, '"when" must be a whole number, not []'),
        ({"sku": "PT-"}, '"sku" must match ^[A-Z]{2}-[0-9]+$, and "PT-" does not'),
        ({"sku": None}, '"sku" must be a text, not null'),
    ],
)
def test_each_fault_says_what_to_write(arguments: dict[str, Any], message: str) -> None:
    assert fault(**arguments) == message


def test_all_faults_are_told_at_once() -> None:
    said = check_arguments({"quantity": 0, "gift": 7}, ORDER).fault
    assert said == '"quantity" must be at least 1, not 0; "gift" must be true or false, not 7; "sku" is missing'


def test_what_is_no_object_is_refused_and_an_object_in_a_text_is_read() -> None:
    assert check_arguments([], ORDER).fault == "the arguments must be an object, not []"
    assert check_arguments('{"sku": "PT-1"}', ORDER).value == {"sku": "PT-1"}
    assert check_arguments("[" * 100_000, ORDER).fault.startswith("the arguments must be an object")


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(fault(quantity="x" * 10_000)) < 150


def test_keywords_that_would_be_passed_over_are_named() -> None:
    assert unsupported_keywords(ORDER) == []
    bad = {
        "type": "object",
        "properties": {"a": {"$ref": "#/x"}, "b": {"type": "array", "items": {"type": "date"}}, "c": 5},
        "additionalProperties": {"not": {}},
    }
    assert unsupported_keywords(bad) == ["a.$ref", "b.items.type", "c", "additionalProperties.not"]


SCALARS = st.none() | st.booleans() | st.integers(-200, 200) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3)
)
ORDERS = st.fixed_dictionaries(
    {}, optional={name: VALUES | st.sampled_from(["PT-1", "red", "3", "true"]) for name in [*ORDER["properties"], "x"]}
)


@given(ORDERS)
def test_what_is_passed_fits_json_schema_and_what_fits_is_passed_unchanged(arguments: dict[str, Any]) -> None:
    """The full validator is the judge, in both directions."""
    before = copy.deepcopy(arguments)
    checked = check_arguments(arguments, ORDER)
    assert arguments == before
    judge = jsonschema.Draft202012Validator(ORDER)
    if not checked.fault:
        judge.validate(checked.value)
    if judge.is_valid(arguments):
        assert checked == Checked(arguments)


@given(VALUES)
def test_any_value_gets_a_message_and_never_an_exception(value: Any) -> None:
    checked = check_arguments(value, ORDER)
    assert isinstance(checked.fault, str)
    json.dumps(checked.changes)
