"""Reading a model's choice: which of the offered names its answer is, and how sure the model was of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, Final

from orchestrator.core.surrogates import whole
from orchestrator.plugins.strategies.text import fold, shortened
from orchestrator.ports.provider import ChatReply

_LONGEST_ANSWER: Final = 2_000
_FENCE: Final = re.compile(r"^```\w*\s*|\s*```$")
_EDGES: Final = " \t\r\n\"'`*.,:;!()[]<>"


def nobody_among(names: Sequence[str]) -> str:
    """The word for "no candidate fits": ``none``, or another where a candidate has that name."""
    return next(word for word in ("none", "none of these", "no assistant at all") if word not in map(_plain, names))


def read_choice(answer: str, offered: Collection[str]) -> tuple[str | None, str]:
    """The one of ``offered`` that the answer is, and an empty text; or ``None`` and what the answer is instead.

    Accepted: the JSON asked for, or the bare name, whatever its case, quotes and separators. A name inside a sentence is
    not: the sentence may say the opposite.
    """
    stripped = answer.strip()
    if "`" in stripped:
        stripped = _FENCE.sub("", stripped)
    if not stripped:
        return None, "gave an empty answer"
    value = _value_of(stripped)
    if value is None:
        return None, f'gave JSON without one name: "{shortened(stripped)}"'
    return (value, "") if value in offered else _nearly(whole(value)[:_LONGEST_ANSWER], offered)


def _nearly(value: str, offered: Collection[str]) -> tuple[str | None, str]:
    alike = [name for name in offered if _plain(name) == _plain(value)]
    if len(alike) == 1:
        return alike[0], ""
    if alike:
        return None, f'answered "{shortened(value)}", which could be {" or ".join(alike)}'
    named = [name for name in offered if re.search(rf"(?<!\w){re.escape(fold(name))}(?!\w)", fold(value))]
    if len(named) > 1:
        return None, f"named {len(named)} at once: {', '.join(named)}"
    return None, f'answered something that is no candidate: "{shortened(value)}"'


def confidence_of(reply: ChatReply) -> float | None:
    """The probability of the tokens of the chosen name, 0..1, where the server told any that fit the answer."""
    if not reply.logprobs:
        return None
    written = "".join(token.token for token in reply.logprobs)
    span = _name_span(written)
    if span is None or not written.strip():
        return None
    start, end = span
    at, total = 0, 0.0
    for token in reply.logprobs:
        if at < end and at + len(token.token) > start:
            total += token.logprob
        at += len(token.token)
    return min(1.0, math.exp(total)) if not math.isnan(total) else None


def _name_span(written: str) -> tuple[int, int] | None:
    """Where the name stands in the answer: the last quoted text of the JSON, else all of it. Tokens come as the model wrote
    them, with the fence of backticks that llama-server lets it put around JSON and takes out of the text."""
    match = re.search(r':\s*"((?:[^"\\]|\\.)*)"\s*}?[\s`]*$', written)
    if match:
        return match.span(1)
    if "{" in written:
        return None
    return len(written) - len(written.lstrip()), len(written.rstrip())


def _value_of(text: str) -> str | None:
    """The only text in the answer's JSON; the answer itself where it is no JSON."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict):
        texts = [inner for inner in value.values() if isinstance(inner, str)]
        chosen = value.get("agent", texts[0] if len(texts) == 1 else None)
        return chosen if isinstance(chosen, str) else None
    return value if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", fold(name).strip(_EDGES))
