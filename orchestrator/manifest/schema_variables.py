"""Variables in the JSON Schema: a text that holds ``${NAME}`` may stand where any plain value may.

What the variable puts in is not known to a schema, so such a text is not looked at further. The choice is said in the one form
in which editors still complete the other values, explain the key and tell faults as if there were no variables: as the last
branch of a flat ``anyOf``, whose definition has a title and no description (``tests/editor`` sees to it).
"""

from __future__ import annotations

from typing import Any, Final

VARIABLE: Final = "Variable"
"""The name of the shared definition."""

_ONE: Final = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"
_OTHER: Final = r"[^$]|\$\$|\$(?![${])"
_ANY: Final = f"({_OTHER}|{_ONE})*"
_REFERENCE: Final = {"$ref": f"#/$defs/{VARIABLE}"}
_PLAIN_TYPES: Final = frozenset(("string", "integer", "number", "boolean"))
_NOTES: Final = frozenset(("description", "default", "examples", "title"))
"""What explains a value and does not check it stays where editors look for it."""
_FREE_TEXT: Final = {"type": "string"}
"""Takes every text, those with variables among them."""


def variable_definition() -> dict[str, Any]:
    """The shared definition: a text with at least one well-formed variable and no malformed one."""
    return {
        "title": "Variable",
        "$comment": "${NAME} or ${NAME:-default}: put in from the environment when the manifest is loaded.",
        "type": "string",
        "pattern": f"^({_OTHER})*{_ONE}{_ANY}$",  # one way to read each text: else a malformed one takes for ever
    }


def with_variables(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy in which every plain value that is held to something may also be a text with a variable."""
    if "anyOf" in schema:
        return {**schema, "anyOf": _branches(schema["anyOf"])}
    if _is_held(schema):
        notes = {key: value for key, value in schema.items() if key in _NOTES}
        return {**notes, "anyOf": _branches([{key: schema[key] for key in schema if key not in _NOTES}])}
    return {key: _inside(key, value) for key, value in schema.items()}


def _branches(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    inner = [one if _is_held(one) else with_variables(one) for one in choices]
    return [*inner, dict(_REFERENCE)] if any(map(_is_held, choices)) else inner


def _is_held(schema: dict[str, Any]) -> bool:
    """Whether it is about plain values, and not about all texts."""
    plain = schema.get("type") in _PLAIN_TYPES or "enum" in schema or "const" in schema
    return plain and {key: value for key, value in schema.items() if key not in _NOTES} != _FREE_TEXT


def _inside(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties"):
        return {name: with_variables(one) for name, one in value.items()}
    return with_variables(value) if key in ("items", "additionalProperties") and isinstance(value, dict) else value
