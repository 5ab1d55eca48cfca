"""Reading a model's choice: which of the offered names its answer is, and how sure the model was of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from orchestrator.core.surrogates import whole
from orchestrator.plugins.strategies.text import fold, shortened
from orchestrator.ports.provider import ChatReply

_LONGEST_ANSWER: Final = 2_000
_FENCE: Final = re.compile(r"^```\w*\s*|\s*```$")
_EDGES: Final = " \t\r\n\"'`*.,:;!()[]<>"


_NOBODY: Final = ("none", "none of these", "no assistant at all")


def nobody_among(names: Sequence[str]) -> str:
    """The word for "no candidate fits": ``none``, or another where a candidate has that name."""
    return next(word for word in _NOBODY if word not in map(_plain, names))


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
    said, beside = _said_in(stripped)
    if not said:
        return None, f'gave JSON without one name: "{shortened(stripped)}"'
    named = sorted({name for text in (*said, *beside) if (name := _name_of(text, offered))})
    if len(set(map(_plain, said))) > 1 or len(named) > 1:
        named = sorted({*named, *(shortened(text) for text in said if not _name_of(text, offered))})
        return None, f"named {len(named)} at once: {', '.join(named)}"
    return (said[0], "") if said[0] in offered else _nearly(whole(said[0])[:_LONGEST_ANSWER], offered)


def _name_of(text: str, offered: Collection[str]) -> str:
    """The candidate that this text is; none where it is the word for "no candidate fits", or fits none or several."""
    if _plain(text) in _NOBODY:
        return ""
    alike = [text] if text in offered else [name for name in offered if _plain(name) == _plain(text)]
    return alike[0] if len(alike) == 1 else ""


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


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object of JSON as it was written: a key may stand twice."""


def _said_in(text: str) -> tuple[list[str], list[str]]:
    """What the answer says is chosen, each time that it does (the texts of ``agent``, else its only text; the answer itself where
    it is no JSON), and all other texts in it."""
    try:
        value: Any = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return [text], []
    if isinstance(value, str):
        return [value], []
    said = [inner for key, inner in value if key == "agent"] if isinstance(value, _Pairs) else []
    texts = list(_texts_of(value))
    if said and not all(isinstance(each, str) for each in said):
        return [], texts
    if not said and isinstance(value, _Pairs):
        said = [inner for _, inner in value if isinstance(inner, str)]
        said = said if len(said) == 1 else []
    for each in said:
        texts.remove(each)
    return said, texts


def _texts_of(value: Any) -> Iterator[str]:
    inner = [each for _, each in value] if isinstance(value, _Pairs) else value if isinstance(value, list) else ()
    if isinstance(value, str):
        yield value
    for each in inner:
        yield from _texts_of(each)


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", fold(name).strip(_EDGES))
