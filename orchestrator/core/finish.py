"""How an answer ended, in the words of model servers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.model_errors import BrokenReply

_ORDINARY: Final[Mapping[str, str]] = {
    "": "stop",
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""Of the ends that make an answer whole, or as long as it may be, what the OpenAI protocol calls them."""
_OTHERS: Final[Mapping[str, tuple[str, str]]] = {
    "abort": ("the server gave the answer up before it was done", ""),
    "repetition": (
        "the model repeated itself without end, and the server stopped it",
        "a higher temperature, a penalty on repetition (options of the model), or another model",
    ),
}
"""What vLLM says else: what it means, and what helps."""


def finish_of(told: str, partial: str = "") -> str:
    """The end in the protocol's word: stop, length, tool_calls or content_filter. Raises ``BrokenReply`` for every other: what
    has come is not the answer; ``partial`` is its text."""
    word = _ORDINARY.get(told.casefold())
    if word is not None:
        return word
    means, cure = _OTHERS.get(told.casefold(), ("the server ended the answer in no ordinary way", ""))
    raise BrokenReply(f"{means} (finish_reason {told[:40]})", cure=cure, partial=partial)
