"""Values of named fields that are hidden wherever else they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.core.marks import Mark, whole

FEWEST: Final = 5
"""Letters and digits of a value that is looked for everywhere. A shorter one ("1", "yes", "open") stands in most texts by accident:
to hide it there would take the sense from a text and keep nothing secret."""
LONGEST: Final = 200
"""Characters of one: a longer one is a text of its own, which nobody says twice."""
_WORD: Final = re.compile(r"[^\W_]+")


class KnownValues:
    """By the first word of each, so that a text is read once, however many there are. ``count`` grows with each new one."""

    __slots__ = ("_by_word", "_known", "count")

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._by_word: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        self.count = 0

    def learn(self, value: str, field: str) -> None:
        """What stood under a field; of JSON, each text and number in it."""
        if value[:1] in ("{", "["):
            try:
                inside = list(_leaves(json.loads(value)))
            except (ValueError, RecursionError):
                inside = []
            for each in inside:
                self.learn(each, field) if each[:1] not in ("{", "[") else self._learn(each, field)
        self._learn(value, field)

    def _learn(self, value: str, field: str) -> None:
        words = list(_WORD.finditer(value)) if len(value) <= LONGEST else []
        if sum(len(word[0]) for word in words) < FEWEST:
            return
        value = value[words[0].start() : words[-1].end()]
        known = value.casefold()
        if known not in self._known:
            self._known.add(known)
            self._by_word.setdefault(words[0][0].casefold(), []).append((whole(value), field))
            self.count += 1

    def found(self, text: str) -> Iterator[Mark]:
        """Where they stand in a text."""
        if not self._by_word:
            return
        for word in _WORD.finditer(text):
            for pattern, field in self._by_word.get(word[0].casefold(), ()):
                match = pattern.match(text, word.start())
                if match is not None:
                    yield match.start(), match.end(), field


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield json.dumps(value)
