"""What a simulated server writes: answers, chunks and errors in the shapes of the OpenAI protocol. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any, Final

from orchestrator.core.message import ToolCall
from orchestrator.testing.endpoint import Turn
from orchestrator.testing.fault import Fault, FaultKind

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
DONE: Final = b"data: [DONE]\n\n"
HTML: Final = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def encoded(value: Any) -> bytes:
    """Compact JSON."""
    return _ENCODER.encode(value).encode()


def whole(turn: Turn) -> bytes:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.text}
    if turn.calls:
        message["tool_calls"] = [_call(call) for call in turn.calls]
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": turn.finish}
    if turn.asked.top_logprobs:
        choice["logprobs"] = _logprobs(turn, turn.pieces)
    return encoded({**_head(turn, "chat.completion"), "choices": [choice], **_usage(turn)})


def first_chunk(turn: Turn) -> bytes:
    """The chunk that opens a stream."""
    return _event(turn, {"role": "assistant", "content": None})


def text_chunk(turn: Turn, piece: str) -> bytes:
    """One token."""
    return _event(turn, {"content": piece}, logprobs=_logprobs(turn, (piece,)) if turn.asked.top_logprobs else None)


def call_chunks(turn: Turn) -> Iterator[bytes]:
    """Tool calls: first the name, then the arguments in two parts."""
    for index, call in enumerate(turn.calls):
        function = {"name": call.name, "arguments": ""}
        yield _event(turn, {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        middle = len(call.arguments) // 2
        for part in (call.arguments[:middle], call.arguments[middle:]):
            yield _event(turn, {"tool_calls": [{"index": index, "function": {"arguments": part}}]})


def last_chunks(turn: Turn) -> bytes:
    """The reason why it ends, and the count of tokens where the client asked for it."""
    ending = _event(turn, {}, finish=turn.finish)
    if turn.asked.with_usage and turn.usage is not None:
        ending += b"data: " + encoded({**_head(turn, "chat.completion.chunk"), "choices": [], **_usage(turn)}) + b"\n\n"
    return ending


def error_event() -> bytes:
    """An error within a stream."""
    return b"data: " + error_body("internal error", "server_error", 500) + b"\n\n"


def error_body(message: str, label: str, code: Any) -> bytes:
    """The usual error object."""
    return encoded({"error": {"message": message, "type": label, "param": None, "code": code}})


def spoiled_body(fault: FaultKind, answer: bytes) -> tuple[int, str, bytes]:
    """Status, content type and body of a fault that shows in the body."""
    shapes: dict[str, tuple[int, str, bytes]] = {
        "string-error": (500, "application/json", encoded({"error": "internal error"})),
        "text-error": (500, "text/plain", b"Internal Server Error"),
        "html-error": (502, "text/html", HTML),
        "html": (200, "text/html", HTML),
        "not-json": (200, "application/json", b"OK"),
        "truncated-json": (200, "application/json", answer[: len(answer) // 2]),
    }
    return shapes[fault.name]


def waiting_headers(fault: Fault | None, now: float) -> dict[str, str]:
    """The header that tells how long to wait, in the form that the fault asks for. ``now``: seconds since 1970."""
    if fault is None:
        return {}
    forms = {
        "rate-limit": ("Retry-After", f"{fault.value:g}"),
        "rate-limit-date": ("Retry-After", formatdate(now + fault.value, usegmt=True)),
        "rate-limit-ms": ("retry-after-ms", f"{fault.value * 1000:g}"),
        "rate-limit-reset": ("x-ratelimit-reset-requests", f"{fault.value * 1000:g}ms"),
    }
    return dict([forms[fault.name]]) if fault.name in forms else {}


def _head(turn: Turn, kind: str) -> dict[str, Any]:
    head = {"id": f"chatcmpl-{turn.record.number}", "object": kind, "created": 0, "model": turn.asked.model}
    return {name: value for name, value in head.items() if name not in turn.hides} if turn.hides else head


def _event(turn: Turn, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = logprobs
    return b"data: " + encoded({**_head(turn, "chat.completion.chunk"), "choices": [choice]}) + b"\n\n"


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _logprobs(turn: Turn, pieces: tuple[str, ...]) -> dict[str, Any]:
    return {"content": [_told(turn.alternatives(piece)[: turn.asked.top_logprobs]) for piece in pieces]}


def _told(ways: tuple[tuple[str, float], ...]) -> dict[str, Any]:
    top = [{"token": token, "logprob": logprob} for token, logprob in ways]
    return {**top[0], "top_logprobs": top}


def _usage(turn: Turn) -> dict[str, Any]:
    usage = turn.usage
    if usage is None:
        return {}
    counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    return {"usage": {**counts, "total_tokens": usage.total_tokens}}
