"""Answers of the OpenAI chat protocol, whole and in pieces, read into a :class:`ChatReply`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.errors import BrokenReply, CutOff
from orchestrator.core.finish import finish_of
from orchestrator.core.message import Message, ToolCall, Usage
from orchestrator.core.surrogates import Joined, whole
from orchestrator.plugins.providers.failures import NO_API, failure_in_reply, read_body
from orchestrator.ports.provider import ChatCall, ChatReply, Delta, Sign, TokenProbability

# strict=False: models put raw control characters into strings, also under a grammar.
_DECODER: Final = json.JSONDecoder(strict=False)
_SHOWN: Final = frozenset(("role", "content", "refusal"))
"""What a piece holds beside signs that the model writes."""
_BEGINNING: Final = 120
"""Characters that are shown of what cannot be read."""
MOST_READ: Final = 4096
"""Bytes that are looked at for them, which hold the title of a page."""
_CHARACTERS_A_TOKEN: Final = 4  # a usual average of English text; only used where a server tells no counts


def read_json(body: bytes) -> Any:
    """The JSON value of a body. Raises ``BrokenReply``."""
    try:
        return _value_of(body)
    except (ValueError, RecursionError) as error:
        raise not_json(body) from error


def not_json(body: bytes, what: str = "no JSON") -> BrokenReply:
    """The error for an answer that is something else, with its beginning, or the title of a page for people."""
    said = read_body(body[:MOST_READ])
    shown = said.message[:_BEGINNING] if said.message else "nothing"
    return BrokenReply(f"the answer is {what}: {shown}", cure=NO_API if said.is_page else "")


def _value_of(body: bytes) -> Any:
    """The JSON value of a body; raw_decode takes half of the time that decode does."""
    text = body.decode().strip()
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError(f"text after the JSON: {text[end : end + 40]!r}")
    return value


def whole_reply(body: bytes, call: ChatCall) -> ChatReply:
    """Read a whole answer. Raises ``BrokenReply``, or what an error object inside it means."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise not_json(body, "no JSON object")
    return reply_from(value, call)


def reply_from(value: Mapping[str, Any], call: ChatCall) -> ChatReply:
    """Read a whole answer that is parsed already. Raises as :func:`whole_reply` does."""
    choices = value.get("choices")
    if not choices:
        if value.get("error"):
            raise failure_in_reply(value["error"])
        raise BrokenReply("the answer has no choices")
    try:
        choice = choices[0]
        said = choice["message"]
        content = whole(text_of(said.get("content")))
        calls = tuple(_whole_call(entry, index) for index, entry in enumerate(said.get("tool_calls") or ()))
        probabilities = probabilities_of(choice.get("logprobs")) or ()
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise BrokenReply(f"the answer is not of this protocol: {str(value)[:80]}") from error
    message = Message("assistant", content, calls)
    finish = finish_reason_of(choice.get("finish_reason"), message)
    usage = usage_of(value.get("usage"), call, message)
    return ChatReply(message, finish, usage, _words(value.get("model")), probabilities)


def finish_reason_of(told: Any, message: Message) -> str:
    """How it ended, except that calls end with ``tool_calls``: some servers say ``stop`` for them. Raises ``BrokenReply`` for what
    is no ordinary end."""
    reason = finish_of(_words(told), message.content)
    return "tool_calls" if message.tool_calls and reason == "stop" else reason


def _words(told: Any) -> str:
    """A short text of the server's, such as a name; empty where it tells none."""
    return whole(str(told)) if told else ""


def text_of(content: Any) -> str:
    """The text of a ``content`` that is a string, absent, or a list of parts, as it came."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content if part.get("type", "text") == "text")


def usage_of(told: Any, call: ChatCall, message: Message) -> Usage:
    """The server's counts, or our estimate (marked so) where it tells none. It counts as one model call."""
    if isinstance(told, dict):
        prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int) and (prompt or completion):
            return Usage(prompt, completion, 1)
    prompt_size = sum(len(turn.encoded()) for turn in call.messages)
    answer_size = len(message.content.encode()) + sum(len(one.arguments) for one in message.tool_calls)
    return Usage(_tokens(prompt_size), _tokens(answer_size), 1, estimated=True)


def _tokens(size: int) -> int:
    return -(-size // _CHARACTERS_A_TOKEN)


def probabilities_of(told: Any) -> tuple[TokenProbability, ...] | None:
    """The log-probabilities of the chosen tokens; empty where the server gives none, ``None`` where it gives some that cannot be
    read: the answer stands without them."""
    if not isinstance(told, dict):
        return ()
    try:
        return tuple(map(_probability_of, told.get("content") or ()))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        return None


def _probability_of(token: Mapping[str, Any]) -> TokenProbability:
    return TokenProbability(
        _words(token["token"]),
        float(token["logprob"]),
        tuple((_words(other["token"]), float(other["logprob"])) for other in token.get("top_logprobs") or ()),
    )


def _whole_call(entry: Mapping[str, Any], index: int) -> ToolCall:
    function = entry["function"]
    arguments = whole(arguments_of(function.get("arguments")))
    return ToolCall(_words(entry.get("id")) or f"call_{index}", _words(function["name"]), arguments)


def arguments_of(told: Any) -> str:
    """Arguments as JSON text, as they came; a few servers send the object itself."""
    if isinstance(told, str):
        return told
    return json.dumps({} if told is None else told, ensure_ascii=False)


class _OpenCall:
    """A tool call that is still being streamed."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.name = ""
        self.arguments: list[str] = []


class ReplyInPieces:
    """Puts the chunks of a stream together. ``text`` is what has come so far; ``done`` turns true with ``[DONE]``."""

    __slots__ = (
        "_by_delta",
        "_call",
        "_calls",
        "_finish",
        "_joined",
        "_logprobs",
        "_model",
        "_parts",
        "_sign",
        "_usage",
        "done",
    )

    def __init__(self, call: ChatCall) -> None:
        self._call = call
        self._joined = Joined()
        self._parts: list[str] = []
        self._calls: dict[int, _OpenCall] = {}
        self._logprobs: list[TokenProbability] | None = []
        self._finish = ""
        self._by_delta = False
        self._model = ""
        self._usage: Any = None
        self._sign: Sign = ""
        self.done = False

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    @property
    def finished(self) -> bool:
        """Whether the model has said that it is done, so that a lost end of the stream loses nothing of the answer."""
        return self.done or bool(self._finish)

    def sign(self) -> Sign:
        """What the chunks since the last question show of the model at work beside text."""
        sign, self._sign = self._sign, ""
        return sign

    def take(self, payloads: Sequence[bytes]) -> str:
        """Add the payloads of some events; returns the text that they brought.

        Raises ``BrokenReply``, or what an error object in the stream means, with the text so far as ``partial``.
        """
        if len(payloads) == 1:
            return self._take(payloads[0])
        return "".join([self._take(payload) for payload in payloads])

    def _take(self, payload: bytes) -> str:
        if payload == b"[DONE]" or payload.strip() == b"[DONE]":
            self.done = True
            return ""
        try:
            return self.add(_value_of(payload))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise BrokenReply(f"a broken piece in the stream: {payload[:80]!r}", partial=self.text) from error

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Add one chunk that is parsed already; returns the text that it brought."""
        choices = chunk.get("choices")
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        if not choices:
            if chunk.get("error"):
                raise failure_in_reply(chunk["error"], self.text)
            return ""
        choice = choices[0]
        if choice.get("finish_reason"):
            self._finish = _words(choice["finish_reason"])
        if choice.get("logprobs"):
            self._add_probabilities(probabilities_of(choice["logprobs"]))
        if not self._model:
            self._model = _words(chunk.get("model"))
        if chunk.get("prompt_progress"):  # llama.cpp's, which it was asked for
            self._sign = "reading"
        if choice.get("delta") is not None:
            self._by_delta = True
        elif not self._by_delta:  # pieces under the name of a whole answer; after real ones it is all of them once more
            return self._add_delta(choice.get("message") or {})
        return self._add_delta(choice.get("delta") or {})

    def _add_probabilities(self, told: tuple[TokenProbability, ...] | None) -> None:
        """Where those of one piece cannot be read, the rest would make an answer surer than it is: none count."""
        if told is None or self._logprobs is None:
            self._logprobs = None
        else:
            self._logprobs += told

    def _add_delta(self, delta: Mapping[str, Any]) -> str:
        if any(delta[name] for name in delta.keys() - _SHOWN):  # thoughts have as many names as there are makes
            self._sign = "writing"
        for position, entry in enumerate(delta.get("tool_calls") or ()):
            self._add_call(entry, position)
        content = delta.get("content")
        if not content:
            return ""
        text = self._joined.add(text_of(content))
        if not text:  # half a character
            self._sign = "writing"
        self._parts.append(text)
        return text

    def _add_call(self, entry: Mapping[str, Any], position: int) -> None:
        id_ = _words(entry.get("id"))
        index = entry.get("index")
        index = position if index is None else int(index)
        known = self._calls.get(index)
        if known is not None and id_ and known.id and id_ != known.id:
            known, index = None, max(self._calls) + 1  # a server that numbers every call 0
        elif known is None and not id_ and self._calls and "name" not in entry["function"]:
            known = self._calls[max(self._calls)]
        if known is None:
            known = self._calls[index] = _OpenCall(id_ or f"call_{index}")
        function = entry["function"]
        known.name = known.name or _words(function.get("name"))
        if function.get("arguments") is not None:
            known.arguments.append(arguments_of(function["arguments"]))

    def last(self) -> Delta:
        """The last piece, once the stream has ended: the whole answer, and half a character that waited for its other
        half. Raises ``CutOff`` where the stream ended before the model did."""
        rest = self._joined.end()
        self._parts.append(rest)
        return Delta(rest, self.reply())

    def reply(self) -> ChatReply:
        """The whole answer, once the stream has ended. Raises ``CutOff`` where it ended before the model did."""
        if not self.finished:
            raise CutOff("the stream ended before the answer did", partial=self.text)
        calls = tuple(
            ToolCall(one.id, one.name, whole("".join(one.arguments)) or "{}") for _, one in sorted(self._calls.items())
        )
        message = Message("assistant", self.text, calls)
        finish = finish_reason_of(self._finish, message)
        usage = usage_of(self._usage, self._call, message)
        return ChatReply(message, finish, usage, self._model, tuple(self._logprobs or ()))
