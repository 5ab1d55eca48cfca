"""The shapes of the OpenAI chat-completions protocol: a body into a request, a result into an answer or its pieces.

Shapes after the public API reference of OpenAI's chat completions (``chat.completion`` and ``chat.completion.chunk``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.message import Message
from orchestrator.core.quantity import parse_duration
from orchestrator.core.request import Request, Result
from orchestrator.gateway.guard import Turned

OPTIONS: Final = ("temperature", "max_tokens", "top_p", "seed", "stop")
UNDERSTOOD: Final = frozenset(
    {*OPTIONS, "model", "messages", "stream", "stream_options", "max_completion_tokens", "metadata", "user", "session"}
    | {"timeout", "priority", "n"}
)
REFUSED: Final = {
    "tools": "the agents of a deployment have tools of their own",
    "functions": "the agents of a deployment have tools of their own",
    "response_format": "give the agent an output_schema in the manifest",
    "logprobs": "log-probabilities are not handed on",
    "audio": "only text is served",
}
STATUS: Final[Mapping[str, int]] = {
    "QueueFull": 429,
    "RateLimited": 429,
    "ContextTooLong": 400,
    "BadRequest": 400,
    "DeadlinePassed": 504,
    "Stalled": 504,
    "WouldMissDeadline": 503,
    "NoModel": 503,
    "ServerBusy": 503,
    "Unreachable": 503,
    "StaleConnection": 503,
    "ModelNotFound": 503,
    "Refused": 502,
    "ServerFailed": 502,
    "BrokenReply": 502,
    "RunCancelled": 499,
}
"""HTTP status of each kind of failed run; every other kind is 500."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for. ``ignored`` are fields that have no effect here: the answer's header names them."""

    deployment: str
    request: Request
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...]


def read_body(body: Mapping[str, Any]) -> Asked:
    """Understand a chat-completions body; raises ``Turned`` (400) that names the field."""
    for name, why in REFUSED.items():
        if body.get(name):
            raise _bad(f"{name!r} cannot be used here: {why}", "unsupported_parameter")
    if body.get("n") not in (None, 1):
        raise _bad("'n' must be 1", "unsupported_parameter")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _bad("'model' must be the name of a deployment", "missing_model")
    deployment, _, agent = model.partition("/")
    text, history = _messages(body.get("messages"))
    metadata = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
    request = Request(
        text=text,
        history=history,
        session=str(body.get("session") or (metadata or {}).get("session") or ""),
        agent=agent,
        timeout=_timeout(body.get("timeout")),
        principal=str(body.get("user") or ""),
        options=_options(body),
    )
    stream_options = body.get("stream_options") or {}
    return Asked(
        deployment=deployment,
        request=request,
        stream=bool(body.get("stream")),
        include_usage=isinstance(stream_options, dict) and bool(stream_options.get("include_usage")),
        ignored=tuple(sorted(name for name, value in body.items() if name not in UNDERSTOOD and value is not None)),
    )


def _messages(value: Any) -> tuple[str, tuple[Message, ...]]:
    if not isinstance(value, list) or not value:
        raise _bad("'messages' must be a list that is not empty", "invalid_messages")
    messages = [_message(number, item) for number, item in enumerate(value)]
    if messages[-1].role != "user":
        raise _bad("the last message must be the user's", "invalid_messages")
    return messages[-1].content, tuple(messages[:-1])


def _message(number: int, item: Any) -> Message:
    if not isinstance(item, dict) or item.get("role") not in ("system", "developer", "user", "assistant", "tool"):
        raise _bad(f"messages[{number}] has no known role", "invalid_messages")
    role = "system" if item["role"] == "developer" else item["role"]
    try:
        return Message.from_json({**item, "role": role, "content": _text(number, item.get("content"))})
    except (KeyError, TypeError, AttributeError) as error:
        raise _bad(f"messages[{number}] is malformed: {error}", "invalid_messages") from error


def _text(number: int, content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return "\n".join(str(part.get("text", "")) for part in content)
    raise _bad(f"messages[{number}] holds something that is no text", "invalid_messages")


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return parse_duration(value)
    except (ValueError, AttributeError) as error:
        raise _bad(f"'timeout': {error}", "invalid_timeout") from error


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: body[name] for name in OPTIONS if body.get(name) is not None}
    if body.get("max_completion_tokens") is not None:
        options["max_tokens"] = body["max_completion_tokens"]
    for name in ("temperature", "top_p"):
        if name in options and (isinstance(options[name], bool) or not isinstance(options[name], (int, float))):
            raise _bad(f"{name!r} must be a number", "invalid_type")
    for name in ("max_tokens", "seed"):
        if name in options and (isinstance(options[name], bool) or not isinstance(options[name], int)):
            raise _bad(f"{name!r} must be a whole number", "invalid_type")
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    return options


def completion(asked: Asked, result: Result, created: int) -> dict[str, Any]:
    """A whole answer; what the engine did is in ``orchestrator``."""
    return {
        "id": result.id,
        "object": "chat.completion",
        "created": created,
        "model": asked.deployment,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": result.text, "refusal": None},
                "logprobs": None,
                "finish_reason": _finish(result),
            }
        ],
        "usage": _usage(result),
        "orchestrator": about(result),
    }


def about(result: Result) -> dict[str, Any]:
    """How the answer came about, in short."""
    return {
        "status": result.status,
        "agent": result.agent,
        "served_by": result.served_by,
        "revision": result.revision,
        "path": list(result.path),
        "why": result.why,
        "timings_ms": {name: round(value, 3) for name, value in result.timings.items()},
    }


def chunk(asked: Asked, created: int, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """A piece of a streamed answer."""
    return {
        "id": asked.request.id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": asked.deployment,
        "choices": [{"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}],
    }


def last_chunks(asked: Asked, result: Result, created: int) -> list[dict[str, Any]]:
    """What ends a streamed answer: the finish reason, and the usage where it was asked for."""
    end = chunk(asked, created, {}, _finish(result))
    end["orchestrator"] = about(result)
    if not asked.include_usage:
        return [end]
    usage = chunk(asked, created, {})
    usage["choices"] = []
    usage["usage"] = _usage(result)
    return [end, usage]


def failure(result: Result) -> Turned:
    """The HTTP answer to a failed run."""
    error = result.error or {}
    status = STATUS.get(str(error.get("kind")), 500)
    message = str(error.get("message", "the run failed"))
    cure = f" {error['cure']}" if error.get("cure") else ""
    retry_after = error.get("retry_after")
    headers = ((b"retry-after", str(max(1, round(retry_after))).encode()),) if retry_after else ()
    return Turned(status, f"{message}{cure} (run {result.id})", code=str(error.get("code")), headers=headers)


def sse(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _finish(result: Result) -> str:
    return result.finish_reason if result.finish_reason in ("stop", "length", "content_filter") else "stop"


def _usage(result: Result) -> dict[str, int]:
    usage = result.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _bad(message: str, code: str) -> Turned:
    return Turned(400, message, code=code)
