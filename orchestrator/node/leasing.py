"""Keeps a lease: the hands of :class:`Lease`, on a board that may be away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.errors import BusDown, Conflict
from orchestrator.node.answering import Tell
from orchestrator.node.bell import Bell, Sleep
from orchestrator.node.lease import LEAP, Lease, Write
from orchestrator.node.worker import Kept
from orchestrator.ports.bus import Board
from orchestrator.serve.clock import current_time

FENCE: Final = "fence"


@dataclass(slots=True)
class Fences:
    """The highest epoch that this node knows of, over all leases. It is on the disk before anything is done under it."""

    kept: Kept
    highest: int = 0

    def __post_init__(self) -> None:
        self.highest = int(self.kept.load(FENCE) or b"0")

    def note(self, epoch: int) -> None:
        """One was heard of."""
        if epoch > self.highest:
            self.highest = epoch
            self.kept.save(FENCE, str(epoch).encode())


@dataclass(slots=True)
class Leasing:
    """One lease, under its ``key``. ``changed`` is called when it became ours, and when it is found to be ours no more."""

    lease: Lease
    key: str
    board: Board
    fences: Fences
    tell: Tell
    sleep: Sleep
    changed: Callable[[], None]
    bell: Bell = field(init=False)
    _was: bool = False

    def __post_init__(self) -> None:
        self.bell = Bell(self.sleep)

    @property
    def epoch(self) -> int | None:
        """Its epoch, where it is ours at this moment."""
        return self.lease.epoch if self.lease.holds(current_time()) and not self.overtaken else None

    @property
    def overtaken(self) -> bool:
        """Whether an epoch was heard of that is as far above ours as only a store that was deleted makes it: what was held under it
        may be this very lease, of which ours knew nothing. A higher epoch is taken before anything is done again."""
        return 0 < self.lease.epoch <= self.fences.highest - LEAP

    async def run(self) -> None:
        """Keep it, or try to get it, until cancelled."""
        while True:
            now = current_time()
            if now >= self.lease.due or (self.overtaken and self.lease.holds(now)):
                await self._turn(now)
                self._notice()
            now = current_time()
            moments = [self.lease.due, self.lease.begins, self.lease.until]
            await self.bell.wait(min((moment - now for moment in moments if moment > now), default=0.0))
            self._notice()

    async def give_back(self) -> None:
        """Let others have it at once, where the board can be reached."""
        write = self.lease.give_back(current_time())
        self._notice()
        if write is not None:
            try:
                await self.board.swap("lease", self.key, write.value, write.expected)
            except (BusDown, Conflict) as error:  # it runs out by itself
                self.tell("mesh.unsent", {"key": self.key, "error": error.message})

    async def _turn(self, now: float) -> None:
        lease = self.lease
        lease.seen = max(lease.seen, self.fences.highest)
        try:
            action = lease.next_action(now)
            if not isinstance(action, Write):
                write = lease.on_read(await self.board.read("lease", self.key), current_time())
                self.fences.note(lease.seen)
                if write is None:
                    return
                action = write
            sent = current_time()
            self.fences.note(action.epoch)
            entry = await self.board.swap("lease", self.key, action.value, action.expected)
            lease.on_written(entry, action, sent)
        except Conflict:
            lease.on_conflict(current_time())
        except BusDown:
            lease.on_down(current_time())

    def _notice(self) -> None:
        holds = self.lease.holds(current_time())
        if holds != self._was:
            self._was = holds
            self.tell("mesh.lease", {"key": self.key, "held": holds, "epoch": self.lease.epoch})
            self.changed()
