"""A pull while it goes on: a bar that is redrawn on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.cli.view.terminal import Terminal
from orchestrator.core.quantity import format_duration, format_size
from orchestrator.ports.lifecycle import PullProgress, PullStage

EVERY: Final = 5.0
"""Seconds between two lines where nothing is redrawn."""
WINDOW: Final = 5.0
"""Seconds over which the speed is measured."""
SHORTEST: Final = 0.1
"""Seconds that two figures must lie apart to tell a speed."""
RESUMED_ABOVE: Final = 64 * 1024 * 1024
"""Bytes that hardly come before the first figure does: more than that was there from an earlier pull."""
_DOES: Final[dict[PullStage, str]] = {
    "asking": "asking for it",
    "downloading": "downloading",
    "verifying": "verifying what came",
    "installing": "putting it in its place",
    "done": "done",
}


class Meter:
    """How fast a pull is. ``expected``: bytes of the whole, where the server does not tell. Pure: it is told the time, in
    seconds of any clock that only moves on."""

    def __init__(self, expected: int | None = None) -> None:
        self._expected = expected
        self._seen: deque[tuple[float, int]] = deque()
        self.last = PullProgress("asking")
        self.resumed: int | None = None
        """Bytes that had come in an earlier pull; ``None`` until the first figure."""

    def take(self, progress: PullProgress, now: float) -> None:
        """Note how far it has come by ``now``."""
        self.last = progress
        if progress.completed is None or progress.stage != "downloading":
            return
        if self.resumed is None:
            self.resumed = progress.completed if progress.completed >= RESUMED_ABOVE else 0
        self._seen.append((now, progress.completed))
        while self._seen and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    @property
    def total(self) -> int | None:
        """Bytes of the whole: as the server has told so far; until all has come, not less than what is expected."""
        told = self.last.total
        if self.last.stage in ("verifying", "installing", "done"):
            return told
        return max(told, self._expected or 0) if told is not None else self._expected

    @property
    def speed(self) -> float | None:
        """Bytes a second over the last moments; ``None`` until two figures are far enough apart."""
        if len(self._seen) < 2 or self._seen[-1][0] - self._seen[0][0] < SHORTEST:
            return None
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return max(0.0, (after - before) / (end - begin))

    @property
    def left(self) -> float | None:
        """Seconds until the whole has come at this speed; ``None`` where it hardly moves."""
        if not self.speed or self.speed < 1 or self.total is None or self.last.completed is None:
            return None
        return max(0, self.total - self.last.completed) / self.speed

    def words(self) -> str:
        """``1.2 GB of 2.5 GB (48 %), 35.2 MB/s, 37.0 s left``."""
        parts = [self._come()]
        if self.last.stage == "downloading":
            parts += [f"{format_size(round(self.speed))}/s"] if self.speed else []
            parts += [f"{format_duration(self.left)} left"] if self.left else []
        return ", ".join(filter(None, parts))

    def _come(self) -> str:
        completed, total = self.last.completed, self.total
        if completed is None:
            return self.last.part or (f"of {format_size(total)}" if total else "")
        if not total:
            return format_size(completed)
        return f"{format_size(completed)} of {format_size(total)} ({min(1.0, completed / total):.0%})"


class ShownPull:
    """Takes progress and shows it by ``show``; a pull that goes on from an earlier one is told once."""

    def __init__(self, meter: Meter, show: Callable[[Meter, float], None], terminal: Terminal) -> None:
        self._meter = meter
        self._show = show
        self._terminal = terminal
        self._told = False

    @property
    def completed(self) -> int | None:
        """Bytes that have come."""
        return self._meter.last.completed

    def take(self, progress: PullProgress) -> None:
        """Show how far it is."""
        now = time.monotonic()
        self._meter.take(progress, now)
        if self._meter.resumed and not self._told:
            self._told = True
            self._terminal.tell(f"{format_size(self._meter.resumed)} of it are there already: it goes on from there")
        self._show(self._meter, now)


@contextmanager
def shown_pull(terminal: Terminal, expected: int | None) -> Iterator[ShownPull]:
    """Shows the progress that it is given, until the block ends."""
    meter = Meter(expected)
    if terminal.live:
        from orchestrator.cli.view.live_pull import live_pull

        with live_pull(terminal.stderr) as show:
            yield ShownPull(meter, show, terminal)
    else:
        yield ShownPull(meter, Lines(terminal).show, terminal)


class Lines:
    """A line when a stage begins, and every few seconds within it."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._stage: PullStage | None = None
        self._next = 0.0

    def show(self, meter: Meter, now: float) -> None:
        """Tell it, if it is time."""
        stage = meter.last.stage
        if stage == "done" or (stage == self._stage and now < self._next):
            return
        self._stage, self._next = stage, now + EVERY
        self._terminal.tell(f"{does(stage)} {meter.words()}".rstrip())


def does(stage: PullStage) -> str:
    """What a stage does, in words."""
    return _DOES[stage]
