"""Moments and spans of time as people say them."""

from __future__ import annotations

import time

from orchestrator.core.quantity import format_duration


def clock(at: float) -> str:
    """Seconds since 1970 as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def ago(at: float, now: float | None = None) -> str:
    """How long ago: ``12 s ago``; whole seconds, minutes, hours, days."""
    passed = max(0.0, (time.time() if now is None else now) - at)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= 2 * size:
            return f"{int(passed // size)} {unit} ago"
    return f"{int(passed)} s ago"


def milliseconds(value: float) -> str:
    """Milliseconds as a short text."""
    return format_duration(value / 1000)
