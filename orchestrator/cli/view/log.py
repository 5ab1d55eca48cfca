"""A logged event as a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

_HEAD: Final = ("at", "node", "kind", "revision", "run")


def log_line(entry: Mapping[str, Any]) -> str:
    """Time, of a fleet the node, kind, revision, run, then what the event says, as ``key=value``."""
    at = entry["at"]
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"
    said = " ".join(
        f"{key}={_value(value)}" for key, value in entry.items() if key not in _HEAD and value not in (None, "")
    )
    revision = f"r{entry['revision']}" if entry["revision"] else ""
    parts = [clock, entry.get("node", ""), f"{entry['kind']:<18}", revision, entry["run"], said]
    return " ".join(part for part in parts if part).rstrip()


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_value, value))
    if isinstance(value, Mapping):
        return _value(str(value.get("message") or dict(value)))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f'"{text}"' if " " in text else text
