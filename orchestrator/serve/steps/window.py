"""What of a conversation fits the context that is really served, and what shows that a server cut it. Pure.

Nothing is sent that would be cut in silence: older turns are left out, with a note, and a request that does not fit even
alone is refused before it is sent. Tokens are counted by size: three bytes of JSON to a token is more than the tokenizers
of small models make of text in any script, four is about what they make of English, eight hardly any reaches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from orchestrator.core.errors import ContextTooLong
from orchestrator.core.message import Message
from orchestrator.core.record import record
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import Capability, ChatCall, Counter, Support

_SURELY: Final = 3  # bytes a token
_LIKELY: Final = 4
_FEW: Final = 5
_HARDLY: Final = 8
_ANSWER: Final = 256
"""Tokens that are kept free for an answer of unknown length."""
_DOUBT: Final = 32
"""Tokens by which a count may be wrong for reasons of its own."""


_UNSURE: Final = " Nothing shows that this server refuses what it cannot read, so nothing near its limit is sent."


@record
class Window:
    """What one endpoint serves: ``tokens`` of a request, where that is known; ``refuses``: it answers a prompt that does not
    fit with an error; ``bounded``: the limit is the manifest's, and its server would take more; ``counts``: that tells how many
    tokens a prompt is, and is asked before it is sent."""

    endpoint: str
    tokens: int | None = None
    refuses: bool = False
    bounded: bool = False
    counts: bool = False


@record
class Prompt:
    """What is to be sent: ``messages``, of which those from ``first`` up to ``last`` may be left out, oldest first;
    ``offered``: bytes of the functions beside them; ``answer``: the most tokens of the answer, where that is limited."""

    messages: tuple[Message, ...]
    first: int = 0
    last: int = 0
    offered: int = 0
    answer: int | None = None


@record
class Fitting:
    """What is sent, to which endpoints; ``left_out`` is how many messages are not."""

    messages: tuple[Message, ...]
    endpoints: tuple[str, ...]
    left_out: int = 0


def window_of(spec: EndpointSpec, told: int | None = None) -> Window:
    """What an endpoint serves: by its last look, and as its server ``told`` since."""
    refuses = spec.capabilities.get(Capability.OVERFLOW_REFUSED) is Support.YES
    tokens = spec.context if told is None else told if spec.context is None else min(told, spec.context)
    bounded = spec.bounded and (told is None or told > (spec.context or told))
    return _window(spec.id, tokens, refuses, bounded, bounded and isinstance(spec.provider, Counter))


@lru_cache(maxsize=1024)
def _window(name: str, tokens: int | None, refuses: bool, bounded: bool, counts: bool) -> Window:
    return Window(name, tokens, refuses, bounded, counts)


def any_known(windows: Sequence[Window]) -> bool:
    """Whether there is a limit to fit into at all."""
    for window in windows:  # noqa: SIM110 - half the time of any() with a generator, which every call would pay
        if window.tokens is not None:
            return True
    return False


def fit(prompt: Prompt, windows: Sequence[Window]) -> Fitting:
    """The endpoints that can take the whole of it; else the largest window with as much of it as fits. A window that is not
    known counts as large enough. Raises ``ContextTooLong`` where it cannot be sent whole, nor without the older turns."""
    if not any_known(windows):
        return Fitting(prompt.messages, tuple([window.endpoint for window in windows]))
    size = prompt.offered + sum([len(message.encoded()) for message in prompt.messages])
    whole = tuple(window.endpoint for window in windows if _holds(window, size, prompt.answer, _SURELY))
    if whole:
        return Fitting(prompt.messages, whole)
    largest = max(window.tokens or 0 for window in windows)
    widest = [window for window in windows if window.tokens == largest]
    least, left_out = _shortened(prompt, size, widest[0])
    messages = prompt.messages[: prompt.first] + prompt.messages[prompt.first + left_out :]
    able = tuple(window.endpoint for window in widest if _may_be_sent(window, least, prompt.answer))
    if able:
        return Fitting(messages, able, left_out)
    raise _too_long(widest[0], least, prompt.answer)


def too_long(call: ChatCall, window: Window) -> ContextTooLong | None:
    """Why a call is not sent to a server that turned out to serve this window; ``None`` where it may be."""
    size = _size(call)
    return None if _may_be_sent(window, size, call.max_tokens) else _too_long(window, size, call.max_tokens)


def is_to_be_counted(call: ChatCall, window: Window) -> bool:
    """Whether its server is to count a call's tokens first: not where even a token for every byte would fit."""
    return window.counts and not _holds(window, _size(call), call.max_tokens, 1)


def too_many(call: ChatCall, window: Window, counted: int) -> ContextTooLong | None:
    """Why a call of so many tokens is not sent; ``None`` where it may be."""
    tokens = window.tokens or 0
    room = _room(tokens, call.max_tokens)
    return None if counted + room <= tokens else _over(window, f"of {counted} tokens", call.max_tokens)


def _size(call: ChatCall) -> int:
    size = sum([len(message.encoded()) for message in call.messages])
    if call.tools:
        size += len(json.dumps([schema.as_json() for schema in call.tools], ensure_ascii=False))
    return size


def _over(window: Window, about: str, answer: int | None) -> ContextTooLong:
    """More than the manifest allows, though the server would take it."""
    tokens = window.tokens or 0
    return ContextTooLong(
        f"the prompt {about}, with {_room(tokens, answer)} for the answer, does not fit the {tokens} tokens that "
        f"context_length allows at {window.endpoint}",
        cure="Shorten it, or write a larger context_length: nothing that may be more than it is sent.",
    )


def _too_long(window: Window, size: int, answer: int | None) -> ContextTooLong:
    tokens = window.tokens or 0
    likely, most = size // _LIKELY, size // _SURELY
    about = f"about {likely} tokens" if likely > tokens else f"about {likely}, perhaps {most} tokens"
    if window.bounded:
        return _over(window, f"of {about}", answer)
    return ContextTooLong(
        f"the prompt of {about}, with {_room(tokens, answer)} for the answer, does not fit the {tokens} tokens that "
        f"{window.endpoint} serves",
        cure=f"Shorten it, or serve the model with a larger context.{'' if window.refuses else _UNSURE}",
    )


def _shortened(prompt: Prompt, size: int, window: Window) -> tuple[int, int]:
    """The size without the older turns that must go, and how many: what stays begins with a user's message."""
    left_out = 0
    room = prompt.last - prompt.first
    while left_out < room and not _holds(window, size, prompt.answer, _SURELY):
        size, left_out = _without_a_turn(prompt, size, left_out)
    return size, left_out


def _without_a_turn(prompt: Prompt, size: int, left_out: int) -> tuple[int, int]:
    while True:
        size -= len(prompt.messages[prompt.first + left_out].encoded())
        left_out += 1
        following = prompt.first + left_out
        if following >= prompt.last or prompt.messages[following].role == "user":
            return size, left_out


def _holds(window: Window, size: int, answer: int | None, bytes_a_token: int) -> bool:
    if window.tokens is None:
        return True
    return size // bytes_a_token + _room(window.tokens, answer) <= window.tokens


def _room(tokens: int, answer: int | None) -> int:
    """Tokens of a window that are kept for the answer."""
    return min(_ANSWER if answer is None else answer, tokens // 4)


def _may_be_sent(window: Window, size: int, answer: int | None) -> bool:
    """A server that refuses what does not fit may judge what is in doubt; one that would cut it may not, nor one that would
    take more than the manifest allows, unless it counts."""
    judges = window.counts if window.bounded else window.refuses
    return _holds(window, size, answer, _HARDLY if judges else _SURELY)


def was_cut(messages: Sequence[Message], counted: int) -> bool:
    """Whether a server that counted so many tokens cannot have read all of these messages. A word is a token at least, but
    for a few that are one together; a count of nothing says nothing."""
    if counted <= 0 or counted * _FEW >= sum([len(message.content) for message in messages]):
        return False  # a token for every few letters: all of it, without counting words
    words = sum([len(message.content.split()) for message in messages])
    return counted + _DOUBT < words - words // 4
