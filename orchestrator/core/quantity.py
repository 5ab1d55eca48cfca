"""Durations, sizes and shares as people write them: ``30s``, ``8GB``, ``80%``."""

from __future__ import annotations

import math
import re
from typing import Final

_NUMBER: Final = r"(\d{1,15}(?:\.\d{1,9})?)"
_DURATION_PART: Final = re.compile(_NUMBER + r"\s*(ms|s|sec|m|min|h|d)", re.ASCII)
_SIZE: Final = re.compile(_NUMBER + r"\s*([kmgt]?)(i?)b?", re.ASCII | re.IGNORECASE)
_SHARE: Final = re.compile(_NUMBER + r"\s*%", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MOST: Final = 1e300
"""Beyond it a whole number may be no float."""
_DURATIONS: Final = "30s, 250ms, 2m or 1h30m"
_SIZES: Final = "8GB, 512MB, 8GiB or 8Gi"


def parse_duration(text: object) -> float:
    """Seconds of ``"1h30m"``, ``"250ms"`` or a plain number of seconds; raises ``ValueError`` with what is accepted."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(_positive(text, "duration", _DURATIONS))
    compact = text.strip().lower() if isinstance(text, str) else ""
    parts = _DURATION_PART.findall(compact)
    if not parts or _DURATION_PART.sub("", compact).strip():
        raise ValueError(_not_a("duration", text, _DURATIONS))
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(text: object) -> int:
    """Bytes of ``"8GB"`` (10^9), ``"8GiB"`` or ``"8Gi"`` (2^30), ``"8 gb"``, or a plain whole number of bytes; raises
    ``ValueError`` with what is accepted."""
    if isinstance(text, int) and not isinstance(text, bool):
        return int(_positive(text, "size", _SIZES))
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or (match[3] and not match[2]):
        raise ValueError(_not_a("size", text, _SIZES))
    unit = 1024 if match[3] else 1000
    factor: int = unit ** _POWERS[match[2].lower()]
    return round(float(match[1]) * factor)


def parse_share(text: object) -> float:
    """A share in 0..1 of ``"80%"`` or ``0.8``; raises ``ValueError`` with what is accepted."""
    match = _SHARE.fullmatch(text.strip()) if isinstance(text, str) else None
    value = float(match[1]) / 100 if match else text
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise ValueError(_not_a("share", text, "80% or 0.8"))
    return float(value)


def parse_limit(text: object) -> int | float:
    """Bytes of a size, or a share (a ``float``) of ``"75%"`` or ``0.75``."""
    if isinstance(text, float) or (isinstance(text, str) and text.strip().endswith("%")):
        return float(parse_share(text))
    return parse_size(text)


def format_size(count: int) -> str:
    """Bytes as a short text in powers of ten: ``2.5 GB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_duration(seconds: float) -> str:
    """Seconds as a short text: ``0.4 ms``, ``12 ms``, ``1.5 s``, ``2m05s``, ``3h04m``."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"


def _positive(value: float, what: str, accepted: str) -> float:
    if not 0 <= value <= _MOST:
        raise ValueError(_not_a(what, value, accepted))
    return value


def _not_a(what: str, value: object, accepted: str) -> str:
    return f"{value!r} is no {what}; write it like {accepted}"
