"""The first pieces of a stream, held back until it is committed; and its text so far, in case it breaks."""

from __future__ import annotations

from orchestrator.core.errors import ModelError, RunError
from orchestrator.ports.provider import Delta
from orchestrator.serve.scheduler_limits import HoldBack


class HeldBack:
    """What came of one attempt's stream. Pieces without text are only signs of life: nobody is given them."""

    __slots__ = ("_first_at", "_pieces", "_rule", "_size", "_text", "committed")

    def __init__(self, rule: HoldBack) -> None:
        self._rule = rule
        self._pieces: list[Delta] = []
        self._text: list[str] = []
        self._size = 0
        self._first_at: float | None = None
        self.committed = False

    def add(self, delta: Delta, now: float) -> list[Delta]:
        """Take a piece that came at ``now``; gives those that may be passed on."""
        if not delta.text and delta.reply is None:
            return []
        if delta.text:
            self._text.append(delta.text)
        if self.committed:
            return [delta]
        self._pieces.append(delta)
        self._size += len(delta.text.encode())
        if self._first_at is None:
            self._first_at = now
        if delta.reply is None and not self._full(now - self._first_at):
            return []
        self.committed = True
        ready, self._pieces = self._pieces, []
        return ready

    def _full(self, age: float) -> bool:
        rule = self._rule
        if len(self._pieces) >= rule.pieces:
            return True
        return 0 < rule.size <= self._size or 0 < rule.seconds <= age

    def with_partial(self, error: RunError) -> RunError:
        """The fault that broke the stream, with the text that had come."""
        if isinstance(error, ModelError) and not error.partial:
            error.partial = "".join(self._text)
        return error
