"""Requests that only go on with the one before them ("and tomorrow?"), which no router can place by their own words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from orchestrator.core.message import Message
from orchestrator.core.words import fold

MOST_WORDS: Final = 8
"""Words of a request that goes on; a longer one says by itself what it is about."""
_LONGEST: Final = 200
"""Characters of the same."""
_MOST_BACK: Final = 4
"""Earlier requests that are looked at for the one that said what all this is about."""
_WORD: Final = re.compile(r"\w+")
_BEGINS: Final = tuple(
    sorted(
        (
            *("and", "or", "but", "also", "what about", "how about", "what if", "same", "the same", "then"),
            *("e", "ed", "o", "oppure", "ma", "anche", "invece", "lo stesso", "la stessa", "allora"),
        )
    )
)
_ALONE: Final = frozenset(
    (
        *("yes", "yes please", "no", "no thanks", "ok", "okay", "why", "why not", "how", "when", "where", "which one"),
        *("how much", "how many", "how long", "really", "are you sure", "today", "tomorrow", "go on", "more", "again"),
        *("si", "si grazie", "no grazie", "perche", "come", "quando", "dove", "quale", "quanto", "quanti", "davvero"),
        *("sei sicuro", "oggi", "domani", "continua", "ancora", "e poi"),
    )
)


def goes_on(text: str) -> bool:
    """Whether a request has no matter of its own: short, and it begins with a word that goes on, or is a bare question."""
    words = _WORD.findall(fold(text)) if len(text) <= _LONGEST else []
    said = " ".join(words)
    if not words or len(words) > MOST_WORDS:
        return False
    return said in _ALONE or any(said == begin or said.startswith(f"{begin} ") for begin in _BEGINS)


def continued(text: str, history: Sequence[Message]) -> str:
    """The earlier request of the conversation that this one goes on with; empty where it is none that does, or there is none."""
    if not history or not goes_on(text):
        return ""
    asked = [turn.content for turn in reversed(history) if turn.role == "user"][:_MOST_BACK]
    return next((earlier for earlier in asked if not goes_on(earlier)), "")
