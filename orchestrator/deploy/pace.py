"""How fast an endpoint is, learned from its calls: what a call of this length needs, so that a long one is not taken for a
hang. Pure; times are seconds."""

from __future__ import annotations

from collections import deque
from math import ceil, inf
from typing import Final

LONG_PROMPT: Final = 400
"""Bytes of a prompt from which on its first token tells how fast prompts are read; before, it tells of everything else."""
LONG_ANSWER: Final = 32
"""The same for answers, in tokens."""
ANSWER: Final = 1024
"""Tokens that an answer is taken to have at most where nobody says how long it may be."""
USUAL: Final = 0.95
"""What so large a share of calls needs at most is usual."""


class Pace:
    """How long the last calls took. Says nothing until it has seen ``least`` of them."""

    __slots__ = ("_last", "_least")
    LEAST: Final = 8

    def __init__(self, least: int = LEAST) -> None:
        self._last: deque[float] = deque(maxlen=64)
        self._least = least

    def add(self, seconds: float) -> None:
        """Note one."""
        self._last.append(seconds)

    def quantile(self, share: float) -> float | None:
        """The smallest that at least this share do not exceed; ``None`` while too few are known."""
        if len(self._last) < self._least:
            return None
        return sorted(self._last)[max(0, ceil(share * len(self._last)) - 1)]


class Speed:
    """What the calls of one endpoint took, and what one of a known length will take."""

    __slots__ = ("_in_vain", "_reading", "_writing", "_writing_little", "calls", "first_tokens")

    def __init__(self) -> None:
        self.calls = Pace()
        self.first_tokens = Pace()
        self._in_vain = 0
        # From the first one on: the slow server that must not be taken for a dead one shows itself with its first answer.
        self._reading = Pace(least=1)  # a byte of the prompt
        self._writing = Pace(least=1)  # a token of the answer
        self._writing_little = Pace(least=1)  # the same of short ones, where most of the time goes elsewhere

    def first_token(self, seconds: float, prompt: int) -> None:
        """The first token came after so long, for a prompt of so many bytes."""
        self.first_tokens.add(seconds)
        if prompt >= LONG_PROMPT:
            self._reading.add(seconds / prompt)

    def before_first_token(self, share: float, prompt: int) -> float | None:
        """Seconds after which so large a share of calls has its first token, with the time that a prompt of so many bytes needs;
        ``None`` where too little is known."""
        usual, known = self.first_tokens.quantile(share), self._reading.quantile(USUAL) is not None
        if usual is None or (prompt >= LONG_PROMPT and not known):
            return None
        return usual + (self.reading(prompt) if prompt >= LONG_PROMPT else 0.0)

    def waited_in_vain(self, prompt: int) -> None:
        """No first token came in all the time that this prompt was given."""
        self._in_vain += prompt >= LONG_PROMPT

    def doubt(self, prompt: int) -> int:
        """How many times as long as usual a prompt is waited for while nothing is known of how fast they are read. Each wait in
        vain doubles it: a server that is too slow for the usual time would never answer, so that nothing was ever known."""
        return 2**self._in_vain if prompt >= LONG_PROMPT and self._reading.quantile(USUAL) is None else 1

    def ended(self, seconds: float, wrote: int) -> None:
        """A call ended well after so long, and wrote so many tokens."""
        self.calls.add(seconds)
        if wrote > 0:
            (self._writing if wrote >= LONG_ANSWER else self._writing_little).add(seconds / wrote)

    def reading(self, prompt: int) -> float:
        """Seconds that a prompt of so many bytes is read, as far as is known. Prompts that the server remembered were read
        faster, so that it is the slow ones which count."""
        return (self._reading.quantile(USUAL) or 0.0) * prompt

    def writing(self, most: int | None) -> float:
        """Seconds that an answer of at most so many tokens takes as a whole (``None``: nobody says); ``inf`` where nothing is
        known. Where all were short it is rather too much: a server that writes is not to be taken for one that hangs."""
        each = self._writing.quantile(USUAL) or self._writing_little.quantile(USUAL)
        return inf if each is None else each * (ANSWER if most is None else most)
