"""Take known secrets out of plain values, before they are written anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Redact = Callable[[str], str]


def without_secrets(value: Any, redact: Redact) -> Any:
    """Every text in a plain value redacted, before JSON escapes it into something that no longer looks like the secret.
    What is no plain value becomes its text."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: without_secrets(each, redact) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(each, redact) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else redact(str(value))
