"""Numbers that JSON can write: what Python's reader takes beside them is refused where it is read."""

from __future__ import annotations

import math
from typing import NoReturn


def finite_number(written: str) -> float:
    """A number with a fraction or an exponent. Raises ``ValueError`` where it is too large to be one: it would be read as infinite,
    and written as a word that is no JSON."""
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"{written[:40]} is too large a number")
    return value


def no_number(word: str) -> NoReturn:
    """``NaN`` and ``Infinity``, which Python reads and JSON has not. Raises ``ValueError``."""
    raise ValueError(f"{word} is no JSON")
