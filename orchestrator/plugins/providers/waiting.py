"""How long a server asks to wait, from its headers. Pure.

``Retry-After`` is RFC 9110, 10.2.3; ``retry-after-ms`` and ``x-ratelimit-reset*`` are what OpenAI, Azure and gateways
in front of them send.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from orchestrator.core.quantity import parse_duration

_EPOCH: Final = 1_000_000_000  # a larger number of seconds is a date since 1970, not a wait
_NUMBER: Final = re.compile(r"\d{1,15}(\.\d{1,9})?")


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, or ``None`` where the server names none. ``now`` is seconds since 1970."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    seconds = _wait(headers.get("retry-after", ""), now)
    if seconds is not None:
        return seconds
    resets = [
        wait
        for name in ("x-ratelimit-reset", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
        if (wait := _wait(headers.get(name, ""), now)) is not None
    ]
    return max(resets, default=None)


def _wait(text: str, now: float) -> float | None:
    """Seconds of ``"20"``, ``"1m30s"``, a date since 1970, or an HTTP date."""
    number = _number(text)
    if number is not None:
        return max(0.0, number - now) if number >= _EPOCH else number
    try:
        return parse_duration(text)
    except ValueError:
        return _until(text, now)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _until(text: str, now: float) -> float | None:
    try:
        wait = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait) if math.isfinite(wait) else None
