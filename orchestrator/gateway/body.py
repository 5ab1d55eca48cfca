"""A chat-completions body as a request: the names of the protocol, put into ours. What a value may be, ``core/asked.py`` says.

Fields after the public API reference of OpenAI's chat completions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.asked import check_choice, check_request
from orchestrator.core.choices import CALLERS
from orchestrator.core.errors import UsageError
from orchestrator.core.message import Message, Role
from orchestrator.core.options import OPTIONS
from orchestrator.core.quantity import parse_duration
from orchestrator.core.request import Request
from orchestrator.gateway.guard import Turned

_PRIORITIES: Final[Mapping[str, str]] = {
    **{name: name for name in CALLERS},
    "high": "interactive",
    "normal": "default",
    "low": "bulk",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for. ``ignored`` are fields that have no effect here: the answer's header names them."""

    deployment: str
    request: Request
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...]


def _priority(value: Any) -> str:
    check_choice("priority", value, _PRIORITIES)
    return _PRIORITIES[value]


def _seconds(value: Any) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise UsageError(f"timeout: {error}", field="timeout") from error


def _as_it_is(value: Any) -> Any:
    return value


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a body that becomes one of a request: which, how it is read, and whether ``metadata`` may hold it, which
    every client can send."""

    into: str
    read: Callable[[Any], Any] = _as_it_is
    in_metadata: bool = False


_FIELDS: Final[Mapping[str, _Field]] = {
    "user": _Field("principal", in_metadata=True),
    "session": _Field("session", in_metadata=True),
    "priority": _Field("priority", _priority, in_metadata=True),
    "complexity": _Field("complexity", in_metadata=True),
    "data_class": _Field("data_class", in_metadata=True),
    "timeout": _Field("timeout", _seconds),
    "escalate": _Field("escalate"),
}
_OPTIONS: Final[Mapping[str, _Field]] = {
    **{name: _Field(name) for name in OPTIONS},
    "stop": _Field("stop", _texts),
    "max_completion_tokens": _Field("max_tokens"),
}
_OTHERS: Final = frozenset({"model", "messages", "stream", "stream_options", "metadata", "n"})
_REFUSED: Final = {
    "tools": "the agents of a deployment have tools of their own",
    "functions": "the agents of a deployment have tools of their own",
    "response_format": "give the agent an output_schema in the manifest",
    "logprobs": "log-probabilities are not handed on",
    "audio": "only text is served",
}
_HARMLESS: Final[Mapping[str, Any]] = {"response_format": {"type": "text"}}
"""What says of a refused field only what is so without it."""
_KNOWN: Final = _FIELDS.keys() | _OPTIONS.keys() | _OTHERS | _REFUSED.keys()
"""Fields that have an effect, or are refused."""
_MESSAGES: Final = "messages"


def read_body(body: Mapping[str, Any]) -> Asked:
    """Understand a chat-completions body; raises ``Turned`` (400) that names the field."""
    try:
        return _read(body)
    except UsageError as error:
        raise _turned(error) from error


def _turned(error: UsageError) -> Turned:
    return Turned(400, error.line, code="invalid_value", param=error.field)


def _read(body: Mapping[str, Any]) -> Asked:
    _check_refused(body)
    deployment, agent = _model(body.get("model"))
    text, history = _messages(body.get(_MESSAGES))
    given, names = _given(body)
    options, options_names = _options(body)
    request = Request(text, history=history, agent=agent, options=options, **given)
    names |= {"text": _MESSAGES, "history": _MESSAGES, "agent": "model", **options_names}
    return Asked(
        deployment=deployment,
        request=check_request(request, names),
        stream=_flag("stream", body.get("stream")),
        include_usage=_include_usage(body.get("stream_options")),
        ignored=tuple(sorted(name for name, value in body.items() if name not in _KNOWN and value is not None)),
    )


def _check_refused(body: Mapping[str, Any]) -> None:
    for name, why in _REFUSED.items():
        if body.get(name) and body[name] != _HARMLESS.get(name):
            raise _unsupported(name, f"{name!r} cannot be used here: {why}")
    count = body.get("n")
    if count is not None and (isinstance(count, bool) or count != 1):
        raise _unsupported("n", "'n' must be 1")


def _unsupported(name: str, message: str) -> Turned:
    return Turned(400, message, code="unsupported_parameter", param=name)


def _model(value: Any) -> tuple[str, str]:
    """The deployment, and the agent where one is named."""
    deployment, slash, agent = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not deployment or (slash and not agent):
        cure = 'like "retail-kiosk", or "retail-kiosk/quotes" for one agent of it'
        raise UsageError(f"model must be the name of a deployment, not {value!r}", cure=cure, field="model")
    return deployment, agent


def _given(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of the request that the body gives, and what it calls them."""
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise UsageError(f"metadata is no object: {metadata!r}", cure='like {"session": "visitor-7"}', field="metadata")
    given: dict[str, Any] = {}
    for name, field in _FIELDS.items():
        value = body.get(name)
        beside = metadata.get(name) if metadata and field.in_metadata else None
        if None not in (value, beside) and value != beside:
            raise UsageError(f"{name} and metadata.{name} differ", cure="give one of them", field=name)
        value = beside if value is None else value
        if value is not None:
            given[field.into] = field.read(value)
    return given, {field.into: name for name, field in _FIELDS.items()}


def _options(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Options of the request that the body gives, and what it calls them."""
    options: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, field in _OPTIONS.items():
        if body.get(name) is None:
            continue
        value, other = field.read(body[name]), names.setdefault(field.into, name)
        if options.setdefault(field.into, value) != value:
            raise UsageError(f"{other} and {name} differ", cure="give one of them", field=name)
    return options, names


def _flag(name: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise UsageError(f"{name} is yes or no, not {value!r}", cure="give true or false", field=name)
    return bool(value)


def _include_usage(value: Any) -> bool:
    if value is not None and not isinstance(value, dict):
        cure = 'like {"include_usage": true}'
        raise UsageError(f"stream_options is no object: {value!r}", cure=cure, field="stream_options")
    return _flag("stream_options.include_usage", value.get("include_usage") if value else None)


def _messages(value: Any) -> tuple[str, tuple[Message, ...]]:
    """The text of the last one, which is the user's, and all before it."""
    if not isinstance(value, list) or not value:
        raise _no_messages("messages must be a list that is not empty")
    messages = [_message(number, item) for number, item in enumerate(value)]
    last = messages.pop()
    if last.role != "user":
        raise _no_messages("the last message must be the user's")
    return last.content, tuple(messages)


def _no_messages(message: str) -> UsageError:
    return UsageError(message, cure='like [{"role": "user", "content": "hello"}]', field=_MESSAGES)


_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def _message(number: int, item: Any) -> Message:
    named = item.get("role") if isinstance(item, dict) else None
    role = _ROLES.get(named) if isinstance(named, str) else None
    if role is None:
        raise UsageError(
            f"messages[{number}] has no known role", cure=f"roles are: {', '.join(_ROLES)}", field=_MESSAGES
        )
    content = item.get("content")
    text = content if isinstance(content, str) else _text(number, content)
    if role in ("user", "system") or (role == "assistant" and item.keys() == {"role", "content"}):
        return Message(role, text)
    try:
        return Message.from_json({**item, "role": role, "content": text})
    except ValueError as error:
        raise UsageError(f"messages[{number}] {error}", cure="send it as it came", field=_MESSAGES) from error


def _text(number: int, content: Any) -> str:
    if content is None:
        return ""
    texts = [part.get("text") for part in content if _is_text(part)] if isinstance(content, list) else []
    if not isinstance(content, list) or len(texts) < len(content):
        raise UsageError(
            f"messages[{number}] holds something that is no text", cure="only text is served", field=_MESSAGES
        )
    return "\n".join(texts)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
