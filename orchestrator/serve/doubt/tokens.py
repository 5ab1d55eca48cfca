"""How sure a model was of the words of its answer, from the log-probabilities that its server told. Pure.

Only tokens that carry a value count: braces, keys and punctuation of JSON are nearly certain whatever the answer is, and would
hide the one word that was guessed. A quantile and not the mean: the mean of a long answer says little of its worst word.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from orchestrator.ports.provider import TokenProbability
from orchestrator.serve.steps.plain import parse_answer

Measure = Literal["margin", "probability"]
_JSON_PART: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d[\d.eE+-]*|\b(?:true|false|null)\b')
_WORD: Final = re.compile(r"\w")


def sureness(tokens: Sequence[TokenProbability], measure: Measure, quantile: float) -> float | None:
    """0..1: of the tokens of values, the one at the ``quantile``, counted from the least sure; of an answer that holds no value
    (``...``, a sign), of all its tokens. ``None`` where the server told nothing of any of them."""
    weighed = value_tokens(tokens) or tokens
    found = sorted(_of(token, measure) for token in weighed if not math.isnan(token.logprob))
    return found[min(len(found) - 1, int(quantile * len(found)))] if found else None


def value_tokens(tokens: Sequence[TokenProbability]) -> list[TokenProbability]:
    """Those that hold a character of a value: of JSON its texts, numbers and words, of other text its words."""
    written = "".join(token.token for token in tokens)
    valued = _characters(written)
    found, at = [], 0
    for token in tokens:
        end = at + len(token.token)
        if any(valued[at:end]):
            found.append(token)
        at = end
    return found


def _of(token: TokenProbability, measure: Measure) -> float:
    chosen = math.exp(min(0.0, token.logprob))
    others = [math.exp(min(0.0, logprob)) for word, logprob in token.top if word != token.token]
    return max(0.0, chosen - max(others, default=0.0)) if measure == "margin" else chosen


def _characters(written: str) -> list[bool]:
    """For each character, whether it is of a value."""
    if not _is_json(written):
        return [bool(_WORD.match(character)) for character in written]
    valued = [False] * len(written)
    for start, end in _spans(written):
        valued[start:end] = [True] * (end - start)
    return valued


def _is_json(written: str) -> bool:
    try:
        value: Any = parse_answer(written)
    except ValueError:
        return False
    return isinstance(value, (dict, list))


def _spans(written: str) -> Iterator[tuple[int, int]]:
    for part in _JSON_PART.finditer(written):
        if part[1] is None:
            yield part.span()
        elif part[2] is None:
            yield part.span(1)


def chance_of(tokens: Sequence[TokenProbability], yes: str, no: str) -> float | None:
    """Of an answer that is one of two words, how probable the first was against the second; ``None`` where it is not told.

    What other tokens have, as the beginning of a call or of prose, speaks for neither: a server may tell what the model had in mind
    before a grammar held it to the two. A word of which nothing is told is weighed against the answer: of the second it has all
    that it can have, of the first half of that. It has never more than the word that was said, or it would have been said."""
    for token in value_tokens(tokens):
        said = next((word for word in (yes, no) if _begins(token.token, word)), "")
        if not said or math.isnan(token.logprob):
            return None
        known = {word: logprob for word, logprob in token.top if not math.isnan(logprob)}
        told = {**known, token.token: token.logprob}
        for_yes, for_no = (_together(told, word) for word in (yes, no))
        if for_yes is None:
            for_yes = _at_most(told, for_no or 0.0) / 2
        if for_no is None:
            for_no = _at_most(told, for_yes)
        return for_yes / (for_yes + for_no) if for_yes + for_no else None
    return None


def _together(told: Mapping[str, float], word: str) -> float | None:
    """The probability of a word, by all tokens that begin it; ``None`` where none of them is told."""
    found = [_probability(logprob) for other, logprob in told.items() if _begins(other, word)]
    return sum(found) if found else None


def _at_most(told: Mapping[str, float], said: float) -> float:
    """What a token can have that is not told: no more than the least that is, than what all of these leave, and than the word that
    was said in its place."""
    known = [_probability(logprob) for logprob in told.values()]
    return min(*known, max(0.0, 1.0 - sum(known)), said)


def _probability(logprob: float) -> float:
    return math.exp(min(0.0, logprob))


def _begins(token: str, word: str) -> bool:
    plain = _plain(token)
    return bool(plain) and word.startswith(plain)


def _plain(token: str) -> str:
    return token.strip(" \t\r\n\"'{}[]:,.`").casefold()


def canonical(text: str) -> str:
    """What two answers that say the same in the same words have in common: JSON by its value, text by its words."""
    try:
        value: Any = parse_answer(text)
    except ValueError:
        return " ".join(re.findall(r"\w+", text.casefold()))
    if isinstance(value, str):
        return " ".join(re.findall(r"\w+", value.casefold()))
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
