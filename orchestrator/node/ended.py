"""How an engine's run ended that another node asked for, where the same may end otherwise elsewhere, or a moment later. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.errors import NoModel, QueueFull, Stalled, Unreachable

_OF_ITS_MODEL: Final = frozenset(kind.__name__ for kind in (NoModel, Stalled, Unreachable))


def found_no_place(result: Mapping[str, Any]) -> bool:
    """Whether the engine's line was full."""
    return _kind(result) == QueueFull.__name__ and _did_nothing(result)


def lacked_its_model(result: Mapping[str, Any]) -> str:
    """Why the agent's model did not answer there; empty where it did, or where something was done that may not be done again. The
    model of another holder may be well."""
    if _kind(result) not in _OF_ITS_MODEL or not _did_nothing(result):
        return ""
    return str(result["error"].get("message", ""))


def _kind(result: Mapping[str, Any]) -> str:
    return str((result.get("error") or {}).get("kind", ""))


def _did_nothing(result: Mapping[str, Any]) -> bool:
    """No function was called, and nobody else was asked."""
    return not (result.get("usage") or {}).get("tool_calls") and len(result.get("path") or ()) < 2
