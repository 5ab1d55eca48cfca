"""The JSON Schema of the manifest (draft 2020-12), made from the models, for editors and for checks in CI."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from orchestrator.manifest.anatomy import specs_below, title_of
from orchestrator.manifest.schema_variables import VARIABLE, variable_definition, with_variables
from orchestrator.manifest.spec.fields import Spec
from orchestrator.manifest.spec.manifest import Manifest

SCHEMA_ID: Final = "urn:orchestrator:schema:deployment:v1"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_MAPS_OF_SCHEMAS: Final = frozenset(("properties", "patternProperties", "$defs"))
"""Their keys are names of the user's or of the format, and no keywords."""
_PLAIN: Final = frozenset(("examples", "default", "enum", "const"))
_EXTENSION: Final = {"^x-": {"description": "Free: the orchestrator does not read it."}}


def deployment_schema() -> dict[str, Any]:
    """The schema, with a description for every key."""
    made = Manifest.model_json_schema(mode="validation")
    definitions = made.pop("$defs")
    specs = {spec.__name__: spec for spec in specs_below(Manifest)}
    shaped = {name: _part(schema, specs.get(name)) for name, schema in sorted(definitions.items())}
    root = _part(made, Manifest)
    root["title"] = "Deployment manifest"
    return {"$schema": _DIALECT, "$id": SCHEMA_ID, **root, "$defs": {**shaped, VARIABLE: variable_definition()}}


def schema_text(schema: dict[str, Any]) -> str:
    """The content of a schema's file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _part(schema: dict[str, Any], spec: type[Spec] | None) -> dict[str, Any]:
    return with_variables(_shaped(_described(schema, spec)))


def _described(schema: dict[str, Any], spec: type[Spec] | None) -> dict[str, Any]:
    """The schema of one model with the docstrings below its keys as descriptions."""
    if spec is None:
        return schema
    texts = key_texts(spec)
    for name, key in schema.get("properties", {}).items():
        key.pop("title", None)
        key["description"] = texts[name]
    schema["description"] = " ".join(inspect.cleandoc(spec.__doc__ or "").split())
    schema["title"] = title_of(spec).removeprefix("an ").removeprefix("a ").capitalize()
    if schema.get("additionalProperties") is False:
        schema["patternProperties"] = dict(_EXTENSION)
    return schema


@lru_cache(maxsize=64)
def key_texts(spec: type[Spec]) -> dict[str, str]:
    """What each key of a model means: the string that stands below it in the source, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(spec)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts: dict[str, str] = {}
    for statement, following in pairwise(body):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            texts[statement.target.id] = " ".join(str(following.value.value).split())
    return texts


def _shaped(schema: Any) -> Any:
    """Without what pydantic adds for itself: ``null`` variants, defaults that are whole parts, titles of keys."""
    if isinstance(schema, list):
        return [_shaped(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    shaped = {key: _shaped_value(key, value) for key, value in schema.items() if not _is_noise(key, value)}
    if "oneOf" in shaped:
        shaped["anyOf"] = shaped.pop(
            "oneOf"
        )  # the branches exclude each other; editors explain the faults of anyOf better
    named = shaped.get("patternProperties")
    if named and "additionalProperties" not in shaped:
        _name_keys(shaped, named)
    variants = shaped.get("anyOf")
    if isinstance(variants, list):
        kept = [variant for variant in variants if variant != {"type": "null"}]
        shaped["anyOf"] = kept
        if len(kept) == 1:
            del shaped["anyOf"]
            shaped = {**kept[0], **shaped}
    return shaped


def _shaped_value(key: str, value: Any) -> Any:
    if key in _MAPS_OF_SCHEMAS:
        return {name: _shaped(schema) for name, schema in value.items()}
    return value if key in _PLAIN else _shaped(value)


def _name_keys(shaped: dict[str, Any], named: dict[str, Any]) -> None:
    """A map whose keys have a pattern refuses the other keys: pydantic leaves that out."""
    [(pattern, values)] = named.items()
    del shaped["patternProperties"]
    shaped["additionalProperties"] = values
    shaped["propertyNames"] = {**shaped.get("propertyNames", {}), "pattern": pattern}


def _is_noise(key: str, value: Any) -> bool:
    return key == "default" and (value is None or isinstance(value, dict))
