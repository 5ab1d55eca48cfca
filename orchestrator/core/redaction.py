"""Take known secrets out of plain values, before they are written anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Redact = Callable[[str], str]

_SHORTEST_NUMBER: Final = 100_000
"""A smaller number is no secret: a text of fewer than six characters is not hidden either."""


def without_secrets(value: Any, redact: Redact) -> Any:
    """Every text in a plain value redacted, keys too, before JSON escapes it into something that no longer looks like the
    secret. A number whose digits hold one becomes the redacted text; so does what is no plain value."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value, redact)
    if isinstance(value, Mapping):
        return {_key(key, redact): without_secrets(each, redact) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(each, redact) for each in value]
    return redact(str(value))


def _key(key: Any, redact: Redact) -> Any:
    """Keys of other kinds are for JSON to write or to refuse."""
    return redact(key) if isinstance(key, str) else _number(key, redact) if isinstance(key, (int, float)) else key


def _number(value: float, redact: Redact) -> float | str:
    """A measure, which is no whole number, is left as it is."""
    if -_SHORTEST_NUMBER < value < _SHORTEST_NUMBER or value % 1 != 0:
        return value
    digits = str(value)
    redacted = redact(digits)
    return value if redacted == digits else redacted
