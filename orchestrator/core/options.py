"""The settings that a request may give for its model calls, and what each may be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are_texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value))


OPTIONS: Final[Mapping[str, Callable[[Any], str]]] = {
    "temperature": lambda value: "" if _is_number(value, 0, 2) else "a number from 0 to 2",
    "max_tokens": lambda value: "" if _is_whole(value, 1, 10**9) else "a whole number of at least 1",
    "top_p": lambda value: "" if _is_number(value, 0, 1) else "a number from 0 to 1",
    "seed": lambda value: "" if _is_whole(value, -(2**63), 2**63 - 1) else "a whole number",
    "stop": lambda value: "" if _are_texts(value) else "a text or a list of texts",
}
"""Each with what a value must be where it does not fit, else an empty text."""
