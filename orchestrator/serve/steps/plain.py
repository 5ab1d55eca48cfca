"""What comes in from outside, made plain: outcomes of tools, and JSON that a model wrote.

A tool may be of any package, and a model may write any JSON. What they give is stored, sent and filled into templates, so
that it is made plain here, once, and needs no doubt further on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.core.errors import ToolFailed
from orchestrator.core.finite import finite_number, no_number
from orchestrator.core.surrogates import is_whole, whole, whole_value
from orchestrator.ports.tool import ToolOutcome

Pairs = Callable[[list[tuple[str, Any]]], Any]
"""What is made of an object of JSON, whose keys and values are given in the order that they stand in."""
DEEPEST: Final = 100
"""Levels of a value: what is deeper could not be written again by code that calls itself for each level."""
_JSON: Final = json.JSONEncoder(ensure_ascii=False)
_JSON_OR_TEXT: Final = json.JSONEncoder(ensure_ascii=False, default=str)


class SaidTwice(ValueError):
    """JSON that says one thing twice."""


def plain_outcome(function: str, outcome: ToolOutcome) -> ToolOutcome:
    """The outcome of a call as plain values, its texts whole. Raises ``ToolFailed`` where it has no such form."""
    try:
        return ToolOutcome(_plain(outcome.value), whole(outcome.text), outcome.show, outcome.origins)
    except (TypeError, ValueError, RecursionError) as error:
        cure = "Let it give texts, numbers, lists and maps only."
        raise ToolFailed(f"{function} gave something that is no JSON value: {error}", cure=cure) from error


def read_model_json(text: str, pairs: Pairs | None = None) -> Any:
    """The value of JSON that a model wrote, raw control characters and all; ``pairs`` makes each object. Raises ``ValueError``."""
    plain = whole(text)
    try:
        value = json.loads(
            plain, strict=False, parse_float=finite_number, parse_constant=no_number, object_pairs_hook=pairs
        )
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_depth(value, text)
    return whole_value(value) if "\\u" in text else value


def parse_answer(text: str) -> Any:
    """The JSON of an answer. Small models put it into a fence of backticks, and servers let raw control characters in texts
    through; both can only mean one thing. Raises ``ValueError``; ``SaidTwice`` where it can mean two."""
    return read_model_json(_out_of_fence(text), _each_once)


def answer_as_json(text: str, value: Any) -> str:
    """An answer that :func:`parse_answer` read as this value, as any reader of JSON reads it; as it was written where it can be."""
    for written in (text, _out_of_fence(text).strip()):
        try:
            if json.loads(written) == value:
                return written
        except ValueError:
            continue
    return _JSON.encode(value)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two that are alike each reader takes another."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise SaidTwice(f"an object has several values for {' and for '.join(map(repr, twice))}, and may have one")
    return value


def _out_of_fence(text: str) -> str:
    text = text.strip()
    return text.removeprefix("```json").strip("`") if text.startswith("```") and text.endswith("```") else text


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    try:
        text = _JSON.encode(value)
    except TypeError:  # something in it has no form in JSON: its text stands for it
        text = _JSON_OR_TEXT.encode(value)
        value = json.loads(text)
    _check_depth(value, text)
    return value if is_whole(text) else whole_value(value)


def _check_depth(value: Any, text: str) -> None:
    """Raise ``ValueError`` where the value, which is written as ``text``, has too many levels."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [each for outer in level for each in _inside(outer)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _inside(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Mapping):
        return tuple(value.values())
    return tuple(value) if isinstance(value, (list, tuple)) else ()


_TOO_DEEP: Final = f"it is nested more than {DEEPEST} levels deep"
