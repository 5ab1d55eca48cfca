"""Reading a model's choice: which of the offered names its answer is, and how sure the model was of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from orchestrator.core.surrogates import whole
from orchestrator.core.thoughts import without_thoughts
from orchestrator.plugins.strategies.text import fold, shortened
from orchestrator.ports.provider import ChatReply, TokenProbability

_LONGEST_ANSWER: Final = 2_000
_FENCE: Final = re.compile(r"^```\w*\s*|\s*```$")
_EDGES: Final = " \t\r\n\"'`*.,:;!()[]<>"


_CHOICES: Final = frozenset(
    "agent agente assistant assistente choice choose chosen scelta decision decisione name nome answer risposta response result"
    " route router target to destination handler selected selection".split()
)
"""Names under which a model says its choice where it does not keep to the one that it is asked for."""
_NOBODY: Final = ("none", "none of these", "no assistant at all")


def nobody_among(names: Sequence[str]) -> str:
    """The word for "no candidate fits": ``none``, or another where a candidate has that name."""
    return next(word for word in _NOBODY if word not in map(_plain, names))


def read_choice(answer: str, offered: Collection[str]) -> tuple[str | None, str]:
    """The one of ``offered`` that the answer is, and an empty text; or ``None`` and what the answer is instead.

    Accepted: the JSON asked for, or the bare name, whatever its case, quotes and separators, also after a thought. A name inside
    a sentence is not: the sentence may say the opposite.
    """
    stripped = _answer_of(answer)
    if not stripped:
        return None, "gave a thought and no answer" if answer.strip() else "gave an empty answer"
    said, beside = _said_in(stripped)
    if not said:
        return None, f'gave JSON without one name: "{shortened(stripped)}"'
    named = sorted({name for text in (*said, *beside) if (name := _name_of(text, offered))})
    if len(set(map(_plain, said))) > 1 or len(named) > 1:
        named = sorted({*named, *(shortened(text) for text in said if not _name_of(text, offered))})
        return None, f"named {len(named)} at once: {', '.join(named)}"
    return (said[0], "") if said[0] in offered else _nearly(whole(said[0])[:_LONGEST_ANSWER], offered)


def _answer_of(text: str) -> str:
    """Without thoughts, and without a fence of backticks around all of it."""
    text = (without_thoughts(text) if "<" in text else text).strip()
    return _FENCE.sub("", text).strip() if "`" in text else text


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
    """The probability of the tokens of the chosen name, 0..1, where the server told any that fit the answer. A name that stands
    there twice is as sure as the less sure one."""
    if not reply.logprobs:
        return None
    written = "".join(token.token for token in reply.logprobs)
    found = [_probability(reply.logprobs, span) for span in _name_spans(written, reply.message.content)]
    return None if None in found else min((each for each in found if each is not None), default=None)


def _probability(tokens: Sequence[TokenProbability], span: tuple[int, int]) -> float | None:
    start, end = span
    at, total = 0, 0.0
    for token in tokens:
        if at < end and at + len(token.token) > start:
            total += token.logprob
        at += len(token.token)
    return min(1.0, math.exp(total)) if not math.isnan(total) else None


def _name_spans(written: str, content: str) -> list[tuple[int, int]]:
    """Where the chosen name stands among the tokens, each time that it does: what ``read_choice`` reads. Tokens come as the model
    wrote them, with thoughts and the fence of backticks around JSON that a server takes out of the text."""
    answer = _answer_of(content)
    if not answer or answer not in written:
        answer = _answer_of(written)
    begin = written.rfind(answer)
    if not answer or begin < 0:
        return []
    if answer[0] not in '{["':
        return [] if "{" in answer else [(begin, begin + len(answer))]
    return [(begin + start, begin + stop) for start, stop in _said_at(answer)]


def _said_at(answer: str) -> list[tuple[int, int]]:
    """The spans of the texts that ``_said_in`` says are chosen, within their quotes; none where they differ, or it does not
    begin with JSON: a full stop may stand behind it."""
    try:
        chosen = _chosen(_entries_of(answer)[0])
    except (ValueError, RecursionError):
        return []
    alike = len({_plain(each.value) for each in chosen}) == 1
    return [(each.start + 1, each.stop - 1) for each in chosen] if alike else []


def _said_in(text: str) -> tuple[list[str], list[str]]:
    """What the answer says is chosen, each time that it does (the answer itself where it is no JSON), and all other texts in it."""
    try:
        entries, end = _entries_of(text)
    except (ValueError, RecursionError):
        return [text], []
    if end < len(text):
        return [text], []
    texts = [each for entry in entries for each in _texts_of(entry.value)]
    said = [entry.value for entry in _chosen(entries)]
    for each in said:
        texts.remove(each)
    return said, texts


class _Entry(NamedTuple):
    """A value of an object of JSON with its key, and where it stands; or a value that stands in no object."""

    key: str | None
    value: Any
    start: int
    stop: int


def _chosen(entries: Sequence[_Entry]) -> list[_Entry]:
    """Those that say the choice: the texts of ``agent``, else the only text, where it stands under a name for a choice or alone."""
    said = [entry for entry in entries if entry.key == "agent"]
    if not said:
        texts = [entry for entry in entries if isinstance(entry.value, str)]
        said = texts if len(texts) == 1 and _names_choice(texts[0].key) else []
    return said if all(isinstance(entry.value, str) for entry in said) else []


def _names_choice(key: str | None) -> bool:
    return key is None or fold(key).strip(_EDGES) in _CHOICES


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object of JSON as it was written: a key may stand twice."""


_READ: Final = json.JSONDecoder(object_pairs_hook=_Pairs)
_SIGN: Final = re.compile(r"[ \t\n\r]*([{:,}])[ \t\n\r]*")


def _entries_of(answer: str) -> tuple[list[_Entry], int]:
    """The entries of the object of JSON that an answer begins with, as they were written (a key may stand twice), and where it
    ends. Other JSON is one entry. Raises ``ValueError``."""
    if answer[0] == "{":
        return _entries_in(answer)
    value, end = _READ.raw_decode(answer)
    return [_Entry(None, value, 0, end)], end


def _entries_in(answer: str) -> tuple[list[_Entry], int]:
    found: list[_Entry] = []
    at = _past(answer, 0, "{")[1]
    if answer.startswith("}", at):
        return found, _past(answer, at, "}")[1]
    sign = ","
    while sign == ",":
        key, at = _READ.raw_decode(answer, at)
        if not isinstance(key, str):
            raise ValueError("a key is no text")
        start = _past(answer, at, ":")[1]
        value, stop = _READ.raw_decode(answer, start)
        found.append(_Entry(key, value, start, stop))
        sign, at = _past(answer, stop, ",}")
    return found, at


def _past(answer: str, at: int, signs: str) -> tuple[str, int]:
    """The one of the signs that must come next, and where what follows it begins."""
    found = _SIGN.match(answer, at)
    if found is None or found[1] not in signs:
        raise ValueError(f"none of {signs} stands there")
    return found[1], found.end()


def _texts_of(value: Any) -> Iterator[str]:
    inner = [each for _, each in value] if isinstance(value, _Pairs) else value if isinstance(value, list) else ()
    if isinstance(value, str):
        yield value
    for each in inner:
        yield from _texts_of(each)


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", fold(name).strip(_EDGES))
