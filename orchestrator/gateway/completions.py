"""The shapes of the OpenAI chat-completions protocol: a body into a request, a result into an answer or its pieces.

Shapes after the public API reference of OpenAI's chat completions (``chat.completion`` and ``chat.completion.chunk``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from orchestrator.core.message import Message, Role
from orchestrator.core.options import OPTIONS
from orchestrator.core.quantity import parse_duration
from orchestrator.core.request import DataClass, PriorityClass, Request, Result
from orchestrator.gateway.guard import Turned, to_json

UNDERSTOOD: Final = frozenset(
    {*OPTIONS, "model", "messages", "stream", "stream_options", "max_completion_tokens", "metadata", "user", "n"}
    | {"session", "timeout", "priority", "complexity", "data_class", "escalate"}
)
"""Fields that have an effect. The second line is ours: with the official clients, send it as ``extra_body``."""
REFUSED: Final = {
    "tools": "the agents of a deployment have tools of their own",
    "functions": "the agents of a deployment have tools of their own",
    "response_format": "give the agent an output_schema in the manifest",
    "logprobs": "log-probabilities are not handed on",
    "audio": "only text is served",
}
_KNOWN: Final = UNDERSTOOD | REFUSED.keys()
PRIORITIES: Final[Mapping[str, PriorityClass]] = {
    "interactive": "interactive",
    "default": "default",
    "bulk": "bulk",
    "high": "interactive",
    "normal": "default",
    "low": "bulk",
}
COMPLEXITIES: Final = ("simple", "moderate", "complex")
STATUS: Final[Mapping[str, int]] = {
    "QueueFull": 429,
    "RateLimited": 429,
    "ContextTooLong": 400,
    "BadRequest": 502,
    "DeadlinePassed": 504,
    "Stalled": 504,
    "WouldMissDeadline": 503,
    "NoModel": 503,
    "RunCancelled": 503,
    "ServerBusy": 503,
    "Unreachable": 503,
    "StaleConnection": 503,
    "ModelNotFound": 503,
    "Refused": 502,
    "ServerFailed": 502,
    "BrokenReply": 502,
    "SchemaInvalid": 502,
    "ToolFailed": 502,
    "WrongArguments": 502,
}
"""HTTP status of each kind of failed run; every other kind is 500."""
WORTH_RETRYING: Final = frozenset({"QueueFull", "RateLimited", "WouldMissDeadline", "ServerBusy"})
"""Where nothing was wrong but the moment. Official clients repeat every 5xx unless told not to, and a run that called tools
must not be repeated behind the caller's back."""
LONGEST_NAME: Final = 200


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
    _check_refused(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _bad("'model' must be the name of a deployment", "missing_model")
    deployment, _, agent = model.partition("/")
    text, history = _messages(body.get("messages"))
    stream_options = body.get("stream_options") or {}
    return Asked(
        deployment=deployment,
        request=Request(
            text=text,
            history=history,
            session=_name(body, "session"),
            agent=agent,
            priority=PRIORITIES[_one_of(body, "priority", PRIORITIES, "interactive")],
            timeout=_timeout(body.get("timeout")),
            data_class=cast(Any, _one_of(body, "data_class", get_args(DataClass), "internal")),
            principal=_name(body, "user"),
            complexity=cast(Any, _one_of(body, "complexity", COMPLEXITIES, "")),
            escalate=_flag(body, "escalate"),
            options=_options(body),
        ),
        stream=_flag(body, "stream"),
        include_usage=isinstance(stream_options, dict) and bool(stream_options.get("include_usage")),
        ignored=tuple(sorted(name for name, value in body.items() if name not in _KNOWN and value is not None)),
    )


def _check_refused(body: Mapping[str, Any]) -> None:
    for name, why in REFUSED.items():
        if body.get(name) and body[name] != {"type": "text"}:
            raise _bad(f"{name!r} cannot be used here: {why}", "unsupported_parameter")
    if body.get("n") not in (None, 1):
        raise _bad("'n' must be 1", "unsupported_parameter")


def _field(body: Mapping[str, Any], name: str) -> Any:
    """A field of the body, or of its ``metadata``, which every client can send."""
    value = body.get(name)
    metadata = body.get("metadata")
    return metadata.get(name) if value is None and isinstance(metadata, dict) else value


def _name(body: Mapping[str, Any], name: str) -> str:
    value = _field(body, name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise _bad(f"{name!r} must be a text of at most {LONGEST_NAME} characters", "invalid_type")
    return value


def _one_of(body: Mapping[str, Any], name: str, known: Iterable[str], usual: str) -> str:
    value = _field(body, name)
    if value is None:
        return usual
    if not isinstance(value, str) or value not in known:
        raise _bad(f"{name!r} must be one of {', '.join(known)}", "invalid_value")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _bad(f"{name!r} must be true or false", "invalid_type")
    return bool(value)


def _messages(value: Any) -> tuple[str, tuple[Message, ...]]:
    if not isinstance(value, list) or not value:
        raise _bad("'messages' must be a list that is not empty", "invalid_messages")
    messages = [_message(number, item) for number, item in enumerate(value)]
    if messages[-1].role != "user":
        raise _bad("the last message must be the user's", "invalid_messages")
    if not messages[-1].content.strip():
        raise _bad("the last message is empty", "invalid_messages")
    return messages.pop().content, tuple(messages)


_ROLES: Final[Mapping[Any, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def _message(number: int, item: Any) -> Message:
    role = _ROLES.get(item.get("role")) if isinstance(item, dict) and isinstance(item.get("role"), str) else None
    if role is None:
        raise _bad(f"messages[{number}] has no known role", "invalid_messages")
    content = item.get("content")
    text = content if isinstance(content, str) else _text(number, content)
    if role in ("user", "system") or len(item) == 2:
        return Message(role, text)
    try:
        return Message.from_json({**item, "role": role, "content": text})
    except (KeyError, TypeError, AttributeError) as error:
        raise _bad(f"messages[{number}] is malformed: {error}", "invalid_messages") from error


def _text(number: int, content: Any) -> str:
    if content is None:
        return ""
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
    for name, value in options.items():
        why = OPTIONS[name](value)
        if why:
            raise _bad(f"{name!r} must be {why}", "invalid_type")
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


class Pieces:
    """The events of one streamed answer. What is the same in each is encoded once."""

    def __init__(self, asked: Asked, created: int) -> None:
        self._asked = asked
        self._shape: dict[str, Any] = {
            "id": asked.request.id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": asked.deployment,
        }
        self._before, self._after = self._chunk({"content": _HERE}).split(_ENCODED_HERE)

    def first(self) -> bytes:
        """Who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def next(self, text: str) -> bytes:
        """A piece of the text."""
        return self._before + to_json(text) + self._after

    def last(self, result: Result) -> bytes:
        """The end: the finish reason, the usage where it was asked for; or the fault that broke the answer off."""
        if result.error:
            return _event(failure(result).body())
        end = self._chunk({}, _finish(result), orchestrator=about(result))
        if self._asked.include_usage:
            end += _event({**self._shape, "choices": [], "usage": _usage(result)})
        return end + b"data: [DONE]\n\n"

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**self._shape, "choices": [choice], **more})


def _event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + to_json(value) + b"\n\n"


_HERE: Final = "\x00here\x00"
_ENCODED_HERE: Final = to_json(_HERE)


def failure(result: Result) -> Turned:
    """The HTTP answer to a failed run."""
    error = result.error or {}
    status = STATUS.get(str(error.get("kind")), 500)
    message = str(error.get("message", "the run failed"))
    cure = f" {error['cure']}" if error.get("cure") else ""
    again = error.get("kind") in WORTH_RETRYING and not result.usage.tool_calls
    headers = [(b"x-should-retry", b"true" if again else b"false"), (b"x-orchestrator-run", result.id.encode())]
    retry_after = error.get("retry_after")
    if retry_after and status in (429, 503):
        headers.append((b"retry-after", str(max(1, math.ceil(retry_after))).encode()))
    return Turned(status, f"{message}{cure} (run {result.id})", code=str(error.get("code")), headers=tuple(headers))


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
