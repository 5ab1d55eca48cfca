"""The kinds of value that stand in a manifest: names, durations, sizes, shares, secret references."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from orchestrator.core.address import NAME_PATTERN
from orchestrator.core.quantity import parse_duration, parse_share, parse_size


class Spec(BaseModel):
    """A part of the manifest: closed, frozen, and documented by its own docstrings. ``x-…`` keys are free (the reader takes them out)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )


Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=63)]
"""A name: letters, digits, ``.``, ``_``, ``-``."""

ModelAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$", max_length=128)]
"""A model's alias, such as ``phi-4-mini`` or ``qwen2.5:0.5b``."""

_DURATION_PATTERN = r"^\s*([0-9]{1,15}(\.[0-9]{1,9})?\s*(ms|s|sec|m|min|h|d|MS|S|SEC|M|MIN|H|D)\s*)+$"
_SIZE_PATTERN = r"^\s*[0-9]{1,15}(\.[0-9]{1,9})?\s*([kKmMgGtT][iI]?)?[bB]?\s*$"
_SHARE_PATTERN = r"^\s*(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?)\s*%\s*$"

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": _DURATION_PATTERN}, {"type": "number", "minimum": 0}],
            "examples": ["30s", "250ms", "2m", "1h30m"],
        }
    ),
]
"""Seconds, written ``30s``, ``250ms``, ``2m``, ``1h30m``, or a number of seconds."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": _SIZE_PATTERN}, {"type": "integer", "minimum": 0}],
            "examples": ["8GB", "512MB", "8GiB", "8Gi"],
        }
    ),
]
"""Bytes, written ``8GB`` (10^9), ``8GiB`` (2^30), or a whole number."""

Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": _SHARE_PATTERN}, {"type": "number", "minimum": 0, "maximum": 1}],
            "examples": ["80%", 0.8],
        }
    ),
]
"""A share, written ``80%`` or ``0.8``."""

SecretReference = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.{1,1024}|keyring:.{1,256})$")]
"""Where a secret is: ``env:NAME``, ``file:PATH`` or ``keyring:NAME``; never the secret itself."""
