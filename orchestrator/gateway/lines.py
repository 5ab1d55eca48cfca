"""Events as lines of JSON: for the control API, and for the logs of a deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.event import Event
from orchestrator.core.request import Result
from orchestrator.core.surrogates import utf8

_SAID: Final = frozenset({"text", "session"})
_QUOTING: Final = frozenset({"why", "reason", "note", "message", "fault", "unheld"})


def event_json(event: Event) -> dict[str, Any]:
    """A whole event; a ``Result`` in it becomes its plain form."""
    fields = {name: value.as_json() if isinstance(value, Result) else value for name, value in event.fields.items()}
    return {
        "kind": event.kind,
        "at": event.at,
        "deployment": event.deployment,
        "revision": event.revision,
        "run": event.run,
        "fields": fields,
    }


def event_in_short(event: Event) -> dict[str, Any]:
    """An event for a log: without what users and agents said, and with the result in a few words. Of a restricted run also without
    what may quote it: reasons, and the words of errors."""
    fields: dict[str, Any] = {}
    left_out = _SAID | (_QUOTING if event.fields.get("data_class") == "restricted" else frozenset())
    for name, value in event.fields.items():
        if isinstance(value, Result):
            fields |= _result_in_short(value)
        elif name not in left_out:
            fields[name] = value
    return {"at": event.at, "kind": event.kind, "revision": event.revision, "run": event.run, **fields}


def _result_in_short(result: Result) -> dict[str, Any]:
    return {
        "status": result.status,
        "agent": result.agent,
        **({"node": result.node} if result.node else {}),
        "served_by": result.served_by,
        "path": list(result.path),
        "total_ms": round(result.timings.get("total", 0.0), 3),
        "tokens": result.usage.total_tokens,
        "error": _error_in_short(result.error, quotes=result.data_class != "restricted") if result.error else None,
    }


def _error_in_short(error: Mapping[str, Any], *, quotes: bool) -> dict[str, Any]:
    return {name: value for name, value in error.items() if quotes or name in ("code", "kind")}


def line(value: Mapping[str, Any]) -> bytes:
    """One line of JSON; what is no JSON is written as text."""
    return utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)) + b"\n"
