"""For how long an endpoint has shown no sign of life, counted over calls that were given up: each of them may have waited for less
than silence needs to mean anything. Pure; times are seconds of the scheduler's clock."""

from __future__ import annotations

from math import inf
from typing import Final

PAUSES: Final = 5
"""Silences are one where the pause between them is no longer than so many times what silence needs to count."""


class Unheard:
    """The silence of one endpoint since a call was given up there. Only the time counts in which somebody waits: a pause ends with
    the next call, or with who looks."""

    __slots__ = ("_doubted_until", "_heard", "_paused", "_since", "began", "prompt")

    def __init__(self, now: float) -> None:
        self.heard(now)

    def heard(self, now: float) -> None:
        """A sign of life: what was before it counts no more."""
        self._heard = now
        self.began = inf
        """When the silence began, pauses and all; ``inf`` where there is none."""
        self._since = inf  # the same, as if nothing had paused it
        self._paused = inf  # since when nobody waits
        self._doubted_until = -inf
        self.prompt = 0
        """Bytes of the longest prompt that was given up."""

    def __bool__(self) -> bool:
        return self.began < inf

    @property
    def since(self) -> float:
        """When the silence of who waits now would have begun, had nothing paused it; ``inf`` where there is none."""
        return self._since

    def given_up(self, since: float, prompt: int) -> None:
        """A call was given up that had been silent since then."""
        since = max(since, self._heard)
        self.began, self._since = min(self.began, since), min(self._since, since)
        self.prompt = max(self.prompt, prompt)

    def pause(self, now: float) -> None:
        """Nobody waits any more."""
        if self:
            self._paused = min(self._paused, now)

    def resume(self, now: float, after: float) -> None:
        """Somebody waits again. Silence counts from ``after`` seconds on: one that is long ago is no part of this one."""
        if self._paused == inf:
            return
        if now - self._paused > PAUSES * after:
            self.heard(now)
            return
        self._since += now - self._paused
        self._paused = inf

    def lasted(self, now: float) -> float:
        """Seconds of it so far."""
        return max(0.0, min(now, self._paused) - self._since) if self else 0.0

    def doubt(self, until: float) -> None:
        """Who looked saw no life either: for so long, whoever can goes elsewhere."""
        self._doubted_until = until

    def doubted(self, now: float) -> bool:
        """Whether it is to be left alone where there is another one. Nothing is held against it yet."""
        return now < self._doubted_until
