"""How many runs of a deployment are in work at once; more wait in order, in a bounded line."""

from __future__ import annotations

from collections import deque

import anyio

from orchestrator.core.errors import DeadlinePassed, QueueFull


class Gate:
    """A bounded, first-come-first-served limit. ``limit`` ``None`` lets everything through at once."""

    def __init__(self, limit: int | None, longest_line: int = 256) -> None:
        self._limit = limit
        self._longest_line = longest_line
        self._inside = 0
        self._line: deque[anyio.Event] = deque()

    @property
    def inside(self) -> int:
        """Runs that have entered and not left."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Runs that wait."""
        return len(self._line)

    def enter_now(self) -> bool:
        """Enter if there is room and nobody waits."""
        free = self._limit is None or (self._inside < self._limit and not self._line)
        if free:
            self._inside += 1
        return free

    async def enter(self, deadline: float) -> None:
        """Wait for a place. Raises ``QueueFull`` where the line is full, ``DeadlinePassed`` where it takes too long."""
        if self.enter_now():
            return
        if len(self._line) >= self._longest_line:
            raise QueueFull(f"{len(self._line)} requests wait already", cure="Try again later, or raise the limits.")
        turn = anyio.Event()
        self._line.append(turn)
        try:
            with anyio.fail_at(deadline):
                await turn.wait()
        except TimeoutError as error:
            self._give_up(turn)
            raise DeadlinePassed("the request waited for a free place until its time was over") from error
        except BaseException:
            self._give_up(turn)
            raise

    def leave(self) -> None:
        """Free the place; the first in line takes it over."""
        if self._line:
            self._line.popleft().set()
        else:
            self._inside -= 1

    def _give_up(self, turn: anyio.Event) -> None:
        if turn.is_set():  # its place was free already when it went
            self.leave()
        else:
            self._line.remove(turn)
