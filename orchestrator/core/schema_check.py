"""Checks the arguments of a function against the part of JSON Schema that tools use, and says how to mend them.

Small models write ``"3"`` for 3 and ``null`` for "not given"; what can only mean one thing is read so, and told in
``changes``. A full validator would refuse these, needs a library, and takes 100 times as long.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.finite import finite_number, no_number
from orchestrator.core.names import did_you_mean

Schema = Mapping[str, Any]

# fmt: off
_CHECKED: Final = frozenset({
    "type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items", "minItems", "maxItems",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern",
})
_NOTES: Final = frozenset({
    "title", "description", "default", "examples", "format", "deprecated", "readOnly", "writeOnly",
})
# fmt: on
_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(\d{1,18}(\.\d{1,18})?|\.\d{1,18})([eE][+-]?\d{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checked:
    """``value`` as it was understood; ``fault`` says in words for a model what does not fit (empty: all fits);
    ``changes`` say what was read differently from how it was written."""

    value: Any
    fault: str = ""
    changes: tuple[str, ...] = ()


def check_arguments(arguments: Any, schema: Schema) -> Checked:
    """Check ``arguments`` (usually an object) against ``schema``; neither is changed."""
    check = _Check()
    value = check.value(arguments, schema, "")
    return Checked(value, "; ".join(check.faults), tuple(check.changes))


def unsupported_keywords(schema: Any, path: str = "") -> list[str]:
    """The places in a schema that :func:`check_arguments` would pass over or cannot read, such as ``order.$ref``."""
    if not isinstance(schema, Mapping):
        return [path or "the schema"]
    known = _CHECKED | _NOTES
    found = [_join(path, key) for key in schema if key not in known]
    types = schema.get("type", ())
    if not _TYPES.issuperset([types] if isinstance(types, str) else types):
        found.append(_join(path, "type"))
    for name, inner in _inner_schemas(schema):
        found += unsupported_keywords(inner, _join(path, name))
    return found


def _inner_schemas(schema: Schema) -> list[tuple[str, Any]]:
    inner = list(schema.get("properties", {}).items())
    inner += [("anyOf", choice) for choice in schema.get("anyOf", ())]
    if "items" in schema:
        inner.append(("items", schema["items"]))
    if not isinstance(schema.get("additionalProperties", True), bool):
        inner.append(("additionalProperties", schema["additionalProperties"]))
    return inner


class _Check:
    """One walk over a value; collects every fault, so that a model can mend all at once."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.changes: list[str] = []

    def value(self, value: Any, schema: Schema, path: str) -> Any:
        if "anyOf" in schema:
            value = self._any_of(value, schema["anyOf"], path)
        if "type" in schema:
            value = self._typed(value, schema["type"], path)
            if value is _UNFIT:
                return None
        if "enum" in schema or "const" in schema:
            value = self._chosen(value, schema.get("enum") or [schema["const"]], path)
        elif isinstance(value, str):
            self._text(value, schema, path)
        elif isinstance(value, (int, float)):
            self._number(value, schema, path)
        elif isinstance(value, Mapping):
            return self._object(value, schema, path)
        elif isinstance(value, list):
            return self._array(value, schema, path)
        return value

    def _typed(self, value: Any, wanted: str | Sequence[str], path: str) -> Any:
        types = (wanted,) if isinstance(wanted, str) else wanted
        if not any(_IS[name](value) for name in types):
            return self._coerced(value, types, path)
        if type(value) is float and "integer" in types and "number" not in types:
            return int(value)  # 3.0 is a whole number in JSON
        return value

    def _any_of(self, value: Any, choices: Sequence[Schema], path: str) -> Any:
        first: list[str] = []
        for choice in choices:
            attempt = _Check()
            read = attempt.value(value, choice, path)
            if not attempt.faults:
                self.changes += attempt.changes
                return read
            first = first or attempt.faults
        self.faults.append(" or ".join(dict.fromkeys(first)))
        return value

    def _coerced(self, value: Any, types: Sequence[str], path: str) -> Any:
        for name in types:
            read = _COERCE[name](value)
            if read is not _UNFIT:
                self.changes.append(f"{_name(path)}: {_shown(value)} read as {_shown(read)}")
                return read
        self.faults.append(f"{_name(path)} must be {' or '.join(_WORDS[name] for name in types)}, not {_shown(value)}")
        return _UNFIT

    def _chosen(self, value: Any, choices: Sequence[Any], path: str) -> Any:
        for choice in choices:
            if value == choice and isinstance(value, bool) == isinstance(choice, bool):
                return value
        folded = str(value).strip().casefold()
        same = [choice for choice in choices if isinstance(value, str) and str(choice).casefold() == folded]
        if len(same) == 1:
            self.changes.append(f"{_name(path)}: {_shown(value)} read as {_shown(same[0])}")
            return same[0]
        listed = ", ".join(_shown(choice) for choice in choices)
        self.faults.append(f"{_name(path)} must be one of {listed}, not {_shown(value)}")
        return value

    def _text(self, value: str, schema: Schema, path: str) -> None:
        if len(value) < schema.get("minLength", 0):
            least = schema["minLength"]
            must = "not be empty" if least == 1 else f"have at least {least} characters"
            self.faults.append(f"{_name(path)} must {must}")
        if len(value) > schema.get("maxLength", math.inf):
            self.faults.append(f"{_name(path)} must have at most {schema['maxLength']} characters, not {len(value)}")
        if "pattern" in schema and re.search(schema["pattern"], value) is None:
            self.faults.append(f"{_name(path)} must match {schema['pattern']}, and {_shown(value)} does not")

    def _number(self, value: float, schema: Schema, path: str) -> None:
        if not schema.keys() & _BOUNDS.keys():
            return
        for keyword, (holds, words) in _BOUNDS.items():
            if keyword in schema and not holds(value, schema[keyword]):
                self.faults.append(f"{_name(path)} must be {words} {schema[keyword]}, not {_shown(value)}")

    def _object(self, value: Mapping[str, Any], schema: Schema, path: str) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        others = schema.get("additionalProperties", True)
        read: dict[str, Any] = {}
        for key, item in value.items():
            inner = properties.get(key, others if isinstance(others, Mapping) else None)
            if inner is not None:
                if item is not None or key in required or _takes_null(inner):
                    read[key] = self.value(item, inner, _join(path, key))
                else:
                    self.changes.append(f"{_name(_join(path, key))}: null read as not given")
            elif others is False:
                self._unknown(key, properties, path)
            else:
                read[key] = item
        missing = [_name(_join(path, key)) for key in required if key not in value]
        if missing:
            self.faults.append(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        return read

    def _unknown(self, key: str, properties: Schema, path: str) -> None:
        guess = did_you_mean(key, properties)
        hint = guess or (f"known: {', '.join(properties)}" if properties else "none is taken")
        self.faults.append(f"{_name(_join(path, key))} is unknown ({hint.rstrip('?')})")

    def _array(self, value: list[Any], schema: Schema, path: str) -> list[Any]:
        if len(value) < schema.get("minItems", 0):
            self.faults.append(f"{_name(path)} must have at least {schema['minItems']} items, not {len(value)}")
        if len(value) > schema.get("maxItems", math.inf):
            self.faults.append(f"{_name(path)} must have at most {schema['maxItems']} items, not {len(value)}")
            return value
        items = schema.get("items")
        if items is None:
            return value
        return [self.value(item, items, f"{path}[{index}]") for index, item in enumerate(value)]


class _Unfit:
    """Stands for "cannot be read so", where ``None`` is a value."""


_UNFIT: Final = _Unfit()


def _takes_null(schema: Schema) -> bool:
    wanted = schema.get("type")
    if wanted is not None and wanted != "null" and "null" not in wanted:
        return False
    return "anyOf" not in schema or any(_takes_null(choice) for choice in schema["anyOf"])


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _name(path: str) -> str:
    return f'"{path}"' if path else "the arguments"


def _shown(value: Any) -> str:
    """As JSON, cut where it is long: the message goes back into a small model's context."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_integer(value: Any) -> bool:
    if type(value) is float:
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
}
_WORDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_BOUNDS: Final[Mapping[str, tuple[Callable[[float, float], bool], str]]] = {
    "minimum": (lambda value, bound: value >= bound, "at least"),
    "maximum": (lambda value, bound: value <= bound, "at most"),
    "exclusiveMinimum": (lambda value, bound: value > bound, "more than"),
    "exclusiveMaximum": (lambda value, bound: value < bound, "less than"),
}


def _to_text(value: Any) -> Any:
    return str(value) if _is_number(value) else _UNFIT


def _to_whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) else _UNFIT


def _to_number(value: Any) -> Any:
    if not isinstance(value, str) or _DECIMAL.fullmatch(value.strip()) is None:
        return _UNFIT
    return int(value) if _WHOLE.fullmatch(value.strip()) else float(value)


def _to_truth(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.strip().lower(), _UNFIT) if isinstance(value, str) else _UNFIT


def _from_json(value: Any, kind: type) -> Any:
    if not isinstance(value, str):
        return _UNFIT
    try:
        read = json.loads(value, parse_float=finite_number, parse_constant=no_number)
    except (ValueError, RecursionError):
        return _UNFIT
    return read if isinstance(read, kind) else _UNFIT


_COERCE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": _to_text,
    "integer": _to_whole,
    "number": _to_number,
    "boolean": _to_truth,
    "array": lambda value: _from_json(value, list),
    "object": lambda value: _from_json(value, dict),
    "null": lambda value: None if isinstance(value, str) and value.strip().lower() in ("null", "none") else _UNFIT,
}
