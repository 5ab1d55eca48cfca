"""Moments and spans of time as people say them."""

from __future__ import annotations

import time

from orchestrator.core.quantity import format_duration


def clock(at: float) -> str:
    """Seconds since 1970 as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def ago(at: float, now: float | None = None) -> str:
    """How long ago: ``12 s ago``; whole seconds, minutes, hours, days."""
    return f"{span((time.time() if now is None else now) - at)} ago"


def ahead(at: float, now: float | None = None) -> str:
    """In how long: ``in 12 s``, as :func:`ago`; ``now`` where it is due."""
    left = at - (time.time() if now is None else now)
    return f"in {span(left)}" if left >= 1.0 else "now"


def span(seconds: float) -> str:
    """A span of time in its largest unit: ``12 s``, ``2 min``."""
    passed = max(0.0, seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= 2 * size:
            return f"{int(passed // size)} {unit}"
    return f"{int(passed)} s"


def milliseconds(value: float) -> str:
    """Milliseconds as a short text."""
    return format_duration(value / 1000)
