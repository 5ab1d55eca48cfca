"""Where requests of a deployment get and leave their places, and wait for one where a function is to work for them.

Who waits for a model stands in the scheduler's lines instead, and the scheduler gives it a place with the model. What becomes
free is given to the more urgent of both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio

from orchestrator.core.choices import PriorityClass
from orchestrator.core.errors import DeadlinePassed
from orchestrator.serve.clock import current_time
from orchestrator.serve.places import Place, Places
from orchestrator.serve.scheduler_limits import ClassLimits, SchedulerLimits
from orchestrator.serve.waiting_line import Turn, WaitingLine, waited_too_long

USUAL: Final = SchedulerLimits().classes


class Gate(Places):
    """A bounded limit: the most urgent class first, first come first served within it. ``limit`` ``None`` lets everything
    through at once; ``classes`` says how many of each may wait, and how long."""

    def __init__(self, limit: int | None, classes: Mapping[PriorityClass, ClassLimits] = USUAL) -> None:
        super().__init__(limit)
        self._line = WaitingLine(classes)
        self._came: dict[Turn, anyio.Event] = {}  # set once a place is the turn's own
        self._shares: list[Callable[[Places], None]] = []

    @property
    def waiting(self) -> int:
        """Those that wait for a place: here for a function, in the scheduler's lines with a model."""
        return len(self._line) + sum(self.waits)

    def shared_by(self, share: Callable[[Places], None]) -> None:
        """Whoever has calls that wait for places is told when one is free, and gives it away."""
        if share not in self._shares:
            self._shares.append(share)

    def request(self) -> Pass:
        """One more request has begun; it has no place yet."""
        self.runs += 1
        return Pass(self)

    def enter_now(self) -> bool:
        """Enter if there is room and nobody waits."""
        free = self.free and not self._line
        if free:
            self.inside += 1
        return free

    async def enter(
        self, deadline: float, priority: PriorityClass = "interactive", turns: set[Turn] | None = None
    ) -> None:
        """Wait for a place. Raises ``QueueFull`` where the line is full or the class may not wait so long,
        ``DeadlinePassed`` where the run's own time is over before. ``turns``: those of its request that wait; its own is one."""
        if self.enter_now():
            return
        turn = self._line.join(priority, current_time())
        came = self._came[turn] = anyio.Event()
        if turns is not None:
            turns.add(turn)
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
        finally:
            if turns is not None:
                turns.discard(turn)

    def leave(self) -> None:
        """Free the place; whose turn it is takes it over."""
        self.inside -= 1
        self.give_away()

    def limit_to(self, limit: int | None, classes: Mapping[PriorityClass, ClassLimits]) -> None:
        """Other limits from now on; who is inside or waits stays so, and who finds room now enters."""
        self.limit = limit
        self._line.limit_to(classes)
        self.give_away()

    def most_urgent(self, now: float) -> int | None:
        """The rank of the first in the line."""
        return self._line.most_urgent(now)

    def let_one_in(self, now: float) -> None:
        """Let the first in the line enter."""
        self.inside += 1
        self._came.pop(self._line.take(now)).set()

    def let_in_too(self, turns: set[Turn]) -> None:
        """Their request has a place: they wait for none. Each is told as if it had one of its own, and gives that back at once."""
        while turns:
            turn = turns.pop()
            if turn in self._came:  # else it has been told already
                self.inside += 1
                self._line.leave(turn)
                self._came.pop(turn).set()

    def share(self) -> None:
        """Whoever has calls that wait may look which of them may begin."""
        for share in self._shares:
            share(self)

    def give_away(self) -> None:
        """Places may be free: whose turn it is gets one."""
        self.share()
        while self._line and self.free:
            self.let_one_in(current_time())

    def _give_up(self, turn: Turn, came: anyio.Event) -> None:
        if came.is_set():  # its place was free already when it went
            self.leave()
        else:
            del self._came[turn]
            self._line.leave(turn)


class Pass(Place):
    """A request's place, with the way to it for functions."""

    __slots__ = ("_gate", "_turns")

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self._gate = gate
        self._turns: set[Turn] = set()  # of its functions that wait for a place

    def begin(self) -> bool:
        """A model works for it: so may its functions."""
        others = super().begin()
        self._gate.let_in_too(self._turns)
        return others

    @asynccontextmanager
    async def at_work(self, deadline: float, priority: PriorityClass) -> AsyncGenerator[None, None]:
        """While a function works for it. Waits for a place where it has none; raises as ``Gate.enter`` does."""
        if not self.held:
            await self._gate.enter(deadline, priority, self._turns)
            self._came_in()
        self.works += 1
        try:
            yield
        finally:
            if self.pause():
                self._gate.give_away()

    def _came_in(self) -> None:
        if self.held:  # a model or another function began to work for it meanwhile
            self._gate.leave()
            return
        self.held = self.began = True
        self._gate.let_in_too(self._turns)
        if self.waiting:
            self._gate.share()

    def leave(self) -> None:
        """The request has ended."""
        self._gate.runs -= 1
        if self.held:
            self.held = False
            self._gate.leave()
