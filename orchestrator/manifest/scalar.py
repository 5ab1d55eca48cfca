"""Plain scalars by the core schema of YAML 1.2: only ``true`` and ``false`` are booleans, ``012`` and ``1:30`` are no numbers
of another base, and dates are text."""

from __future__ import annotations

import math
import re
from typing import Final

LONGEST_NUMBER: Final = 18
"""Digits of a whole number; more would not survive a JSON reader elsewhere, and very many stall Python."""

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, Scalar]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAYBE_NUMBER: Final = frozenset("+-.0123456789")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+", re.ASCII)
_BASED: Final = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)


class NumberRefused(ValueError):
    """A number that is too long or not finite; the message says which."""


def resolve_scalar(text: str) -> Scalar:
    """What a plain scalar means. Raises ``NumberRefused``."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _MAYBE_NUMBER else text


def _number(text: str) -> Scalar:
    if _INTEGER.fullmatch(text):
        if len(text) > LONGEST_NUMBER + 1 or len(text.lstrip("+-")) > LONGEST_NUMBER:
            raise NumberRefused(f"a whole number may have {LONGEST_NUMBER} digits")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text) if len(text) <= 64 else math.inf
        if not math.isfinite(value):
            raise NumberRefused("the number is too large or too long")
        return value
    if _BASED.fullmatch(text):
        if len(text) > LONGEST_NUMBER:
            raise NumberRefused(f"a whole number may have {LONGEST_NUMBER} digits")
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise NumberRefused("infinity and not-a-number are no values here")
    return text
