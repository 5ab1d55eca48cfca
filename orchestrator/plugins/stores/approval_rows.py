"""An approval as a row: what is written of it, and how it is read again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.approval import Approval, ApprovalKind, Call

COLUMNS: Final = ("id", "state", "expires", "asked", "held", "decided", "by", "answer", "begun", "outcome", "delivered")
"""In the order of :func:`read`."""
_ASKED: Final = ("deployment", "revision", "run", "agent", "queue", "kind", "text", "created")
_ASKED_TOO: Final = ("session", "why", "talk", "data_class", "settles")


def insert(connection: sqlite3.Connection, approval: Approval) -> None:
    asked: dict[str, Any] = {name: getattr(approval, name) for name in (*_ASKED, *_ASKED_TOO)}
    call = approval.call
    if call is not None:
        asked["call"] = {name: getattr(call, name) for name in Call.__slots__} | {"arguments": dict(call.arguments)}
    connection.execute(
        "INSERT INTO approval (id, deployment, state, expires, asked, held) VALUES (?, ?, 'pending', ?, ?, ?)",
        (approval.id, approval.deployment, approval.expires, _text(asked), _text(approval.held)),
    )


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read(row: Sequence[Any]) -> Approval:
    """From its columns."""
    id_, state, expires, asked, held, decided, by, answer, begun, outcome, delivered = row
    told = json.loads(asked)
    call = told.pop("call", None)
    kind: ApprovalKind = told.pop("kind")
    return Approval(
        id=id_,
        kind=kind,
        expires=expires,
        call=Call(**call) if call else None,
        state=state,
        decided=decided,
        by=by,
        answer=answer,
        begun=begun,
        outcome=json.loads(outcome) if outcome else None,
        delivered=delivered,
        held=json.loads(held),
        **told,
    )
