"""From type hints to JSON Schema, with a function that makes the hinted value of a JSON value."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from orchestrator.ports.tool import ToolContext

Make = Callable[[Any], Any]

_SIMPLE: Final[Mapping[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_ACCEPTED: Final = "str, int, float, bool, list, dict, Literal, Enum, Optional, dataclass, Annotated[…, 'description']"


class HintFault(Exception):
    """A hint, or the lack of one, that no schema can be made of."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes: the schema of its arguments, what makes each value, and where the context goes."""

    schema: Mapping[str, Any]
    make: Mapping[str, Make]
    context: str

    def bind(self, arguments: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
        """The keyword arguments of one call."""
        bound = {name: self.make[name](value) for name, value in arguments.items()}
        if self.context:
            bound[self.context] = context
        return bound


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a function's hints. Raises :class:`HintFault` that names the parameter."""
    hints = _hints_of(function)
    told = _told_parameters(inspect.getdoc(function) or "")
    properties: dict[str, Any] = {}
    make: dict[str, Make] = {}
    required: list[str] = []
    context = ""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise HintFault(f"the parameter {name} cannot be given by name")
        hint = hints.get(name, parameter.empty)
        if hint is ToolContext:
            context = name
            continue
        schema, make[name] = _schema_of(hint, name)
        properties[name] = {**schema, "description": told[name]} if name in told else schema
        if parameter.default is parameter.empty:
            required.append(name)
    whole = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Signature(whole, make, context)


def summary_of(function: Callable[..., Any]) -> str:
    """The first line of the docstring; the name in words where there is none."""
    text = (inspect.getdoc(function) or "").strip()
    return text.partition("\n")[0] or function.__name__.replace("_", " ")


def _hints_of(owner: Any) -> dict[str, Any]:
    try:
        return get_type_hints(owner, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise HintFault(f"its type hints cannot be read: {error}") from error


def _told_parameters(text: str) -> dict[str, str]:
    """``name: what it is`` lines below ``Args:``."""
    _, found, below = text.partition("Args:\n")
    lines = re.findall(r"^\s+(\w+)\s*(?:\([^)]*\))?:\s*(\S.*)$", below.partition("\n\n")[0], re.MULTILINE)
    return dict(lines) if found else {}


def _schema_of(hint: Any, name: str) -> tuple[dict[str, Any], Make]:
    if isinstance(hint, type) and hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}, float if hint is float else _same
    if hint is Any:
        return {}, _same
    generic = _GENERIC.get(get_origin(hint) or hint)
    if generic is not None:
        return generic(get_args(hint), name)
    if isinstance(hint, type):
        return _class(hint, name)
    raise _unreadable(hint, name)


def _annotated(arguments: tuple[Any, ...], name: str) -> tuple[dict[str, Any], Make]:
    schema, make = _schema_of(arguments[0], name)
    texts = [extra for extra in arguments[1:] if isinstance(extra, str)]
    return ({**schema, "description": texts[0]} if texts else schema), make


def _literal(arguments: tuple[Any, ...], _name: str) -> tuple[dict[str, Any], Make]:
    return {"enum": list(arguments)}, _same


def _union(choices: tuple[Any, ...], name: str) -> tuple[dict[str, Any], Make]:
    """``X | None`` is the usual one; others may only join plain types, or it would be unclear what to make."""
    others = [choice for choice in choices if choice is not type(None)]
    if len(others) == 1:
        schema, make = _schema_of(others[0], name)
        optional = {**schema, "type": [schema["type"], "null"]} if isinstance(schema.get("type"), str) else None
        if optional is None or "enum" in schema:
            optional = {"anyOf": [schema, {"type": "null"}]}
        return optional, lambda value: None if value is None else make(value)
    if not all(isinstance(choice, type) and choice in _SIMPLE for choice in choices):
        raise _unreadable(Union[choices], name)  # noqa: UP007 - a union of what is only known at run time
    return {"type": [_SIMPLE[choice] for choice in choices]}, _same


def _list(arguments: tuple[Any, ...], name: str) -> tuple[dict[str, Any], Make]:
    if not arguments:
        return {"type": "array"}, _same
    schema, make = _schema_of(arguments[0], f"{name}[]")
    return {"type": "array", "items": schema}, lambda value: [make(item) for item in value]


def _dict(arguments: tuple[Any, ...], name: str) -> tuple[dict[str, Any], Make]:
    if not arguments:
        return {"type": "object"}, _same
    if arguments[0] is not str:
        raise HintFault(f"the parameter {name}: keys of a dict can only be str")
    schema, make = _schema_of(arguments[1], f"{name}{{}}")
    whole = {"type": "object", "additionalProperties": schema}
    return whole, lambda value: {key: make(item) for key, item in value.items()}


def _class(hint: type, name: str) -> tuple[dict[str, Any], Make]:
    if issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}, hint
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, name)
    raise _unreadable(hint, name)


def _dataclass(hint: type, name: str) -> tuple[dict[str, Any], Make]:
    hints = _hints_of(hint)
    fields = [field for field in dataclasses.fields(hint) if field.init]
    inner = {field.name: _schema_of(hints[field.name], f"{name}.{field.name}") for field in fields}
    required = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    schema = {
        "type": "object",
        "properties": {key: schema for key, (schema, _) in inner.items()},
        "required": required,
        "additionalProperties": False,
    }
    return schema, lambda value: hint(**{key: inner[key][1](item) for key, item in value.items()})


def _same(value: Any) -> Any:
    return value


def _unreadable(hint: Any, name: str) -> HintFault:
    if hint is inspect.Parameter.empty:
        return HintFault(f"the parameter {name} has no type hint")
    shown = getattr(hint, "__name__", None) or str(hint)
    return HintFault(f"the parameter {name}: a schema cannot be made of {shown}; accepted are {_ACCEPTED}")


_GENERIC: Final[Mapping[Any, Callable[[tuple[Any, ...], str], tuple[dict[str, Any], Make]]]] = {
    Annotated: _annotated,
    Literal: _literal,
    Union: _union,
    types.UnionType: _union,
    list: _list,
    Sequence: _list,
    dict: _dict,
    Mapping: _dict,
}
