"""Calls of functions that a model wrote into its text, because its server did not read them. Pure.

Read are the forms that chat templates of small models use: ``<tool_call>{…}</tool_call>`` (Hermes, Qwen), ``[TOOL_CALLS][…]``
(Mistral), ``<|python_tag|>{…}`` (Llama 3), ``functools[…]`` (Phi-4), and JSON alone, with or without a fence of backticks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from orchestrator.core.message import ToolCall

_TAGGED: Final = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)
_MARKED: Final = re.compile(r"(?:\[TOOL_CALLS\]|<\|python_tag\|>|functools(?=\[))\s*(.*)", re.DOTALL)
_FENCED: Final = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


def written_calls(text: str, offered: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls in a text, in order. Empty where it holds none, or anything that is no call of a function that was
    ``offered``: then the text is an answer, and is taken as it is."""
    found: list[ToolCall] = []
    for part in _parts(text.strip()):
        try:
            value = json.loads(part, strict=False)
        except (ValueError, RecursionError):
            return ()
        for wish in value if isinstance(value, list) else [value]:
            call = _call(wish, offered, len(found))
            if call is None:
                return ()
            found.append(call)
    return tuple(found)


def _parts(text: str) -> Iterator[str]:
    tagged = _TAGGED.findall(text)
    if tagged:
        yield from tagged
        return
    marked = _MARKED.search(text)
    fenced = _FENCED.fullmatch(text)
    inner = marked[1].strip() if marked else fenced[1] if fenced else text
    if inner.startswith(("{", "[")):
        yield inner


def _call(wish: Any, offered: Collection[str], number: int) -> ToolCall | None:
    if not isinstance(wish, dict):
        return None
    function = wish["function"] if isinstance(wish.get("function"), dict) else wish
    name = function.get("name")
    given = function.get("arguments", function.get("parameters"))
    if not isinstance(name, str) or name not in offered or not isinstance(given, (dict, str)):
        return None
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return ToolCall(f"call_{number}", name, arguments)
