"""The kinds of value that stand in a manifest: names, durations, sizes, shares, secret references, short forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.core.address import NAME_PATTERN
from orchestrator.core.hosts import fault_of_url
from orchestrator.core.quantity import parse_duration, parse_limit, parse_share, parse_size
from orchestrator.ports.installed import PLUGIN, is_plugin


class Spec(BaseModel):
    """A part of the manifest: closed, frozen, strict about types. ``x-…`` keys are free (the parser takes them out).

    The docstring below each key is its description in the JSON Schema and the reference.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,  # one build for the whole tree on first use: half the start-up time of a build per class
    )


def shape_of(value: Any) -> str | None:
    """Which form a value has where a key takes a short and a long one: the tag of the branch to check it against."""
    if isinstance(value, (dict, BaseModel)):
        return MAP
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bool):
        return FLAG
    if isinstance(value, (int, float)):
        return NUMBER
    return LIST if isinstance(value, list) else None


MAP: Final = "(map)"
TEXT: Final = "(text)"
NUMBER: Final = "(number)"
LIST: Final = "(list)"
FLAG: Final = "(flag)"
BY_SHAPE: Final = Discriminator(shape_of)
"""Chooses the branch of a union by the value's shape, so that one fault gives one error and not one for each branch."""

PLUGIN_KIND: Final = "(plugin)"
BUILT_IN: Final = "(built-in)"


def _whose(value: Any) -> str:
    return PLUGIN_KIND if isinstance(value, str) and is_plugin(value) else BUILT_IN


BY_OWNER: Final = Discriminator(_whose)
"""Chooses between the kinds of the table and those of other packages, which have ``plugin:`` before their name."""

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=63)]
"""A name: letters, digits, ``.``, ``_``, ``-``."""

PluginKind = Annotated[str, Field(pattern=f"^{PLUGIN}{NAME_PATTERN}$", max_length=70)]
"""A kind that an installed package adds: ``plugin:NAME``."""

PluginOr = Annotated[PluginKind, Tag(PLUGIN_KIND)]
"""The open form of a kind, beside the names of the table."""

ModelAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$", max_length=128)]
"""A model's alias, such as ``phi-4-mini`` or ``qwen2.5:0.5b``."""

NameOr = Annotated[Name, Tag(TEXT)]
"""The short form of a part that may be only a name."""

AliasOr = Annotated[ModelAlias, Tag(TEXT)]
"""The short form of a model that may be only an alias."""

_UNITS: Final = "[mM][sS]|[sS]([eE][cC])?|[mM]([iI][nN])?|[hH]|[dD]"
_DURATION_PATTERN: Final = rf"^\s*([0-9]{{1,15}}(\.[0-9]{{1,9}})?\s*({_UNITS})\s*)+$"
_SIZE_PATTERN: Final = r"^\s*[0-9]{1,15}(\.[0-9]{1,9})?\s*([kKmMgGtT][iI]?)?[bB]?\s*$"
_SHARE_PATTERN: Final = r"^\s*(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?)\s*%\s*$"


def _quantity(parse: Callable[[Any], float], what: str) -> BeforeValidator:
    def read(value: Any) -> float:
        if isinstance(value, (str, int, float)):
            return parse(value)
        raise ValueError(f"{_found(value)} is no {what}")

    return BeforeValidator(read)


def _callable(text: str) -> str:
    fault = fault_of_url(text) if text.startswith(("http://", "https://")) else ""
    if fault:
        raise PydanticCustomError("address", "{fault}", {"fault": fault})
    return text


CALLABLE: Final = AfterValidator(_callable)
"""What begins as an address of the web is one that can be called."""


def _found(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a map" if isinstance(value, dict) else repr(value)


def _schema(text: dict[str, Any], number: dict[str, Any], examples: list[Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", **text}, number], "examples": examples})


Duration = Annotated[
    float,
    _quantity(parse_duration, "duration"),
    _schema({"pattern": _DURATION_PATTERN}, {"type": "number", "minimum": 0}, ["30s", "250ms", "2m", "1h30m"]),
]
"""Seconds, written ``30s``, ``250ms``, ``2m``, ``1h30m``, or a number of seconds."""

Size = Annotated[
    int,
    _quantity(parse_size, "size"),
    _schema({"pattern": _SIZE_PATTERN}, {"type": "integer", "minimum": 0}, ["8GB", "512MB", "8GiB", "8Gi"]),
]
"""Bytes, written ``8GB`` (10^9), ``8GiB`` (2^30), or a whole number."""

Limit = Annotated[
    int | float,
    _quantity(parse_limit, "limit"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"{_SIZE_PATTERN}|{_SHARE_PATTERN}"},
                {"type": "integer", "minimum": 0},
                {"type": "number", "minimum": 0, "maximum": 1},
            ],
            "examples": ["6GB", "75%"],
        }
    ),
]
"""Bytes, written like a size, or a share of what there is, written ``75%`` or ``0.75``: a ``float``."""

Share = Annotated[
    float,
    _quantity(parse_share, "share"),
    _schema({"pattern": _SHARE_PATTERN}, {"type": "number", "minimum": 0, "maximum": 1}, ["80%", 0.8]),
]
"""A share, written ``80%`` or ``0.8``."""

SecretReference = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.{1,1024}|keyring:.{1,256})$")]
"""Where a secret is: ``env:NAME``, ``file:PATH`` or ``keyring:NAME``; never the secret itself."""
