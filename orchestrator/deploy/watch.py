"""What somebody says who looked whether a server works whose calls are silent. Pure; times are seconds of the scheduler's clock."""

from __future__ import annotations

from math import inf
from typing import Literal

Word = Literal[
    "",  # nobody has looked yet
    "works",  # it is at work, be it for others
    "answers",  # it wrote a token at once for somebody who came later
    "hangs",  # it tells how far it is, and that does not move; or it does not even tell
    "silent",  # it does not tell how far it is, and wrote no token either: it hangs, or is at work for others
]


class Watch:
    """The looks at one endpoint, one at a time. ``began``: when the last one began."""

    __slots__ = ("_of", "_word", "began", "looking")

    def __init__(self) -> None:
        self.began = -inf
        self.looking = False
        self._word: Word = ""
        self._of = -inf  # when the look began that gave the word

    def begin(self, now: float) -> None:
        """Somebody looks."""
        self.began, self.looking = now, True

    def ended(self, word: Word) -> None:
        """What was seen."""
        self._word, self._of, self.looking = word, self.began, False

    def says(self, since: float) -> Word:
        """The last word of a look that began no earlier than ``since``."""
        return self._word if self._of >= since else ""
