"""What a model writes before its answer where its server does not take it out: the tags that thinking models have for it. Pure.

What is asked for one word (a router's choice, a judge's verdict) is read without any of them. An agent's own answer is anybody's
text, which may speak of such tags: of it only ``<think>`` counts, which models are trained to write, and at its beginning.
"""

from __future__ import annotations

import re
from typing import Final

_THOUGHT: Final = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(</\1>|\Z)|\A.*</(think|thinking|thought|reasoning)>", re.DOTALL
)
_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


def without_thoughts(text: str, instead: str = "") -> str:
    """The same without them, also where one has no beginning or no end."""
    return _THOUGHT.sub(instead, text)


def after_thoughts(text: str) -> str:
    """An answer without the thoughts that it begins with; nothing is left where they do not end."""
    pieces = AnswerInPieces()
    return pieces.add(text) + pieces.end()


class AnswerInPieces:
    """The same for an answer that comes in pieces, of which any may end within a tag."""

    __slots__ = ("_begun", "_inside", "_thought", "_waiting")

    def __init__(self) -> None:
        self._waiting = ""
        self._inside = self._thought = self._begun = False

    def add(self, piece: str) -> str:
        """What of the answer may be passed on."""
        if self._begun:
            return piece
        self._waiting += piece
        while True:
            if self._inside and not self._leave():
                return ""
            text = self._waiting.lstrip()
            if text.startswith(_OPEN):
                self._inside, self._waiting = True, text[len(_OPEN) :]
            elif _OPEN.startswith(text):  # it may become the tag
                return ""
            else:
                self._begun = True
                return self._rest()

    def end(self) -> str:
        """There are no more pieces: what looked like the beginning of a tag is none. A thought without an end is no answer."""
        return "" if self._begun or self._inside else self._rest()

    def _leave(self) -> bool:
        """Whether the thought ends in what has come; what is kept of it is where its end may begin."""
        _, closed, rest = self._waiting.partition(_CLOSE)
        self._waiting = rest if closed else self._waiting[1 - len(_CLOSE) :]
        self._inside, self._thought = not closed, True
        return bool(closed)

    def _rest(self) -> str:
        """What waits: as it came, but that white space between a thought and its answer is of neither."""
        text, self._waiting = self._waiting, ""
        return text.lstrip() if self._thought else text
