"""How many runs of a deployment are in work at once; more wait. What the line decides is carried out here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import anyio

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import DeadlinePassed
from orchestrator.serve.clock import current_time
from orchestrator.serve.scheduler_limits import ClassLimits, SchedulerLimits
from orchestrator.serve.waiting_line import Turn, WaitingLine, waited_too_long

USUAL: Final = SchedulerLimits().classes


class Gate:
    """A bounded limit: the most urgent class first, first come first served within it. ``limit`` ``None`` lets everything
    through at once; ``classes`` says how many of each may wait, and how long."""

    def __init__(self, limit: int | None, classes: Mapping[PriorityClass, ClassLimits] = USUAL) -> None:
        self._limit = limit
        self._inside = 0
        self._line = WaitingLine(classes)
        self._came: dict[Turn, anyio.Event] = {}  # set once a place is the turn's own

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

    async def enter(self, deadline: float, priority: PriorityClass = "interactive") -> None:
        """Wait for a place. Raises ``QueueFull`` where the line is full or the class may not wait so long,
        ``DeadlinePassed`` where the run's own time is over before."""
        if self.enter_now():
            return
        turn = self._line.join(priority, current_time())
        came = self._came[turn] = anyio.Event()
        try:
            with anyio.fail_at(min(deadline, turn.until)):
                await came.wait()
        except TimeoutError as error:
            self._give_up(turn, came)
            if turn.until < deadline:
                raise waited_too_long(turn, current_time()) from error
            raise DeadlinePassed("the request waited for a free place until its time was over") from error
        except BaseException:
            self._give_up(turn, came)
            raise

    def leave(self) -> None:
        """Free the place; whose turn it is takes it over."""
        self._inside -= 1
        if self._line:
            self._let_in()

    def limit_to(self, limit: int | None, classes: Mapping[PriorityClass, ClassLimits]) -> None:
        """Other limits from now on; who is inside or waits stays so, and who finds room now enters."""
        self._limit = limit
        self._line.limit_to(classes)
        self._let_in()

    def _let_in(self) -> None:
        while self._line and (self._limit is None or self._inside < self._limit):
            self._inside += 1
            self._came.pop(self._line.take(current_time())).set()

    def _give_up(self, turn: Turn, came: anyio.Event) -> None:
        if came.is_set():  # its place was free already when it went
            self.leave()
        else:
            del self._came[turn]
            self._line.leave(turn)
